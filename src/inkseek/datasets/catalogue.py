"""The data sets by name, for recipes and protocols."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from inkseek.cache import cache_folder
from inkseek.datasets.cars import open_cars
from inkseek.datasets.cub import open_cub
from inkseek.datasets.dataset import Dataset
from inkseek.datasets.emoji import open_emoji
from inkseek.datasets.flowers import open_flowers
from inkseek.datasets.in_shop import open_in_shop
from inkseek.datasets.own import open_own
from inkseek.datasets.quickdraw_ext import open_quickdraw_ext
from inkseek.datasets.quickdraw_photo import open_quickdraw_photo
from inkseek.datasets.sketchy_ext import open_sketchy_ext
from inkseek.datasets.sketchy_fg import open_sketchy_fg
from inkseek.datasets.sop import open_sop
from inkseek.datasets.tu_berlin_ext import open_tu_berlin_ext
from inkseek.errors import InkseekError, nearest

DATASETS: dict[str, Callable[[Path], Dataset]] = {
    "emoji": open_emoji,
    "quickdraw-photo": open_quickdraw_photo,
    "sketchy-ext/split1": partial(open_sketchy_ext, split=1, dedup=False),
    "sketchy-ext/split1-dedup": partial(open_sketchy_ext, split=1, dedup=True),
    "sketchy-ext/split2": partial(open_sketchy_ext, split=2, dedup=False),
    "sketchy-ext/split2-dedup": partial(open_sketchy_ext, split=2, dedup=True),
    "sketchy-fg": open_sketchy_fg,
    "tu-berlin-ext": open_tu_berlin_ext,
    "quickdraw-ext": open_quickdraw_ext,
    "cub-200-2011": open_cub,
    "cars196": open_cars,
    "sop": open_sop,
    "in-shop": open_in_shop,
    "flowers-102": open_flowers,
    "own": open_own,
}

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
        raise InkseekError(
            f"no data set is named {name!r}{nearest(name, DATASETS)}; `inkseek data list` names them all"
        )
    if root is None:
        if name not in _SELF_MADE:
            raise InkseekError(f"{name}: say where its pictures are, with --root FOLDER or data.root in the recipe")
        root = cache_folder()
    return DATASETS[name](root.expanduser())
