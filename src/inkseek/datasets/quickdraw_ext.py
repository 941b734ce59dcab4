"""QuickDraw-Extended: rendered drawings of Quick, Draw! with photos of Flickr."""

from __future__ import annotations

from pathlib import Path

from inkseek.datasets.dataset import Dataset
from inkseek.datasets.zero_shot_layout import Folders, ZeroShotLayout, open_zero_shot

_LAYOUT = ZeroShotLayout(
    named=("QuickDraw", "QuickDraw-Extended"),
    lists=("zeroshot",),
    sketch_lists=("sketch_{}.txt", "sketch_filelist_{}.txt"),
    photo_lists=("all_photo_{}.txt", "all_photo_filelist_{}.txt"),
    folders=(Folders(("sketches",), ("images",)), Folders(("QuickDraw_sketches_final",), ("QuickDraw_images_final",))),
)


def open_quickdraw_ext(root: Path) -> Dataset:
    """Open QuickDraw-Extended under ZSE-SBIR's split: 80 seen and 30 unseen classes.

    Args:
        root: the folder `QuickDraw` or its parent.

    Raises:
        InkseekError: the folder is missing or is not this data set.
    """
    return open_zero_shot("quickdraw-ext", root, _LAYOUT)
