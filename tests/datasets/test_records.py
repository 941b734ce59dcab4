"""The records: shipped lists of the right sizes, counts that agree with each other, and names that open."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inkseek.datasets.catalogue import DATASETS
from inkseek.datasets.class_names import class_key
from inkseek.datasets.dataset import every_fifth, read_split
from inkseek.datasets.records import DATASET_RECORDS, RECORDS, pseudo_unseen
from inkseek.metrics.names import metric

# Classes, queries and gallery as the literature and the public file lists state them.
STATED = {
    "quickdraw-photo/unseen": (12, 300, 381),
    "sketchy-ext/split1/unseen": (25, 15_229, 17_101),
    "sketchy-ext/split2/unseen": (21, 12_694, 12_553),
    "sketchy-ext/split2-dedup/unseen": (21, 12_694, 10_453),
    "sketchy-fg/unseen": (21, 12_694, 2_100),
    "tu-berlin-ext/unseen": (30, 2_400, 27_989),
    "quickdraw-ext/unseen": (30, 92_291, 54_151),
    "cub-200-2011/unseen": (100, 5_924, 5_924),
    "cars196/unseen": (98, 8_131, 8_131),
    "sop/unseen": (11_316, 60_502, 60_502),
    "in-shop/unseen": (3_985, 14_218, 12_612),
    "flowers-102/unseen": (48, 1_440, 1_440),
}


def test_every_data_set_has_a_record_and_opens_by_name() -> None:
    assert set(DATASETS) == set(DATASET_RECORDS)
    for name, record in DATASET_RECORDS.items():
        assert {"unseen", "pseudo-unseen"} <= set(record.protocols)
        assert all((record.title, record.origin, record.licence, record.counted)), name


@pytest.mark.parametrize("name", STATED)
def test_stated_counts(name: str) -> None:
    record = RECORDS[name]
    assert (record.classes, record.queries, record.gallery) == STATED[name]


@pytest.mark.parametrize(
    ("name", "seen", "unseen", "held_out"),
    [
        ("emoji", 51, 17, 7),
        ("quickdraw-photo", 40, 12, 8),
        ("sketchy-ext/split1", 100, 25, 20),
        ("sketchy-ext/split1-dedup", 100, 25, 20),
        ("sketchy-ext/split2", 104, 21, 21),
        ("sketchy-ext/split2-dedup", 104, 21, 21),
        ("sketchy-fg", 104, 21, 21),
        ("tu-berlin-ext", 220, 30, 44),
        ("quickdraw-ext", 80, 30, 16),
        ("cub-200-2011", 100, 100, 20),
        ("cars196", 98, 98, 19),
    ],
)
def test_shipped_lists_are_disjoint_and_of_the_stated_sizes(name: str, seen: int, unseen: int, held_out: int) -> None:
    record = DATASET_RECORDS[name]
    keys = [class_key(of) for of in (*record.seen, *record.unseen)]
    assert (len(record.seen), len(record.unseen)) == (seen, unseen)
    assert len(set(keys)) == len(keys)
    assert len(pseudo_unseen(name)) == held_out
    assert set(pseudo_unseen(name)) < set(record.seen)
    assert record.protocols["unseen"].classes == unseen
    assert record.protocols["pseudo-unseen"].classes == held_out


def test_the_two_splits_of_sketchy_are_of_the_same_classes() -> None:
    first, second = DATASET_RECORDS["sketchy-ext/split1"], DATASET_RECORDS["sketchy-ext/split2"]
    assert {*first.seen, *first.unseen} == {*second.seen, *second.unseen}
    assert set(first.unseen) & set(second.unseen) == {"scissors", "tree", "wheelchair", "windmill"}


def test_counts_add_up_to_the_whole_sets() -> None:
    for split in ("split1", "split2"):
        record = DATASET_RECORDS[f"sketchy-ext/{split}"]
        unseen = record.protocols["unseen"]
        assert (record.seen_sketches or 0) + (unseen.queries or 0) == 75_481
        assert (record.seen_photos or 0) + (unseen.gallery or 0) == 12_500 + 73_002
        assert record.protocols["generalised"].gallery == 12_500 + 73_002
    fine = DATASET_RECORDS["sketchy-fg"]
    assert (fine.seen_photos or 0) + (fine.protocols["unseen"].gallery or 0) == 12_500
    berlin = DATASET_RECORDS["tu-berlin-ext"]
    assert (berlin.seen_sketches or 0) + (berlin.protocols["unseen"].queries or 0) == 250 * 80
    for name, whole in (("cub-200-2011", 11_788), ("cars196", 16_185), ("sop", 120_053), ("flowers-102", 2_875)):
        record = DATASET_RECORDS[name]
        assert (record.seen_photos or 0) + (record.protocols["unseen"].gallery or 0) == whole
    shop = DATASET_RECORDS["in-shop"].protocols["unseen"]
    assert 25_882 + (shop.queries or 0) + (shop.gallery or 0) == 52_712


def test_counts_a_class_allow_the_totals() -> None:
    for name, record in RECORDS.items():
        for total, bounds in (
            (record.queries, record.queries_per_class),
            (record.gallery, record.gallery_per_class),
        ):
            if total is not None and bounds is not None and record.classes is not None:
                assert bounds[0] * record.classes <= total <= bounds[1] * record.classes, name


def test_metrics_are_known_and_carry_their_convention() -> None:
    for record in RECORDS.values():
        for name in record.metrics or ():
            assert metric(name).name == name
    assert "mAP@200 strict" in (RECORDS["sketchy-ext/split2/unseen"].metrics or ())
    assert "mAP@all" in (RECORDS["tu-berlin-ext/unseen"].metrics or ())
    assert "P@200" in (RECORDS["quickdraw-ext/unseen"].metrics or ())


def test_the_document_names_every_data_set() -> None:
    text = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    for name in DATASET_RECORDS:
        assert f"`{name.removesuffix('-dedup')}`" in text, name
    for name in re.findall(r"--protocol (\S+)|`([\w-]+/[\w/-]+)@without", text):
        assert (name[0] or name[1]) in {*RECORDS, *DATASET_RECORDS}


def test_every_fifth_class_is_held_out() -> None:
    names = tuple("abcdefghij")
    assert every_fifth(names) == ("d", "i")
    assert every_fifth(("a", "b")) == ("b",)
    assert every_fifth(()) == ()


def test_lists_say_where_they_are_from_without_that_becoming_a_class() -> None:
    assert read_split("cub_200_2011")[0] == "001.Black_footed_Albatross"
    assert read_split("cars196")[195] == "smart fortwo Convertible 2012"
