"""Several processes measure one protocol: each takes a share of the rows, and every one ends with the whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed

from inkseek.datasets.items import Items
from inkseek.errors import InkseekError
from inkseek.metrics.ranking import Ranking, join, rank
from inkseek.models.bundle import Model
from inkseek.models.embedding import Cached, Progress, embed_items

T = TypeVar("T")
Array = npt.NDArray[Any]


@contextmanager
def process_group() -> Iterator[bool]:
    """Join the processes that torchrun started, if it did; give whether this one is to print and write."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        yield _rank() == 0
        return
    distributed.init_process_group("gloo")
    try:
        yield _rank() == 0
    finally:
        distributed.destroy_process_group()


def embed_shared(
    model: Model, items: Items, progress: Progress | None = None, *, cached: Cached = True
) -> npt.NDArray[np.float32]:
    """Do what `embed_items` does, each process for a share of the items."""
    if _world() == 1:
        return embed_items(model, items, progress, cached=cached)
    part = share(len(items))
    rows = _together(lambda: embed_items(model, items.pick(np.arange(len(items))[part]), progress, cached=cached))
    return np.asarray(_whole(rows, part, len(items)), dtype=np.float32)


def rank_shared(
    queries: npt.NDArray[np.float32],
    query_labels: npt.NDArray[np.int64],
    gallery: npt.NDArray[np.float32],
    gallery_labels: npt.NDArray[np.int64],
    *,
    metrics: Sequence[str],
    query_ids: Array | None = None,
    gallery_ids: Array | None = None,
) -> Ranking:
    """Do what `rank` does, each process for a share of the queries; every process holds both sides whole."""
    if _world() == 1 or len(queries) < _world():
        return rank(
            queries,
            query_labels,
            gallery,
            gallery_labels,
            metrics=metrics,
            query_ids=query_ids,
            gallery_ids=gallery_ids,
        )
    part = share(len(queries))
    mine = _together(
        lambda: rank(
            queries[part],
            query_labels[part],
            gallery,
            gallery_labels,
            metrics=metrics,
            query_ids=None if query_ids is None else query_ids[part],
            gallery_ids=gallery_ids,
            every_bound=True,
        )
    )
    figures = _whole(np.stack(list(mine.per_query.values()), axis=1), part, len(queries))
    counts = _whole(np.array([[mine.tied]]), slice(_rank(), _rank() + 1), _world())
    whole = replace(
        mine,
        per_query=MappingProxyType(dict(zip(mine.per_query, figures.T, strict=True))),
        labels=query_labels,
        relevant=_whole(mine.relevant[:, None], part, len(queries))[:, 0],
        tied=int(counts.sum()),
    )
    return join([whole])


def share(rows: int) -> slice:
    """Return the rows that are this process's to do."""
    return slice(rows * _rank() // _world(), rows * (_rank() + 1) // _world())


def _whole(rows: Array, part: slice, total: int) -> Array:
    """Return every process's rows in order. Adding zeros changes no number, so a sum joins exactly."""
    padded = np.zeros((total, *rows.shape[1:]), dtype=rows.dtype)
    padded[part] = rows
    tensor = torch.from_numpy(padded).to("cuda" if distributed.get_backend() == "nccl" else "cpu")
    distributed.all_reduce(tensor)
    return np.asarray(tensor.cpu().numpy())


def _together(do: Callable[[], T]) -> T:
    """Do something in every process; where one fails, none waits for its result."""
    result, error = None, None
    try:
        result = do()
    except InkseekError as caught:
        error = caught
    failed = _whole(np.array([[int(error is not None)]]), slice(_rank(), _rank() + 1), _world())
    if error is not None:
        raise error
    if failed.any():
        raise InkseekError(f"process {int(failed.argmax())} of {_world()} failed, and says why")
    return result  # type: ignore[return-value]


def _world() -> int:
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def _rank() -> int:
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0
