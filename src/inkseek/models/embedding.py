"""Items to embeddings: read, prepare, embed, keep."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import torch

from inkseek.datasets.items import Items
from inkseek.errors import InkseekError
from inkseek.images.preprocessing import Domain, prepare
from inkseek.images.reading import read_picture
from inkseek.models import feature_cache
from inkseek.models.bundle import Model

Progress = Callable[[int, int], None]
Cached = bool | Literal["features"]
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
    model: Model, items: Items, progress: Progress | None = None, *, cached: Cached = True
) -> npt.NDArray[np.float32]:
    """Embed every item: float32 [N, dim], rows of unit length.

    Args:
        progress: called with (pictures embedded, pictures in all).
        cached: answer from, and write to, the cache of embeddings; off while the weights still change. `features` keeps
            the backbone's features instead and puts the head on them: for one frozen backbone under many heads.

    Raises:
        InkseekError: a picture cannot be read, or a sketch is blank. A measurement with pictures missing would not be
            the protocol's, so nothing is skipped here.
    """
    if cached == "features":
        return _from_features(model, backbone_features(model, items, progress))
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


@torch.inference_mode()
def _from_features(model: Model, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Put a model's head on features, and bring the rows to unit length."""
    device = next(model.embedder.parameters()).device
    embedder = model.embedder.eval()
    rows = embedder.from_features(torch.from_numpy(features).to(device)).float().cpu()
    return torch.nn.functional.normalize(rows, dim=1).numpy()


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
