"""CUB-200-2011, Cars196, Online Products, In-Shop and Flowers as their makers publish them, in small trees."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from inkseek.datasets.catalogue import open_dataset
from inkseek.datasets.cub import read_cub_lists
from inkseek.datasets.protocol import open_protocol
from inkseek.datasets.records import DATASET_RECORDS
from inkseek.errors import InkseekError

Tree = Callable[..., Path]


def cub(tree: Tree, **changed: str) -> Path:
    lists = {
        "CUB/classes.txt": "1 001.Albatross\n2 002.Ani\n3 003.Auklet\n4 004.Wren\n",
        "CUB/images.txt": "".join(
            f"{i + 1} {c:03d}.X/{c}_{i % 2}.jpg\n" for i, c in enumerate([1, 1, 2, 2, 3, 3, 4, 4])
        ),
        "CUB/image_class_labels.txt": "".join(f"{i + 1} {i // 2 + 1}\n" for i in range(8)),
    }
    pictures = [f"CUB/images/{c:03d}.X/{c}_{i}.jpg" for c in range(1, 5) for i in range(2)]
    return tree(*pictures, **{**lists, **{f"CUB/{name}": text for name, text in changed.items()}}) / "CUB"


def test_cub_by_its_lists(tree: Tree) -> None:
    opened = open_protocol("cub-200-2011", cub(tree))
    assert opened.leave_self_out
    assert opened.clustering
    assert opened.queries is opened.gallery
    assert [opened.queries.classes[label] for label in opened.queries.labels] == ["003.Auklet"] * 2 + ["004.Wren"] * 2
    assert opened.notes == ("NON-STANDARD: 100 classes, 5,924 queries, 5,924 gallery pictures expected, found 2, 4, 4",)
    dataset = open_dataset("cub-200-2011", cub(tree))
    assert len(dataset.training(hold_out=False)) == 4
    assert set(dataset.training(hold_out=False).domains.tolist()) == {"photo"}
    assert dataset.pseudo_unseen == ("002.Ani",)


def test_cub_may_be_given_by_its_parent(tree: Tree) -> None:
    root = cub(tree)
    root.rename(root.parent / "CUB_200_2011")
    assert len(open_protocol("cub-200-2011", root.parent).queries) == 4


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"images.txt": "1 ../x.jpg\n"}, "leads out"),
        ({"images.txt": "1 /x.jpg\n"}, "leads out"),
        ({"images.txt": "one 001.X/1_0.jpg\n"}, r"images\.txt: line 1"),
        ({"images.txt": "9 001.X/1_0.jpg\n"}, "picture 9 of images.txt has no class"),
        ({"image_class_labels.txt": "1 7\n"}, "has no class"),
        ({"image_class_labels.txt": "1\n"}, r"image_class_labels\.txt: line 1"),
        ({"classes.txt": "\0"}, "zero bytes"),
        (
            {"images.txt": "1 001.X/gone.jpg\n"},
            "1 of the 1 files that images.txt lists are missing, the first images/001.X/gone.jpg",
        ),
    ],
)
def test_broken_cub_lists_are_one_line(changed: dict[str, str], said: str, tree: Tree) -> None:
    with pytest.raises(InkseekError, match=said) as caught:
        open_dataset("cub-200-2011", cub(tree, **changed))
    assert "\n" not in str(caught.value)


def structs(**columns: Sequence[object]) -> object:
    """A MATLAB struct array of 1 x N, as the official files hold."""
    count = len(next(iter(columns.values())))
    made = np.zeros((1, count), dtype=[(name, object) for name in columns])
    for name, values in columns.items():
        for i, value in enumerate(values):
            made[0, i][name] = value
    return made


def test_cars_by_cars_annos(tree: Tree) -> None:
    root = tree(*(f"car_ims/00000{i}.jpg" for i in range(1, 5)))
    annotations = structs(
        relative_im_path=[f"car_ims/00000{i}.jpg" for i in range(1, 6)],
        **{"class": [1, 98, 99.0, 196, 196]},
        test=[0, 1, 0, 1, 1],
    )
    savemat(root / "cars_annos.mat", {"annotations": annotations})
    opened = open_protocol("cars196", root)
    assert [path.name for path in opened.queries.paths] == ["000003.jpg", "000004.jpg"]
    assert [opened.queries.classes[label] for label in opened.queries.labels] == [
        DATASET_RECORDS["cars196"].unseen[0],
        "smart fortwo Convertible 2012",
    ]
    assert "1 of the 5 files that cars_annos.mat lists are missing, the first car_ims/000005.jpg" in opened.notes
    assert opened.leave_self_out


@pytest.mark.parametrize("place", ["", "devkit/"])
def test_cars_by_the_devkit(place: str, tree: Tree) -> None:
    root = tree("cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg", f"{place}x.txt")
    train = structs(bbox_x1=[1, 1], **{"class": [14, 150]}, fname=["00001.jpg", "00002.jpg"])
    test = structs(**{"class": [196]}, fname=["00001.jpg"])
    savemat(root / f"{place}cars_train_annos.mat", {"annotations": train})
    with pytest.raises(InkseekError, match=r"cars_test_annos_withlabels\.mat: no such file"):
        open_dataset("cars196", root)
    savemat(root / f"{place}cars_test_annos_withlabels.mat", {"annotations": test})
    opened = open_protocol("cars196", root)
    assert {path.relative_to(root).as_posix() for path in opened.queries.paths} == {
        "cars_train/00002.jpg",
        "cars_test/00001.jpg",
    }


@pytest.mark.parametrize("parts", [("",), ("train/", "test/")])
def test_cars_by_class_folders(parts: tuple[str, ...], tree: Tree) -> None:
    names = ("AM General Hummer SUV 2000", "Ram C-V Cargo Van Minivan 2012", "Audi S4 Sedan 2007")
    root = tree(*(f"{part}{name}/{i}.jpg" for i, part in enumerate(parts) for name in names))
    dataset = open_dataset("cars196", root)
    queries, _ = dataset.queries_and_gallery(dataset.unseen)
    assert {queries.classes[label] for label in queries.labels} == {"Ram C/V Cargo Van Minivan 2012"}
    assert len(queries) == len(parts)
    assert len(dataset.training(hold_out=False)) == 2 * len(parts)


def test_broken_annotations_are_one_line(tree: Tree) -> None:
    root = tree("car_ims/1.jpg")
    file = root / "cars_annos.mat"
    for values, said in (
        ({"other": [1]}, "no variable 'annotations'"),
        ({"annotations": [1, 2]}, "expected structs with the fields relative_im_path, class"),
        ({"annotations": structs(relative_im_path=["car_ims/1.jpg"])}, "expected structs"),
        ({"annotations": structs(relative_im_path=["../1.jpg"], **{"class": [1]})}, "leads out"),
        ({"annotations": structs(relative_im_path=["a.jpg"], **{"class": [197]})}, "class 197, which is none"),
        ({"annotations": structs(relative_im_path=["a.jpg"], **{"class": ["x"]})}, "class x, which is none"),
        ({"annotations": structs(relative_im_path=["a.jpg"], **{"class": [[1, 2]]})}, "no single value"),
    ):
        savemat(file, values)
        with pytest.raises(InkseekError, match=said):
            open_dataset("cars196", root)
    for data in (b"", b"\x80\x04K\x01.", b"MATLAB 7.3 MAT-file" + bytes(600), bytes(range(256)) * 4):
        file.write_bytes(data)
        with pytest.raises(InkseekError, match=r"cars_annos\.mat: not a MATLAB 5 file") as caught:
            open_dataset("cars196", root)
        assert "\n" not in str(caught.value)
    file.unlink()
    with pytest.raises(InkseekError, match=r"expected cars_annos\.mat, the devkit's annotations, or a folder a class"):
        open_dataset("cars196", root)


def products(train: str, test: str) -> dict[str, str]:
    head = "image_id class_id super_class_id path\n"
    return {"Ebay_train.txt": head + train, "Ebay_test.txt": head + test}


def test_online_products(tree: Tree) -> None:
    root = tree(
        *(f"bicycle_final/{i}.JPG" for i in range(1, 5)),
        **products(
            "1 1 1 bicycle_final/1.JPG\n2 1 1 bicycle_final/2.JPG\n",
            "3 11319 1 bicycle_final/3.JPG\n4 11319 1 bicycle_final/4.JPG\n",
        ),
    )
    opened = open_protocol("sop", root)
    assert [path.name for path in opened.queries.paths] == ["3.JPG", "4.JPG"]
    assert opened.leave_self_out
    assert opened.metrics is not None
    assert "R@1000" in opened.metrics
    dataset = open_dataset("sop", root)
    assert (dataset.seen, dataset.unseen) == (("1",), ("11319",))


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        ("1 1 1 a/1.JPG\n", "2 1 1 a/2.JPG\n", "product 1 is in Ebay_train.txt and in Ebay_test.txt"),
        ("1 1 a/1.JPG\n", "2 2 1 a/2.JPG\n", r"Ebay_train\.txt: line 2"),
        ("1 1 1 a/1.JPG\n", "", r"Ebay_test\.txt: lists nothing"),
        ("1 1 1 a/../../1.JPG\n", "2 2 1 a/2.JPG\n", "leads out"),
    ],
)
def test_broken_product_lists_are_one_line(train: str, test: str, said: str, tree: Tree) -> None:
    with pytest.raises(InkseekError, match=said):
        open_dataset("sop", tree("a/1.JPG", "a/2.JPG", **products(train, test)))


PARTITION = """5
image_name item_id evaluation_status
img/WOMEN/Dresses/id_1/02_1_front.jpg id_1 train
img/WOMEN/Dresses/id_1/02_2_side.jpg id_1 train
img/MEN/Denim/id_2/01_1_front.jpg id_2 query
img/MEN/Denim/id_2/01_2_side.jpg   id_2  gallery
img/MEN/Denim/id_3/01_7_add.jpg id_3 gallery
"""


@pytest.mark.parametrize(("where", "above"), [("", ""), ("Eval/", ""), ("Eval/", "Img/")])
def test_in_shop_asks_queries_of_the_gallery(where: str, above: str, tree: Tree) -> None:
    pictures = [line.split()[0] for line in PARTITION.splitlines()[2:]]
    root = tree(*(above + name for name in pictures), **{f"{where}list_eval_partition.txt": PARTITION})
    opened = open_protocol("in-shop", root)
    assert [path.name for path in opened.queries.paths] == ["01_1_front.jpg"]
    assert [path.name for path in opened.gallery.paths] == ["01_2_side.jpg", "01_7_add.jpg"]
    assert not opened.leave_self_out
    held_out = open_protocol("in-shop/pseudo-unseen", root)
    assert held_out.leave_self_out
    assert len(held_out.gallery) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("id_3 gallery", "id_1 gallery", "item 'id_1' is trained on and asked for"),
        ("id_3 gallery", "id_3 val", "not in one of train, query, gallery"),
        ("id_3 gallery", "id_3", "line 7"),
        ("img/MEN/Denim/id_3", "/img", "leads out"),
    ],
)
def test_broken_partitions_are_one_line(old: str, new: str, said: str, tree: Tree) -> None:
    root = tree("img/x.jpg", **{"list_eval_partition.txt": PARTITION.replace(old, new)})
    with pytest.raises(InkseekError, match=said):
        open_dataset("in-shop", root)


def test_flowers_are_those_that_are_there(tree: Tree) -> None:
    root = tree(
        *(f"jpg/image_0000{i}.jpg" for i in (1, 2, 3, 5, 6)), **{"cat_to_name.json": json.dumps({"7": "moon orchid"})}
    )
    savemat(root / "imagelabels.mat", {"labels": np.array([[1, 1, 7, 8, 102, 102]], dtype=np.uint8)})
    dataset = open_dataset("flowers-102", root)
    assert (dataset.seen, dataset.unseen) == (("001.flower",), ("007.moon orchid", "102.flower"))
    assert len(dataset.training(hold_out=False)) == 2
    assert open_protocol("flowers-102/unseen", root).leave_self_out


def test_broken_flower_labels_are_one_line(tree: Tree) -> None:
    root = tree("jpg/image_00001.jpg")
    with pytest.raises(InkseekError, match=r"imagelabels\.mat: no such file"):
        open_dataset("flowers-102", root)
    for labels, said in (([[0, 103]], "from 1 to 102"), ([[1.5]], "from 1 to 102"), (["abc"], "from 1 to 102")):
        savemat(root / "imagelabels.mat", {"labels": labels})
        with pytest.raises(InkseekError, match=said):
            open_dataset("flowers-102", root)
    savemat(root / "imagelabels.mat", {"labels": [[1]]})
    tree(**{"cat_to_name.json": "[1, 2]"})
    with pytest.raises(InkseekError, match="expected a JSON object"):
        open_dataset("flowers-102", root)


@pytest.mark.data
def test_the_official_lists_of_cub_are_the_record(pictures: Path) -> None:
    classes, rows = read_cub_lists(pictures / "CUB_200_2011_annotations_only" / "CUB_200_2011")
    record = DATASET_RECORDS["cub-200-2011"]
    assert classes == (*record.seen, *record.unseen)
    sizes = dict.fromkeys(classes, 0)
    for _, name, _ in rows:
        sizes[name] += 1
    unseen = [sizes[name] for name in record.unseen]
    assert sum(unseen) == record.protocols["unseen"].queries
    assert (min(unseen), max(unseen)) == record.protocols["unseen"].queries_per_class
    assert sum(sizes[name] for name in record.seen) == record.seen_photos
    assert sum(sizes[name] for name in record.seen[3::5]) == record.protocols["pseudo-unseen"].queries


@pytest.mark.data
def test_ten_classes_of_cub_open_as_non_standard(pictures: Path) -> None:
    opened = open_protocol("cub-200-2011", pictures / "CUB_10cls")
    assert opened.notes[0].startswith("NON-STANDARD: 100 classes, 5,924 queries")
    assert (
        len(opened.queries) + len(open_dataset("cub-200-2011", pictures / "CUB_10cls").training(hold_out=False)) == 294
    )


@pytest.mark.data
def test_the_real_flowers_are_the_record(pictures: Path) -> None:
    root = pictures / "flowers-102"
    dataset = open_dataset("flowers-102", root)
    listed = (root / "subset.csv").read_text().splitlines()[1:]
    assert {path.relative_to(root).as_posix() for path in dataset.items.paths} == {
        line.split(",")[0] for line in listed
    }
    for classes, file in ((dataset.seen, "classes_train48_first.txt"), (dataset.unseen, "classes_test48_last.txt")):
        assert [int(name[:3]) for name in classes] == [int(number) for number in (root / file).read_text().split()]
    assert open_protocol("flowers-102/unseen", root).notes == ()
    assert open_protocol("flowers-102/pseudo-unseen", root).notes == ()
