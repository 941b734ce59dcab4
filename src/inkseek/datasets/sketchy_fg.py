"""Sketchy without extension: fine-grained, a sketch finds the photo that it was drawn from."""

from __future__ import annotations

from pathlib import Path

from inkseek.datasets.class_folders import own_folder
from inkseek.datasets.dataset import Dataset
from inkseek.datasets.sketchy_layout import open_sketchy_layout


def open_sketchy_fg(root: Path) -> Dataset:
    """Open Sketchy under the class split 104 / 21, every sketch paired with its photo.

    A sketch belongs to the original photo (`tx_000000000000`) of its class with the same file stem; the extension's
    copies, whose stems repeat those of originals, are not read.

    Args:
        root: the folder `Sketchy`, its parent, or a folder with some of its classes (a NON-STANDARD run).

    Raises:
        InkseekError: the folder is missing or is not this data set.
    """
    return open_sketchy_layout("sketchy-fg", own_folder(root, ("Sketchy", "sketchy")))
