"""Sketchy with the extension's photos: split 1 and split 2, with and without original photos that are there twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from inkseek.datasets.dataset import Dataset
from inkseek.datasets.items import Items
from inkseek.datasets.zero_shot_layout import Folders, ZeroShotLayout, open_zero_shot

_TX = "tx_000000000000"


def _layout(*lists: str) -> ZeroShotLayout:
    return ZeroShotLayout(
        named=("Sketchy", "sketchy"),
        lists=lists,
        sketch_lists=(f"sketch_{_TX}_ready_filelist_{{}}.txt", f"sketch_{_TX}_filelist_{{}}.txt"),
        photo_lists=("all_photo_filelist_{}.txt",),
        folders=(
            Folders((f"256x256/sketch/{_TX}",), (f"256x256/photo/{_TX}", "EXTEND_image_sketchy")),
            Folders((f"sketch/{_TX}",), (f"photo/{_TX}", "extended_photo", "EXTEND_image_sketchy")),
        ),
    )


# The lists of split 2 are in `zeroshot2` for SAKE, MATHM and CMCA, in `zeroshot0` for ZSE-SBIR and DRCPL.
_LAYOUTS = {1: _layout("zeroshot1"), 2: _layout("zeroshot2", "zeroshot0")}


def open_sketchy_ext(root: Path, *, split: int, dedup: bool) -> Dataset:
    """Open Sketchy-Extended.

    The extension's folder already holds the original photos, so that the gallery of SAKE's lists, which published
    figures are measured on, holds nearly all of them twice.

    Args:
        root: the folder `Sketchy` or its parent.
        split: 1 (100 / 25 classes) or 2 (104 / 21 classes, none of the unseen ones in ImageNet).
        dedup: leave out an original photo where the extension has one of the same class and file stem.

    Raises:
        InkseekError: the folder is missing or is not this data set.
    """
    dataset = open_zero_shot(f"sketchy-ext/split{split}{'-dedup' if dedup else ''}", root, _LAYOUTS[split])
    return replace(dataset, items=_without_copies(dataset.items)) if dedup else dataset


def _without_copies(items: Items) -> Items:
    photo = items.domains == "photo"
    original = photo & np.array([path.parts[-3].startswith("tx_") for path in items.paths])
    keys = [(label, path.stem) for label, path in zip(items.labels.tolist(), items.paths, strict=True)]
    extension = {keys[i] for i in np.flatnonzero(photo & ~original)}
    copied = np.array([key in extension for key in keys])
    return items.pick(~(original & copied))
