"""Folders become items; what is missing is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkseek.datasets.catalogue import open_dataset
from inkseek.datasets.dataset import read_split
from inkseek.datasets.items import Items
from inkseek.datasets.protocol import open_protocol, protocol_of
from inkseek.datasets.quickdraw_photo import open_quickdraw_photo
from inkseek.datasets.sketchy_layout import read_sketchy_layout
from inkseek.errors import InkseekError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_a_sketch_is_paired_with_its_photo_within_the_class(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "256x256/sketch/tx_000000000000/bat/n1_2-1.png",
        "256x256/sketch/tx_000000000000/bat/n1_2-4.png",
        "256x256/sketch/tx_000000000000/cow/n1_2-1.png",
        "256x256/photo/tx_000000000000/bat/n1_2.jpg",
        "256x256/photo/tx_000000000000/cow/n1_2.jpg",
        "256x256/photo/tx_000000000000/cow/n9_9.jpg",
    )
    items = read_sketchy_layout(tmp_path)
    assert items.classes == ("bat", "cow")
    instance = {f"{p.parent.name}/{p.name}": i for p, i in zip(items.paths, items.instances.tolist(), strict=True)}
    assert instance["bat/n1_2-1.png"] == instance["bat/n1_2-4.png"] == instance["bat/n1_2.jpg"] >= 0
    assert instance["cow/n1_2-1.png"] == instance["cow/n1_2.jpg"] != instance["bat/n1_2.jpg"]
    assert instance["cow/n9_9.jpg"] not in {-1, instance["cow/n1_2.jpg"], instance["bat/n1_2.jpg"]}
    assert items.paired


def test_drawings_without_photos_of_their_own_are_unpaired(tmp_path: Path) -> None:
    touch(tmp_path, "sketch/cow/123-4.png", "photo/cow/a.jpg")
    items = read_sketchy_layout(tmp_path)
    assert not items.paired
    assert items.instances.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "no sketch folder"),
        (("sketch/cow/1.png",), "no photo folder"),
        (("sketch/cow/1.png", "sketch/bat/1.png", "photo/cow/1.jpg"), "class 'bat' has no photo"),
        (("sketch/readme.txt", "photo/readme.txt"), "no class"),
    ],
)
def test_what_is_missing_is_named(files: tuple[str, ...], message: str, tmp_path: Path) -> None:
    touch(tmp_path, *files)
    with pytest.raises(InkseekError, match=message):
        read_sketchy_layout(tmp_path)


def test_a_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InkseekError, match=r"no such folder.*--root"):
        read_sketchy_layout(tmp_path / "none")


def test_items_pick_by_domain_class_and_source() -> None:
    rows = [
        (Path("a"), "x", "sketch", "1", ""),
        (Path("b"), "x", "photo", "1", "one"),
        (Path("c"), "y", "photo", "2", "two"),
    ]
    items = Items.from_rows(rows, ("x", "y"))  # type: ignore[arg-type]
    assert items.of(domain="photo").paths == (Path("b"), Path("c"))
    assert items.of(domain="photo", classes=["y"]).labels.tolist() == [1]
    assert items.of(source="one").paths == (Path("b"),)
    assert items.instances.tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="labels"):
        Items(items.paths, np.zeros(1, dtype=np.int64), items.domains, items.instances, items.sources, items.classes)


def test_unknown_names_name_the_nearest() -> None:
    with pytest.raises(InkseekError, match="did you mean 'emoji'"):
        open_dataset("emojis")
    with pytest.raises(InkseekError, match="did you mean 'emoji/unseen'"):
        open_protocol("emoji/unsen")
    with pytest.raises(InkseekError, match="--root"):
        open_dataset("quickdraw-photo")


def test_other_counts_are_non_standard(tmp_path: Path) -> None:
    for name in (*read_split("quickdraw_photo_seen40"), *read_split("quickdraw_photo_unseen12")):
        touch(tmp_path, f"sketch/{name}/1.png", f"photo/{name}/1.jpg", f"photo/{name}/2.jpg")
    protocol = open_protocol("quickdraw-photo/unseen", tmp_path)
    assert protocol.notes == ("NON-STANDARD: 12 classes, 300 queries, 381 gallery pictures expected, found 12, 12, 24",)


def test_missing_classes_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "sketch/dog/1.png", "photo/dog/1.jpg")
    assert open_quickdraw_photo(tmp_path).missing[:2] == ("The_Eiffel_Tower", "airplane")
    with pytest.raises(InkseekError, match=r"unseen has no queries here; missing classes: ant, brain"):
        open_protocol("quickdraw-photo/unseen", tmp_path)
    (tmp_path / "sketch" / "dog").rename(tmp_path / "sketch" / "unicorn")
    (tmp_path / "photo" / "dog").rename(tmp_path / "photo" / "unicorn")
    with pytest.raises(InkseekError, match=r"no class of quickdraw-photo is here: The_Eiffel_Tower, airplane"):
        open_quickdraw_photo(tmp_path)


@pytest.mark.data
def test_quickdraw_photo_is_the_protocol_it_says(pictures: Path) -> None:
    dataset = open_quickdraw_photo(pictures / "quickdraw_photo")
    assert protocol_of(dataset, "unseen").notes == ()
    assert protocol_of(dataset, "pseudo-unseen").notes == ()
    assert len(dataset.items.of(domain="sketch")) == 1300
    assert not dataset.items.paired


@pytest.mark.data
def test_genuine_sketchy_is_paired(pictures: Path) -> None:
    items = read_sketchy_layout(pictures / "Sketchy_5cls")
    sketches, photos = items.of(domain="sketch"), items.of(domain="photo")
    assert (len(sketches), len(photos), len(items.classes)) == (2864, 434, 5)
    assert set(sketches.instances.tolist()) <= set(photos.instances.tolist())
    with Image.open(photos.paths[0]) as picture:
        assert picture.size == (227, 227)
