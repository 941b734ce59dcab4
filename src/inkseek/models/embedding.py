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
from inkseek.images.preprocessing import Domain, Preparation
from inkseek.images.reading import read_picture
from inkseek.models import feature_cache
from inkseek.models.bundle import Model

Progress = Callable[[int, int], None]
Cached = bool | Literal["features"]
_BATCH = 64


def load_pixels(path: Path, domain: Domain, prepare: Preparation, *, uncropped: bool = False) -> npt.NDArray[np.uint8]:
    """Read a file and prepare it for a model, or up to the crop that training draws at random.

    Raises:
        InkseekError: unreadable, or a blank sketch; the message names the file.
    """
    picture = read_picture(path, at_least=prepare.at_least)
    try:
        return prepare.uncropped(picture, domain) if uncropped else prepare(picture, domain)
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


def readable_features(
    model: Model, items: Items, progress: Progress | None = None
) -> tuple[npt.NDArray[np.float32], dict[int, str]]:
    """Do what `backbone_features` does, and go on where a picture cannot be read: training may replace it.

    Returns:
        The features, NaN in the rows of such pictures, and what is wrong with each of them, by its place.
    """
    bare = model.without_head()
    unreadable: dict[int, str] = {}
    return _rows(bare, items, bare.raw_pixels, f"{bare.fingerprint} features", progress, unreadable), unreadable


def _rows(
    model: Model,
    items: Items,
    compute: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]],
    fingerprint: str | None,
    progress: Progress | None,
    unreadable: dict[int, str] | None = None,
) -> npt.NDArray[np.float32]:
    """Compute a row for every item, or answer from the cache where a fingerprint says what decides a row.

    A picture that cannot be read is an error, or an entry of `unreadable` and a row of NaN, which is tried again
    whenever it comes from the cache.
    """
    total = len(items)
    domains = cast("list[Domain]", items.domains.tolist())
    try:
        key = None if fingerprint is None else feature_cache.key_of(fingerprint, items.paths, domains)
    except FileNotFoundError as error:
        if unreadable is None:
            raise InkseekError(f"{error.filename}: no such file") from None
        key = None
    rows = None if key is None else feature_cache.read(key, (total, model.dim))
    if rows is None:
        rows = np.full((total, model.dim), np.nan, dtype=np.float32)
    missing = np.flatnonzero(np.isnan(rows).any(axis=1)).tolist()

    def load(place: int) -> npt.NDArray[np.uint8] | InkseekError:
        try:
            return load_pixels(items.paths[place], domains[place], model.prepare)
        except InkseekError as error:
            if unreadable is None:
                raise
            return error

    with ThreadPoolExecutor(max_workers=2) as pool:
        for start in range(0, len(missing), _BATCH):
            part = missing[start : start + _BATCH]
            loaded = dict(zip(part, pool.map(load, part), strict=True))
            pixels = {place: read for place, read in loaded.items() if not isinstance(read, InkseekError)}
            if pixels:
                rows[list(pixels)] = compute(np.stack(list(pixels.values())))
            if unreadable is not None:
                unreadable |= {place: str(read) for place, read in loaded.items() if isinstance(read, InkseekError)}
            if progress is not None:
                progress(total - len(missing) + start + len(part), total)
    if key is not None and len(missing) > len(unreadable or ()):
        feature_cache.write(key, rows)
    if progress is not None:
        progress(total, total)
    return rows
