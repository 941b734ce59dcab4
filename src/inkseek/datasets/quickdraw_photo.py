"""quickdraw-photo: QuickDraw's drawings beside photos of Caltech-101, PACS and Flickr15K, in Sketchy's layout."""

from __future__ import annotations

from pathlib import Path

from inkseek.datasets.dataset import Dataset, read_split
from inkseek.datasets.sketchy_layout import read_sketchy_layout


def open_quickdraw_photo(root: Path) -> Dataset:
    """Open the data set: 52 classes, 40 seen and 12 unseen, category-level sketch to photo.

    Raises:
        InkseekError: the folder is missing or is not this data set.
    """
    return Dataset(
        name="quickdraw-photo",
        root=root,
        items=read_sketchy_layout(root),
        seen=read_split("quickdraw_photo_seen40"),
        unseen=read_split("quickdraw_photo_unseen12"),
        pseudo_unseen=read_split("quickdraw_photo_pseudo_unseen8"),
    )
