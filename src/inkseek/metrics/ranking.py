"""Ranking metrics in one pass: where each query's relevant items stand gives every metric in every convention."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from inkseek.errors import InkseekError
from inkseek.metrics.measures import Ties, measure
from inkseek.metrics.names import metric
from inkseek.metrics.places import Floats, Ints, find_places

Similarity = Literal["cosine", "dot", "euclidean"]

_BLOCK_BYTES = 2**26
_VISIBLE = 5e-5  # half a unit of the last digit that tables print


@dataclass(frozen=True, eq=False)
class Ranking:
    """How Q queries rank a gallery.

    Attributes:
        per_query: metric name -> float64 [Q]; NaN for a query without relevant items. Under `expected`, a metric whose
            expectation has no closed form (VOC, lenient) holds its lower bound, and `<name> optimistic` holds its upper
            bound where ties keep the means of the two visibly apart (0.00005).
        labels: int64 [Q], the queries' labels.
        relevant: int64 [Q], how many gallery items are relevant to each query, itself not counted.
        gallery: the number of gallery items.
        ties: the policy for items of equal score.
        tie_rate: the share of (query, relevant item) pairs whose score an irrelevant item shares, so that scores alone
            do not decide the rank.
    """

    per_query: Mapping[str, Floats]
    labels: Ints
    relevant: Ints
    gallery: int
    ties: Ties
    tie_rate: float

    @property
    def excluded(self) -> int:
        """The number of queries without relevant items, which no average counts."""
        return int((self.relevant == 0).sum())

    def micro(self) -> dict[str, float]:
        """Return each metric's mean over queries."""
        return {name: _mean(values) for name, values in self.per_query.items()}

    def per_class(self) -> dict[int, dict[str, float]]:
        """Return, for each label with relevant items, each metric's mean over the queries of that label."""
        return {
            int(label): {name: _mean(values[self.labels == label]) for name, values in self.per_query.items()}
            for label in np.unique(self.labels[self.relevant > 0])
        }

    def macro(self) -> dict[str, float]:
        """Return each metric's mean over the means of the classes."""
        classes = self.per_class().values()
        return {name: _mean(np.array([means[name] for means in classes])) for name in self.per_query}


def rank(
    queries: npt.ArrayLike,
    query_labels: npt.ArrayLike,
    gallery: npt.ArrayLike,
    gallery_labels: npt.ArrayLike,
    *,
    metrics: Sequence[str],
    query_ids: npt.ArrayLike | None = None,
    gallery_ids: npt.ArrayLike | None = None,
    similarity: Similarity = "cosine",
    ties: Ties = "expected",
    block: int | None = None,
    threads: int | None = None,
) -> Ranking:
    """Rank a gallery for every query and measure it, without ever holding the Q x G matrix.

    A block of queries takes one matmul in float32 and one value sort of each row; searching the sorted row for the
    scores of the relevant items gives the interval of ranks that each may take, which is all that any metric needs.
    An item is relevant to a query when their labels are equal: class labels measure category level, instance numbers
    measure instance level. `inkseek.metrics.names` says each metric's definition in a line.

    Args:
        queries: [Q, D] embeddings, computed with in float32.
        query_labels: [Q] integers of any size.
        gallery: [G, D] embeddings.
        gallery_labels: [G] integers.
        metrics: names with their convention, for example `mAP@200 strict`.
        query_ids: [Q] integers or strings; with `gallery_ids`, a query never meets gallery items of its own id.
        gallery_ids: [G], of the same kind.
        similarity: `cosine` (the order of Euclidean distance on unit vectors), `dot`, or `euclidean` on the vectors as
            they are. A zero vector has cosine 0 with everything.
        ties: `expected` averages over random orders of the items of equal score; `pessimistic` takes the worst order,
            `optimistic` the best.
        block: queries in a block; chosen from a memory budget when None.
        threads: threads that sort; one for every available core when None.

    Returns:
        Per-query figures and what is needed to average them.

    Raises:
        InkseekError: arrays that do not fit together, are empty, or hold NaN or infinity; an unknown metric; ids on one
            side only.
    """
    wanted = [metric(name) for name in dict.fromkeys(metrics)]
    if not wanted:
        raise InkseekError("no metric was asked for: name at least one, for example mAP@all")
    q, q_labels = _side(queries, query_labels, "query")
    g, g_labels = _side(gallery, gallery_labels, "gallery")
    if q.shape[1] != g.shape[1]:
        raise InkseekError(
            f"query embeddings have {q.shape[1]} dimensions, gallery embeddings {g.shape[1]}: use one model for both"
        )
    if similarity != "cosine" and _longest(g) * (_longest(q) + _longest(g)) > float(np.finfo(np.float32).max):
        raise InkseekError("the embeddings are too long for float32 scores: scale them down, or use cosine similarity")

    score = _Scores(g, similarity)
    order = np.argsort(g_labels, kind="stable")
    values, starts, counts = np.unique(g_labels[order], return_index=True, return_counts=True)
    slot = np.minimum(np.searchsorted(values, q_labels), len(values) - 1)
    found = values[slot] == q_labels
    start, count = np.where(found, starts[slot], 0), np.where(found, counts[slot], 0)
    if (query_ids is None) != (gallery_ids is None):
        raise InkseekError("ids were given on one side only: leaving self out needs those of queries and gallery")
    own = None if query_ids is None or gallery_ids is None else _Own(query_ids, gallery_ids, len(q), len(g))

    bounded = {m.name: f"{m.name} optimistic" for m in wanted if ties == "expected" and m.open_under_ties}
    names = [name for m in wanted for name in (m.name, bounded.get(m.name)) if name]
    per_query = {name: np.full(len(q), np.nan) for name in names}
    relevant = np.zeros(len(q), dtype=np.int64)
    tied = 0
    # Queries with like numbers of relevant items share a block, so that its rectangle of relevant items wastes little.
    todo = np.lexsort((q_labels, count))
    todo = todo[count[todo] > 0]
    rows = block or max(1, min(1024, _BLOCK_BYTES // (4 * len(g) + 100 * int(count.max(initial=1)))))
    workers = threads or _cores()
    with ThreadPoolExecutor(workers) as pool:
        for at in range(0, len(todo), rows):
            index = todo[at : at + rows]
            scores = score(q[index])
            if own is not None:
                own.leave_out(index, scores)
            column = np.arange(count[index].max())
            valid = column < count[index, None]
            gathered = order[np.minimum(start[index, None] + column, len(g) - 1)]
            mine = np.where(valid, np.take_along_axis(scores, gathered, axis=1), np.float32(-np.inf))
            mine = -np.sort(-mine, axis=1)
            # A relevant item that is the query itself was given -inf, and now stands among the padding.
            relevant[index] = (mine > -np.inf).sum(axis=1)
            if not (kept := relevant[index] > 0).all():
                index, mine, scores = index[kept], mine[kept], scores[kept]
            places = find_places(scores, mine, relevant[index], pool, workers)
            tied += places.tied
            for name, figures in measure(places, wanted, ties):
                per_query[name][index] = figures

    for name, upper in bounded.items():
        if _mean(per_query[upper]) - _mean(per_query[name]) < _VISIBLE:
            del per_query[upper]
    return Ranking(
        per_query=MappingProxyType(per_query),
        labels=q_labels,
        relevant=relevant,
        gallery=len(g),
        ties=ties,
        tie_rate=tied / max(1, int(relevant.sum())),
    )


class _Scores:
    """Scores of a block of queries against the whole gallery, equal for equal gallery vectors.

    A BLAS may sum a dot product in another order at the edge of the matrix, so that two copies of one vector differ in
    the last bit and a tie is decided by position. Each distinct vector is therefore multiplied once.
    """

    def __init__(self, gallery: npt.NDArray[np.float32], similarity: Similarity) -> None:
        self.similarity = similarity
        # Adding 0 turns -0 into 0, whose bytes differ though the numbers are equal.
        vectors = np.ascontiguousarray((_unit(gallery) if similarity == "cosine" else gallery) + np.float32(0))
        as_bytes = vectors.view(np.dtype((np.void, vectors.shape[1] * 4)))[:, 0]
        _, first, copies = np.unique(as_bytes, return_index=True, return_inverse=True)
        self.copies = None if len(first) == len(vectors) else copies
        self.vectors = vectors if self.copies is None else vectors[first]
        self.half_square = np.einsum("gd,gd->g", self.vectors, self.vectors) / 2 if similarity == "euclidean" else None

    def __call__(self, queries: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return [n, G]; higher is closer."""
        scores: npt.NDArray[np.float32] = (_unit(queries) if self.similarity == "cosine" else queries) @ self.vectors.T
        if self.half_square is not None:
            scores -= self.half_square  # q.g - |g|^2 / 2 orders a query's row as -|q - g|^2 does
        return scores if self.copies is None else scores[:, self.copies]


class _Own:
    """The gallery items that bear a query's own id."""

    def __init__(self, query_ids: npt.ArrayLike, gallery_ids: npt.ArrayLike, queries: int, gallery: int) -> None:
        q, g = np.asarray(query_ids), np.asarray(gallery_ids)
        if q.shape != (queries,) or g.shape != (gallery,):
            raise InkseekError(
                f"ids have shapes {q.shape} and {g.shape} for {queries} queries, {gallery} gallery items: give one each"
            )
        if (q.dtype.kind in "iu") != (g.dtype.kind in "iu"):
            raise InkseekError(f"query ids are {q.dtype}, gallery ids {g.dtype}: use the same kind on both sides")
        self.order = np.argsort(g, kind="stable")
        self.left, self.right = (np.searchsorted(g[self.order], q, side=side) for side in ("left", "right"))

    def leave_out(self, index: Ints, scores: npt.NDArray[np.float32]) -> None:
        """Put the own items of the queries `index` below every other."""
        for row, (left, right) in enumerate(zip(self.left[index], self.right[index], strict=True)):
            scores[row, self.order[left:right]] = -np.inf


def _side(embeddings: npt.ArrayLike, labels: npt.ArrayLike, which: str) -> tuple[npt.NDArray[np.float32], Ints]:
    """Check one side's arrays and bring them to float32 and int64."""
    x, y = np.asarray(embeddings, dtype=np.float32), np.asarray(labels)
    if x.ndim != 2 or x.size == 0:
        raise InkseekError(
            f"{which} embeddings have shape {x.shape}: give a table with one row an item, and at least one"
        )
    if y.shape != (len(x),):
        raise InkseekError(f"{which} labels have shape {y.shape} for {len(x)} embeddings: give one label an item")
    if y.dtype.kind not in "iu":
        raise InkseekError(f"{which} labels are {y.dtype}: give integers, which no rounding can confuse")
    if not (finite := np.isfinite(x).all(axis=1)).all():
        raise InkseekError(f"{which} embeddings hold NaN or infinity in row {int(finite.argmin())}: check the model")
    return x, y.astype(np.int64)


def _unit(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    # Divided by the largest entry first: squares of very small or large entries leave float32's range.
    x = x / np.maximum(np.abs(x).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    length = np.sqrt(np.einsum("nd,nd->n", x, x))[:, None]
    return np.asarray(x / np.maximum(length, np.finfo(np.float32).tiny), dtype=np.float32)


def _longest(x: npt.NDArray[np.float32]) -> float:
    return float(np.sqrt(np.einsum("nd,nd->n", x, x, dtype=np.float64).max()))


def _mean(values: Floats) -> float:
    counted = values[~np.isnan(values)]
    return float(counted.mean()) if len(counted) else float("nan")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
