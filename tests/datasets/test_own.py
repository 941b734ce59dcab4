"""Pictures of one's own: folders, class folders, and a CSV."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from inkseek.datasets.catalogue import open_dataset
from inkseek.datasets.dataset import Dataset
from inkseek.datasets.protocol import open_protocol
from inkseek.errors import InkseekError

Tree = Callable[..., Path]


def opened(root: Path) -> Dataset:
    return open_dataset("own", root)


def test_sketches_and_photos_in_folders(tree: Tree) -> None:
    root = tree(*(f"{domain}/{name}/{i}.png" for domain in ("sketch", "photo") for name in "abcd" for i in range(2)))
    dataset = opened(root)
    assert (dataset.seen, dataset.unseen, dataset.pseudo_unseen) == (("a", "b"), ("c", "d"), ("b",))
    assert len(open_protocol("own", root).queries) == 4
    assert len(open_protocol("own/generalised", root).gallery) == 8
    every = open_protocol("own/all", root)
    assert (len(every.queries), len(every.gallery)) == (8, 8)
    assert every.notes == ()
    assert not every.leave_self_out


def test_sketches_named_after_their_photos_are_paired(tree: Tree) -> None:
    root = tree(*(f"sketch/{name}/p-{i}.png" for name in "ab" for i in range(2)), "photo/a/p.jpg", "photo/b/p.jpg")
    every = open_protocol("own/all", root)
    assert every.queries.paired
    assert every.gallery.paired


def test_class_folders_of_photos_look_for_each_other(tree: Tree) -> None:
    root = tree(*(f"{name}/{i}.jpg" for name in ("x", "y", "z") for i in range(2)), **{"unseen.txt": "X\n"})
    dataset = opened(root)
    assert (dataset.seen, dataset.unseen) == (("y", "z"), ("x",))
    protocol = open_protocol("own", root)
    assert protocol.leave_self_out
    assert protocol.queries is protocol.gallery
    assert protocol.metrics is not None
    assert "R@1" in protocol.metrics


CSV = """path,label,domain,instance,split
a/1.png,chair,sketch,7,train
a/1.jpg,chair,photo,7,train
b/1.png,Lamp,sketch,9,test
b/1.jpg,Lamp,photo,9,test
"""


@pytest.mark.parametrize("given", ["", "items.csv"])
def test_a_csv_with_every_column(given: str, tree: Tree) -> None:
    root = tree("a/1.png", "a/1.jpg", "b/1.png", "b/1.jpg", **{"items.csv": CSV})
    dataset = opened(root / given)
    assert (dataset.seen, dataset.unseen) == (("chair",), ("Lamp",))
    assert dataset.items.paired
    assert open_protocol("own", root).queries.paths == (root / "b/1.png",)


def test_a_csv_of_paths_and_labels_is_photos(tree: Tree) -> None:
    root = tree("1.png", "2, 3.png", **{"items.csv": 'label , path\nx,1.png\ny,"2, 3.png"\n'})
    dataset = opened(root)
    assert (dataset.seen, dataset.unseen) == (("x",), ("y",))
    assert dataset.one_domain


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,class\na,b\n", "the column 'label' is missing"),
        ("path,label\n", "lists nothing"),
        ("path,label\n1.png\n", "line 2 has more or fewer columns"),
        ("path,label\n1.png,x,y\n", "line 2 has more or fewer columns"),
        ("path,label\n1.png,\n", "line 2 has no path or no label"),
        ("path,label\n../1.png,x\n", "line 2: .* leads out"),
        ("path,label\n/1.png,x\n", "line 2: .* leads out"),
        ("path,label\n9.png,x\n", r"line 2: .*9\.png: no such file"),
        ("path,label,domain\n1.png,x,drawing\n", "sketch or photo, not 'drawing'"),
        ("path,label,split\n1.png,x,tset\n", "no split is named 'tset'; did you mean 'test'"),
        ("path,label,split\n1.png,x,test\n2.png,x,train\n", "class 'x' is 'seen' here, 'unseen' above"),
        ("path,label,split\n1.png,x,test\n2.png,y,\n", "class 'y' has no split although others have one"),
        ("path,label,split\n1.png,x,test\n2.png,y,test\n", "leaves no seen class"),
        ("path,label\n1.png,x y\n2.png,x-y\n", "spellings of one class"),
        ("path,label\n1.png,x\n", "only one class is here"),
        ('path,label\n"1.png,x\n', "not CSV|columns"),
        ("\0", "zero bytes"),
    ],
)
def test_a_broken_csv_is_one_line(text: str, said: str, tree: Tree) -> None:
    root = tree("1.png", "2.png", **{"items.csv": text})
    with pytest.raises(InkseekError, match=said) as caught:
        opened(root)
    assert "\n" not in str(caught.value)


def test_what_is_no_data_set_is_one_line(tree: Tree) -> None:
    with pytest.raises(InkseekError, match="no such folder"):
        opened(tree() / "none")
    with pytest.raises(InkseekError, match="no picture is here"):
        opened(tree("readme.md"))
    with pytest.raises(InkseekError, match=r"unseen\.txt: no class is named 'sofa'; did you mean 'sofas'"):
        opened(tree("sofas/1.jpg", "beds/1.jpg", **{"unseen.txt": "sofa\n"}))


@pytest.mark.data
def test_five_classes_of_sketchy_are_own_data(pictures: Path) -> None:
    dataset = opened(pictures / "Sketchy_5cls")
    assert (dataset.seen, dataset.unseen) == (("dog", "elephant"), ("giraffe", "guitar", "horse"))
    protocol = open_protocol("own", pictures / "Sketchy_5cls")
    assert protocol.queries.paired
    assert protocol.gallery.paired
