"""CUB-200-2011: birds, by the official lists `images.txt`, `image_class_labels.txt` and `classes.txt`."""

from __future__ import annotations

from pathlib import Path

from inkseek.datasets.class_folders import own_folder
from inkseek.datasets.dataset import Dataset, halves
from inkseek.datasets.file_lists import read_rows, relative_path
from inkseek.datasets.one_domain import one_domain
from inkseek.errors import InkseekError


def open_cub(root: Path) -> Dataset:
    """Open CUB-200-2011: the first half of `classes.txt` is seen (1-100 of 200), the second half unseen.

    Args:
        root: the folder `CUB_200_2011` or its parent.

    Raises:
        InkseekError: a list is missing or broken, or no picture is there.
    """
    own = own_folder(root, ("CUB_200_2011",))
    classes, rows = read_cub_lists(own)
    seen, unseen = halves(classes)
    return one_domain("cub-200-2011", own, rows, seen=seen, unseen=unseen, listed_in="images.txt")


def read_cub_lists(folder: Path) -> tuple[tuple[str, ...], list[tuple[str, str, str]]]:
    """Return the class names in order, and for every picture its path below the folder, its class, and ''.

    Raises:
        InkseekError: a list is missing or broken, or the lists do not fit each other.
    """
    names = {row[0]: row[1] for row in read_rows(folder / "classes.txt", ("#class", "path"))}
    classes = tuple(names[number] for number in sorted(names, key=int))
    labels = {row[0]: row[1] for row in read_rows(folder / "image_class_labels.txt", ("#picture", "#class"))}
    rows = []
    for picture, path in read_rows(folder / "images.txt", ("#picture", "path")):
        number = labels.get(picture)
        if number not in names:
            raise InkseekError(
                f"{folder}: picture {picture} of images.txt has no class by image_class_labels.txt and classes.txt"
            )
        rows.append((f"images/{relative_path(path, folder / 'images.txt')}", names[number], ""))
    return classes, rows
