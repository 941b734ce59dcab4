"""TU-Berlin's sketches with the photos that extend them."""

from __future__ import annotations

from pathlib import Path

from inkseek.datasets.dataset import Dataset
from inkseek.datasets.zero_shot_layout import Folders, ZeroShotLayout, open_zero_shot

_LAYOUT = ZeroShotLayout(
    named=("TUBerlin", "TU-Berlin"),
    lists=("zeroshot",),
    sketch_lists=("png_ready_filelist_{}.txt", "png_filelist_{}.txt"),
    photo_lists=("ImageResized_ready_filelist_{}.txt", "ImageResized_filelist_{}.txt"),
    folders=(Folders(("png",), ("ImageResized",)), Folders(("sketches",), ("images",))),
)


def open_tu_berlin_ext(root: Path) -> Dataset:
    """Open TU-Berlin-Extended under SAKE's split: 220 seen and 30 unseen classes.

    Args:
        root: the folder `TUBerlin` (SAKE, ZSE-SBIR) or `TU-Berlin` (SEM-PCYC), or its parent.

    Raises:
        InkseekError: the folder is missing or is not this data set.
    """
    return open_zero_shot("tu-berlin-ext", root, _LAYOUT)
