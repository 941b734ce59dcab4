"""quickdraw-photo: QuickDraw's drawings beside photos of Caltech-101, PACS and Flickr15K, in Sketchy's layout."""

from __future__ import annotations

from pathlib import Path

from inkseek.datasets.dataset import Dataset
from inkseek.datasets.sketchy_layout import open_sketchy_layout


def open_quickdraw_photo(root: Path) -> Dataset:
    """Open the data set: 52 classes, 40 seen and 12 unseen, category-level sketch to photo.

    Raises:
        InkseekError: the folder is missing or is not this data set.
    """
    return open_sketchy_layout("quickdraw-photo", root)
