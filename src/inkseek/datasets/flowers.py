"""Oxford Flowers 102, by the official `imagelabels.mat` and the pictures that are there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from inkseek.datasets.class_folders import own_folder
from inkseek.datasets.dataset import Dataset, halves
from inkseek.datasets.file_lists import read_lines
from inkseek.datasets.mat_files import read_mat
from inkseek.datasets.one_domain import one_domain
from inkseek.errors import InkseekError


def open_flowers(root: Path) -> Dataset:
    """Open Flowers 102: the first half of the classes that have pictures is seen, the second half unseen.

    Args:
        root: holds `imagelabels.mat` and `jpg/`; names of classes come from `cat_to_name.json` where it is there.

    Raises:
        InkseekError: labels that are missing or broken, or no picture is there.
    """
    own = own_folder(root, ("flowers-102",))
    file = own / "imagelabels.mat"
    labels = read_mat(file, "labels")
    if labels.dtype.kind not in "uif" or not bool(((labels >= 1) & (labels <= 102) & (labels % 1 == 0)).all()):
        raise InkseekError(f"{file}: labels are whole numbers from 1 to 102")
    names = _names(own / "cat_to_name.json")
    # Label i belongs to picture i, and those that are not there belong to a larger selection, not to this one.
    rows = [
        (f"jpg/image_{i:05d}.jpg", f"{label:03d}.{names.get(label, 'flower')}", "")
        for i, label in enumerate(labels.astype(np.int64).tolist(), start=1)
        if (own / "jpg" / f"image_{i:05d}.jpg").is_file()
    ]
    if not rows:
        raise InkseekError(f"{own}: no picture is here; expected jpg/image_00001.jpg")
    seen, unseen = halves(tuple(sorted({of for _, of, _ in rows})))
    return one_domain("flowers-102", own, rows, seen=seen, unseen=unseen, listed_in="imagelabels.mat")


def _names(file: Path) -> dict[int, str]:
    if not file.is_file():
        return {}
    try:
        read = json.loads("\n".join(read_lines(file)))
        return {int(number): str(name) for number, name in read.items()}
    except (ValueError, AttributeError, RecursionError):
        raise InkseekError(f"{file}: expected a JSON object of class numbers and names") from None
