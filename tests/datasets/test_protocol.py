"""Protocols from names: what meets what, what is left out, and when a run is not the record's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inkseek.datasets.catalogue import DATASETS, open_dataset
from inkseek.datasets.checking import check
from inkseek.datasets.dataset import WITHHELD, Dataset
from inkseek.datasets.items import Items, Row
from inkseek.datasets.protocol import open_protocol, protocol_of
from inkseek.datasets.records import DATASET_RECORDS, RECORDS, names_of
from inkseek.errors import InkseekError

Tree = Callable[..., Path]


def sketchy(tree: Tree, *, sketches: int = 2) -> Path:
    """All 125 classes, each with photos p0 and p1 and sketches of p0."""
    record = DATASET_RECORDS["sketchy-fg"]
    return tree(
        *(
            f"256x256/sketch/tx_000000000000/{name}/p0-{i}.png"
            for name in (*record.seen, *record.unseen)
            for i in range(sketches)
        ),
        *(
            f"256x256/photo/tx_000000000000/{name}/p{i}.jpg"
            for name in (*record.seen, *record.unseen)
            for i in range(2)
        ),
    )


def test_fine_grained_meets_its_class_and_everything(tree: Tree) -> None:
    root = sketchy(tree)
    opened = open_protocol("sketchy-fg", root)
    assert opened.class_galleries
    assert opened.metrics == ("Acc@1", "Acc@5", "Acc@10")
    assert (len(opened.queries), len(opened.gallery)) == (42, 42)
    for query, instance in zip(opened.queries.paths, opened.queries.instances.tolist(), strict=True):
        own = [opened.gallery.paths[i] for i in np.flatnonzero(opened.gallery.instances == instance)]
        assert [(path.parent.name, path.stem) for path in own] == [(query.parent.name, "p0")]
    assert opened.notes == (
        "NON-STANDARD: 21 classes, 12,694 queries, 2,100 gallery pictures expected, found 21, 42, 42",
    )


def test_generalised_adds_the_seen_photos_to_the_gallery_alone(tree: Tree) -> None:
    root = sketchy(tree)
    unseen, generalised = (open_protocol(f"sketchy-ext/split2/{split}", root) for split in ("unseen", "generalised"))
    assert generalised.queries.paths == unseen.queries.paths
    assert len(np.unique(generalised.gallery.labels)) == 125
    assert set(unseen.gallery.paths) < set(generalised.gallery.paths)


def test_seen_held_out_and_unseen_never_meet(tree: Tree) -> None:
    root = sketchy(tree)
    dataset = open_dataset("sketchy-ext/split1", root)
    sides = [set(dataset.training().labels.tolist())]
    sides += [set(protocol_of(dataset, split).gallery.labels.tolist()) for split in ("pseudo-unseen", "unseen")]
    assert [len(side) for side in sides] == [80, 20, 25]
    assert len(set.union(*sides)) == 125


def test_across_data_sets_leaves_out_what_was_trained_on(tree: Tree) -> None:
    root = sketchy(tree)
    opened = open_protocol("sketchy-ext/split2/unseen@without=quickdraw-photo", root)
    assert opened.name == "sketchy-ext/split2/unseen@without=quickdraw-photo"
    trained = set(DATASET_RECORDS["quickdraw-photo"].seen)
    left = {opened.queries.classes[label] for label in opened.queries.labels.tolist()}
    assert left == set(DATASET_RECORDS["sketchy-ext/split2"].unseen) - trained
    assert left == {opened.gallery.classes[label] for label in opened.gallery.labels.tolist()}
    assert opened.notes[-1].startswith("across data sets: ")
    assert opened.notes[0].startswith("NON-STANDARD")
    every = open_protocol("sketchy-fg/all@without=quickdraw-photo", root)
    known = {"car_(sedan)"}  # its name is `car` there
    assert {every.queries.classes[label] for label in every.queries.labels.tolist()} == (
        {*DATASET_RECORDS["sketchy-fg"].seen, *DATASET_RECORDS["sketchy-fg"].unseen} - trained - known
    )
    with pytest.raises(InkseekError, match="trains on every class"):
        open_protocol("sketchy-ext/split2/pseudo-unseen@without=sketchy-ext/split2", root)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sketchy-ext", "did you mean 'sketchy-ext/split"),
        ("sketchy-ext/split3/unseen", "did you mean 'sketchy-ext/split"),
        ("sketchy-ext/split2/unsen", "did you mean 'sketchy-ext/split2/unseen'"),
        ("sop/generalised", "no protocol is named 'sop/generalised'"),
        ("own/unseen@without=sop", "'sop' is no data set whose classes have names"),
        ("own/unseen@without=", "is no data set whose classes have names"),
    ],
)
def test_names_that_are_none(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InkseekError, match=said):
        open_protocol(name, tmp_path)


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "emoji"])
def test_an_empty_folder_is_one_line_for_every_data_set(name: str, tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(InkseekError) as caught:
            open_dataset(name, root)
        assert str(root) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_run_of_the_records_counts_is_standard_and_one_picture_less_is_not() -> None:
    """All 12,694 x 12,553 pictures of split 2 by their counts; nothing on disk is asked for."""
    record, expected = DATASET_RECORDS["sketchy-ext/split2"], RECORDS["sketchy-ext/split2/unseen"]

    def rows(domain: str, total: int, bounds: tuple[int, int]) -> list[Row]:
        sizes = [*bounds, *np.full(19, (total - sum(bounds)) // 19).tolist()]
        sizes[2] += total - sum(sizes)
        return [
            (Path(f"{domain}{i}"), name, "sketch" if domain == "sketch" else "photo", "", "")
            for name, size in zip(record.unseen, sizes, strict=True)
            for i in range(size)
        ]

    made = rows("sketch", 12_694, (529, 746)) + rows("photo", 12_553, (261, 850))
    seen: list[Row] = [(Path(name), name, "photo", "", "") for name in record.seen]

    def opened(unseen: list[Row]) -> tuple[str, ...]:
        items = Items.from_rows([*unseen, *seen], (*record.seen, *record.unseen))
        dataset = Dataset("sketchy-ext/split2", Path(), items, record.seen, record.unseen, record.seen[3::5])
        return protocol_of(dataset, "unseen").notes

    assert expected.queries_per_class == (529, 746)
    assert opened(made) == ()
    assert "found 21, 12,693, 12,553" in opened(made[1:])[0]
    # As many in all, but one class has given a photo to another.
    moved = [(made[-1][0], record.unseen[2], "photo", "", ""), *made[:-1]]
    assert opened(moved) == ()  # neither the smallest nor the largest class
    lent = next(i for i, row in enumerate(made) if row[1] == record.unseen[0] and row[2] == "photo")
    moved = [*made[:lent], (Path("x"), record.unseen[2], "photo", "", ""), *made[lent + 1 :]]
    assert opened(moved) == ("NON-STANDARD: gallery pictures a class: 261 to 850 expected, found 260 to 850",)


def test_withheld_sketches_are_counted_and_never_trained_on(tmp_path: Path) -> None:
    rows: list[Row] = [
        (Path("1"), "a", "sketch", "", ""),
        (Path("2"), "a", "sketch", "", WITHHELD),
        (Path("3"), "a", "photo", "", ""),
        (Path("4"), "b", "photo", "", ""),
    ]
    dataset = Dataset("own", tmp_path, Items.from_rows(rows, ("a", "b")), ("a",), ("b",), ())
    assert dataset.training().paths == (Path("1"), Path("3"))
    with pytest.raises(InkseekError, match="own/unseen has no queries here"):
        protocol_of(dataset, "unseen")


def test_a_check_counts_every_split(tree: Tree) -> None:
    found = check("sketchy-fg", sketchy(tree))
    assert not found.standard
    assert found.missing == ()
    counted = {split: {count.what: count.found for count in of} for split, of in found.counts.items()}
    assert counted["seen"] == {"classes": 104, "sketches": 208, "photos": 208}
    assert counted["unseen"]["gallery pictures a class"] == (2, 2)
    differing = {count.what for count in found.counts["unseen"] if not count.standard}
    assert differing == {"queries", "gallery pictures", "queries a class", "gallery pictures a class"}


def test_a_familys_name_means_all_of_it() -> None:
    assert len(names_of("sketchy-ext")) == 4
    assert names_of("sop") == ["sop"]
    with pytest.raises(InkseekError, match="no data set is named 'soup'; did you mean 'sop'"):
        names_of("soup")


@pytest.mark.data
def test_the_real_pictures_open_as_their_protocols(pictures: Path) -> None:
    assert check("quickdraw-photo", pictures / "quickdraw_photo").standard
    assert check("flowers-102", pictures / "flowers-102").standard
    few = open_protocol("sketchy-fg", pictures / "Sketchy_5cls")
    assert few.notes[0].startswith(
        "NON-STANDARD: 21 classes, 12,694 queries, 2,100 gallery pictures expected, found 1,"
    )
    assert set(few.queries.instances.tolist()) <= set(few.gallery.instances.tolist())
    across = open_protocol("quickdraw-photo@without=sketchy-ext/split1", pictures / "quickdraw_photo")
    assert "ant, dolphin, giraffe" in across.notes[0]
