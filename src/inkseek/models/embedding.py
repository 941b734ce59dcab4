"""Items to embeddings: read, prepare, embed, keep."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from inkseek.datasets.items import Items
from inkseek.errors import InkseekError
from inkseek.images.preprocessing import Domain, prepare
from inkseek.images.reading import read_picture
from inkseek.models import feature_cache
from inkseek.models.bundle import Model

Progress = Callable[[int, int], None]
_BATCH = 64


def load_pixels(path: Path, domain: Domain, size: int) -> npt.NDArray[np.uint8]:
    """Read a file and prepare it for a model of that input size.

    Raises:
        InkseekError: unreadable, or a blank sketch; the message names the file.
    """
    picture = read_picture(path, at_least=size)
    try:
        return prepare(picture, domain, size)
    except InkseekError as error:
        raise type(error)(f"{path}: {error}") from None


def embed_items(
    model: Model, items: Items, progress: Progress | None = None, *, cached: bool = True
) -> npt.NDArray[np.float32]:
    """Embed every item: float32 [N, dim], rows of unit length.

    Args:
        progress: called with (pictures embedded, pictures in all).
        cached: answer from, and write to, the cache of embeddings; off while the weights still change.

    Raises:
        InkseekError: a picture cannot be read, or a sketch is blank. A measurement with pictures missing would not be
            the protocol's, so nothing is skipped here.
    """
    return _rows(model, items, model.embed_pixels, model.fingerprint if cached else None, progress)


def backbone_features(
    model: Model, items: Items, progress: Progress | None = None, *, cached: bool = True
) -> npt.NDArray[np.float32]:
    """Compute what the head reads of every item: float32 [N, d], the backbone's features as they are.

    A frozen backbone gives the same features at every step, so they are computed once, kept, and thousands of steps of
    the head run on them (`Embedder.from_features`).

    Args:
        progress: called with (pictures done, pictures in all).
        cached: answer from, and write to, the cache; another head finds the same features there.

    Raises:
        InkseekError: as `embed_items`.
    """
    bare = model.without_head()
    key = f"{bare.fingerprint} features" if cached else None
    return _rows(bare, items, bare.raw_pixels, key, progress)


def _rows(
    model: Model,
    items: Items,
    compute: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]],
    fingerprint: str | None,
    progress: Progress | None,
) -> npt.NDArray[np.float32]:
    """Compute a row for every item, or answer from the cache where a fingerprint says what decides a row."""
    total = len(items)
    domains = cast("list[Domain]", items.domains.tolist())
    try:
        key = None if fingerprint is None else feature_cache.key_of(fingerprint, items.paths, domains)
    except FileNotFoundError as error:
        raise InkseekError(f"{error.filename}: no such file") from None
    rows = None if key is None else feature_cache.read(key, (total, model.dim))
    if rows is None:
        rows = np.empty((total, model.dim), dtype=np.float32)
        with ThreadPoolExecutor(max_workers=2) as pool:
            for start in range(0, total, _BATCH):
                part = range(start, min(start + _BATCH, total))
                loaded = pool.map(lambda i: load_pixels(items.paths[i], domains[i], model.image_size), part)
                rows[part.start : part.stop] = compute(np.stack(list(loaded)))
                if progress is not None:
                    progress(part.stop, total)
        if key is not None:
            feature_cache.write(key, rows)
    if progress is not None:
        progress(total, total)
    return rows
