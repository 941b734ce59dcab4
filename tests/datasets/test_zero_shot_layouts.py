"""Sketchy-, TU-Berlin- and QuickDraw-Extended as people have them on disk, in small trees."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from inkseek.datasets.catalogue import open_dataset
from inkseek.datasets.protocol import open_protocol
from inkseek.errors import InkseekError

Tree = Callable[..., Path]

TX = "tx_000000000000"
# Of split 2: bat and cow are unseen, table and teapot seen.
SKETCHES = (
    "bat/n1_1-1.png",
    "bat/n1_1-2.png",
    "cow/n2_1-1.png",
    "table/n3_1-1.png",
    "table/n3_1-2.png",
    "teapot/a-1.png",
)
PHOTOS = ("bat/n1_1.jpg", "cow/n2_1.jpg", "table/n3_1.jpg", "teapot/a.jpg")
EXTENSION = ("bat/n1_1.jpg", "bat/ext_1.jpg", "cow/ext_1.jpg", "cow/n1_1.jpg", "table/n3_1.jpg", "teapot/ext_9.jpg")


def below(folder: str, *names: str) -> list[str]:
    return [f"{folder}/{name}" for name in names]


def files(root: Path, paths: tuple[Path, ...]) -> set[str]:
    return {path.relative_to(root).as_posix() for path in paths}


def sake(ready: str) -> list[str]:
    return [
        *below(f"256x256/sketch/{TX}{ready}", *SKETCHES),
        *below(f"256x256/photo/{TX}{ready}", *PHOTOS),
        *below(f"EXTEND_image_sketchy{ready}", *EXTENSION),
    ]


def lines(names: list[str]) -> str:
    return "".join(f"{name} 0\n" for name in names)


def sake_lists(folder: str) -> dict[str, str]:
    """SAKE's lists: one sketch of each seen class is withheld, and a photo that is on disk is in no list."""
    sketches = below(f"256x256/sketch/{TX}_ready", *SKETCHES)
    photos = [*below(f"256x256/photo/{TX}_ready", *PHOTOS), *below("EXTEND_image_sketchy_ready", *EXTENSION)]
    photos.remove("EXTEND_image_sketchy_ready/cow/ext_1.jpg")

    def of(names: list[str], *classes: str) -> list[str]:
        return [name for name in names if name.split("/")[-2] in classes]

    return {
        f"{folder}/sketch_{TX}_ready_filelist_train.txt": lines(of(sketches, "table", "teapot")[:1]),
        f"{folder}/sketch_{TX}_ready_filelist_test.txt": lines(of(sketches, "table", "teapot")[1:]),
        f"{folder}/sketch_{TX}_ready_filelist_zero.txt": lines(of(sketches, "bat", "cow")),
        f"{folder}/all_photo_filelist_train.txt": lines(of(photos, "table", "teapot")),
        f"{folder}/all_photo_filelist_zero.txt": lines(of(photos, "bat", "cow")),
    }


@pytest.mark.parametrize("ready", ["", "_ready"])
@pytest.mark.parametrize("given", [".", ".."])
def test_sketchy_by_folders(ready: str, given: str, tree: Tree) -> None:
    root = tree(*(f"Sketchy/{name}" for name in sake(ready)))
    opened = open_protocol("sketchy-ext/split2", root if given == ".." else root / "Sketchy")
    assert len(opened.queries) == 3
    assert len(opened.gallery) == 2 + 4
    assert opened.name == "sketchy-ext/split2/unseen"
    assert not opened.leave_self_out
    (note,) = opened.notes
    assert note.startswith("NON-STANDARD: 21 classes, 12,694 queries, 12,553 gallery pictures expected, found 2, 3, 6")
    assert "missing classes: cabin, dolphin" in note


def test_originals_are_dropped_where_the_extension_has_them(tree: Tree) -> None:
    root = tree(*sake("_ready"))
    gallery = open_protocol("sketchy-ext/split2-dedup", root).gallery
    assert files(root, gallery.paths) == {
        "EXTEND_image_sketchy_ready/bat/n1_1.jpg",
        "EXTEND_image_sketchy_ready/bat/ext_1.jpg",
        "EXTEND_image_sketchy_ready/cow/ext_1.jpg",
        "EXTEND_image_sketchy_ready/cow/n1_1.jpg",
        # The same stem in another class is another photo.
        f"256x256/photo/{TX}_ready/cow/n2_1.jpg",
    }


@pytest.mark.parametrize("folder", ["zeroshot0", "zeroshot2"])
@pytest.mark.parametrize("on_disk", ["", "_ready"])
def test_sketchy_by_lists(folder: str, on_disk: str, tree: Tree) -> None:
    root = tree(*sake(on_disk), **sake_lists(folder))
    dataset = open_dataset("sketchy-ext/split2", root)
    assert f"{folder}/all_photo_filelist_zero.txt" in dataset.layout
    training = dataset.training(hold_out=False)
    assert files(root, training.of(domain="sketch").paths) == {f"256x256/sketch/{TX}{on_disk}/table/n3_1-1.png"}
    assert len(dataset.items.of(domain="sketch", classes=["table", "teapot"])) == 3
    assert len(training.of(domain="photo")) == 2 + 2
    queries, gallery = dataset.queries_and_gallery(dataset.unseen)
    assert len(queries) == 3
    assert f"EXTEND_image_sketchy{on_disk}/cow/ext_1.jpg" not in files(root, gallery.paths)
    assert len(gallery) == 5
    assert len(open_protocol("sketchy-ext/split2/generalised", root).gallery) == 9
    assert len(open_dataset("sketchy-ext/split2-dedup", root).queries_and_gallery(dataset.unseen)[1]) == 4


def test_what_no_list_names_is_read_by_folder(tree: Tree) -> None:
    """ZSE-SBIR publishes some of the lists only."""
    lists = sake_lists("zeroshot0")
    root = tree(*sake("_ready"), **{name: text for name, text in lists.items() if name.endswith("zero.txt")})
    dataset = open_dataset("sketchy-ext/split2", root)
    assert len(dataset.training(hold_out=False).of(domain="sketch")) == 3
    assert len(dataset.queries_and_gallery(dataset.unseen)[1]) == 5
    assert "; folders 256x256/sketch" in dataset.layout


def test_lists_of_the_other_split_are_an_error(tree: Tree) -> None:
    root = tree(*sake("_ready"), **sake_lists("zeroshot1"))
    with pytest.raises(InkseekError, match=r"lists classes that are not of this split: (bat|table|cow)"):
        open_dataset("sketchy-ext/split1", root)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/etc/bat/x.jpg 0\n", "leads out"),
        ("../bat/x.jpg 0\n", "leads out"),
        ("256x256/bat/x.jpg\n", "line 1"),
        ("256x256/bat/x.jpg bat\n", "line 1"),
        ("x.jpg 0\n", "expected <folder>/<class>/<file>"),
        ("256x256/photo/dragon/x.jpg 0\n", "not of this split: dragon"),
        ("", "lists nothing"),
        ("\0\0\0", "zero bytes"),
    ],
)
def test_hostile_lists_are_one_line(text: str, said: str, tree: Tree) -> None:
    root = tree(*sake("_ready"), **{"zeroshot2/all_photo_filelist_zero.txt": text})
    with pytest.raises(InkseekError, match=said) as caught:
        open_dataset("sketchy-ext/split2", root)
    assert "\n" not in str(caught.value)


def test_listed_files_that_are_missing_are_counted(tree: Tree) -> None:
    text = lines([f"256x256/photo/{TX}_ready/bat/n1_1.jpg", f"256x256/photo/{TX}_ready/bat/gone.jpg"])
    root = tree(*sake("_ready"), **{"zeroshot2/all_photo_filelist_zero.txt": text})
    opened = open_protocol("sketchy-ext/split2", root)
    assert "1 of the 2 files that all_photo_filelist_zero.txt lists are missing, the first" in opened.notes[0]
    assert opened.notes[-1].startswith("NON-STANDARD")
    assert len(opened.gallery) == 1


@pytest.mark.parametrize(
    ("sketch", "photo", "extension"),
    [
        (f"sketch/{TX}", f"photo/{TX}", "extended_photo"),  # SEM-PCYC, doodle2search
        ("sketch", "photo", None),  # CLIP-AT, KD-SBIR
    ],
)
def test_sketchy_as_other_projects_keep_it(sketch: str, photo: str, extension: str | None, tree: Tree) -> None:
    root = tree(*below(sketch, *SKETCHES), *below(photo, *PHOTOS), *(below(extension, *EXTENSION) if extension else ()))
    opened = open_protocol("sketchy-ext/split2", root)
    assert len(opened.queries) == 3
    assert len(opened.gallery) == (6 if extension else 2)


def test_clipprompts_train_and_val(tree: Tree) -> None:
    root = tree(
        "train/sketch/table/1.jpg",
        "train/photo/table/1.jpg",
        "val/sketch/bat/1.jpg",
        "val/photo/bat/1.jpg",
        "val/photo/bat/2.jpg",
    )
    opened = open_protocol("sketchy-ext/split2", root)
    assert (len(opened.queries), len(opened.gallery)) == (1, 2)
    assert len(open_dataset("sketchy-ext/split2", root).training(hold_out=False)) == 2


def test_folders_of_no_class_are_named_and_spellings_joined(tree: Tree) -> None:
    root = tree(
        "sketch/Wheel Chair/1.png",
        "photo/wheel-chair/1.jpg",
        "sketch/table/1.png",
        "photo/table/1.jpg",
        "photo/dragon/1.jpg",
    )
    opened = open_protocol("sketchy-ext/split2", root)
    assert [opened.queries.classes[label] for label in opened.queries.labels] == ["wheelchair"]
    assert opened.notes[0] == "folders that are no class of this data set are left out: dragon"
    tree("photo/wheelchair/2.jpg")
    with pytest.raises(InkseekError, match="spellings of one class"):
        open_protocol("sketchy-ext/split2", root)


def test_the_unseen_classes_alone_can_be_measured(tree: Tree) -> None:
    sketches, photos = (tuple(name for name in of if name[:3] in {"bat", "cow"}) for of in (SKETCHES, PHOTOS))
    root = tree(*below("sketch", *sketches), *below("photo", *photos), **sake_lists("zeroshot2"))
    with pytest.raises(
        InkseekError, match=r"1 of the 1 files that .*_train\.txt lists are missing.*; expected 256x256"
    ):
        open_dataset("sketchy-ext/split2", root)
    shutil.rmtree(root / "zeroshot2")
    opened = open_protocol("sketchy-ext/split2", root)
    assert (len(opened.queries), len(opened.gallery)) == (3, 2)
    with pytest.raises(InkseekError, match=r"pseudo-unseen has no queries here; missing classes: wading_bird"):
        open_protocol("sketchy-ext/split2/pseudo-unseen", root)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("readme.md",), "no picture of sketchy-ext/split2 is here; expected 256x256/sketch/"),
        (("sketch/bat/1.png",), "no picture of sketchy-ext/split2 is here; expected"),
        (("sketch/bat/1.png", "photo/dragon/1.jpg"), "split2/unseen has no gallery here; missing classes: cabin, cow"),
        (("sketch/table/1.png", "photo/table/1.jpg"), "split2/unseen has no queries here; missing classes: bat, cabin"),
    ],
)
def test_what_is_not_there_is_named(names: tuple[str, ...], said: str, tree: Tree) -> None:
    with pytest.raises(InkseekError, match=said):
        open_protocol("sketchy-ext/split2", tree(*names))
    with pytest.raises(InkseekError, match=r"no such folder.*--root"):
        open_protocol("sketchy-ext/split2", tree() / "none")


BERLIN = ("hot air balloon/1 a.{}", "banana/2.{}", "wrist-watch/3.{}", "wrist-watch/4.{}")


@pytest.mark.parametrize(
    ("folder", "sketches", "photos"),
    [
        ("TUBerlin", "png_ready", "ImageResized_ready"),
        ("TUBerlin", "png", "ImageResized"),
        ("TU-Berlin", "sketches", "images"),
        ("anything", "sketch", "photo"),
    ],
)
def test_tu_berlin(folder: str, sketches: str, photos: str, tree: Tree) -> None:
    root = tree(
        *(f"{folder}/{sketches}/{name.format('png')}" for name in BERLIN),
        *(f"{folder}/{photos}/{name.format('JPEG')}" for name in BERLIN),
    )
    opened = open_protocol("tu-berlin-ext", root / folder)
    assert (len(opened.queries), len(opened.gallery)) == (2, 2)
    assert len(open_protocol("tu-berlin-ext/generalised", root / folder).gallery) == 4


def test_tu_berlin_by_lists(tree: Tree) -> None:
    sketches, photos = (
        [f"{f}/{name.format(suffix)}" for name in BERLIN]
        for f, suffix in (("png_ready", "png"), ("ImageResized_ready", "JPEG"))
    )
    root = tree(
        *sketches,
        *photos,
        **{
            "zeroshot/png_ready_filelist_train.txt": f"{sketches[2]} 0\n",
            "zeroshot/png_ready_filelist_test.txt": f"{sketches[3]} 0\n",
            "zeroshot/png_ready_filelist_zero.txt": f"{sketches[0]} 14\n",
            "zeroshot/ImageResized_ready_filelist_zero.txt": f"{photos[0]} 14\n{photos[1]} 0\n",
            "zeroshot/cid_mask.pickle": "never opened",
        },
    )
    dataset = open_dataset("tu-berlin-ext", root)
    assert files(root, dataset.training(hold_out=False).of(domain="sketch").paths) == {sketches[2]}
    queries, gallery = dataset.queries_and_gallery(dataset.unseen)
    assert files(root, queries.paths) == {"png_ready/hot air balloon/1 a.png"}
    assert len(gallery) == 2


@pytest.mark.parametrize("form", ["{}", "{}_filelist"])
def test_quickdraw_extended(form: str, tree: Tree) -> None:
    pictures = ("bat/1.png", "palm tree/2.png", "teapot/3.png")
    root = tree(
        *below("sketches", *pictures),
        *below("images", *(name.replace("png", "jpg") for name in pictures)),
        **{f"zeroshot/{form.format('sketch')}_zero.txt": "sketches/palm tree/2.png 16\n"},
    )
    opened = open_protocol("quickdraw-ext", root)
    assert files(root, opened.queries.paths) == {"sketches/palm tree/2.png"}
    assert len(opened.gallery) == 2
