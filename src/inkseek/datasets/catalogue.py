"""The data sets by name, for recipes and protocols."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from inkseek.cache import cache_folder
from inkseek.datasets.dataset import Dataset
from inkseek.datasets.emoji import open_emoji
from inkseek.datasets.quickdraw_photo import open_quickdraw_photo
from inkseek.errors import InkseekError, nearest

DATASETS: dict[str, Callable[[Path], Dataset]] = {"emoji": open_emoji, "quickdraw-photo": open_quickdraw_photo}

# These make their own pictures, in the cache folder unless a root is given.
_SELF_MADE = frozenset({"emoji"})


def open_dataset(name: str, root: Path | None = None) -> Dataset:
    """Open a data set by name.

    Args:
        root: where its pictures are; may be left out for `emoji`, which is rendered into the cache folder.

    Raises:
        InkseekError: unknown name, a root that is needed and not given, or what the data set itself finds wrong.
    """
    if name not in DATASETS:
        raise InkseekError(f"no data set is named {name!r}{nearest(name, DATASETS)}; there are: {', '.join(DATASETS)}")
    if root is None:
        if name not in _SELF_MADE:
            raise InkseekError(f"{name}: say where its pictures are, with --root FOLDER or data.root in the recipe")
        root = cache_folder()
    return DATASETS[name](root.expanduser())
