"""Ranking metrics in one pass: where each query's relevant items stand gives every metric in every convention."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import SimpleQueue
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from inkseek.errors import InkseekError
from inkseek.metrics import averages
from inkseek.metrics.measures import Ties, measure
from inkseek.metrics.names import metric
from inkseek.metrics.orders import Floats
from inkseek.metrics.places import find_places
from inkseek.metrics.scoring import Float32s, Ints, Own, Scores, Similarity, longest

_BLOCK_BYTES = 2**28
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
        tied: how many (query, relevant item) pairs share their score with an irrelevant item, so that scores alone do
            not decide the rank.
    """

    per_query: Mapping[str, Floats]
    labels: Ints
    relevant: Ints
    gallery: int
    ties: Ties
    tied: int

    @property
    def tie_rate(self) -> float:
        """The share of (query, relevant item) pairs that are tied with an irrelevant item."""
        return self.tied / max(1, int(self.relevant.sum()))

    @property
    def excluded(self) -> int:
        """The number of queries without relevant items, which no average counts."""
        return int((self.relevant == 0).sum())

    def reordered(self, order: Ints) -> Ranking:
        """Return the same ranking with its queries in another order, [Q] positions."""
        figures = {name: values[order] for name, values in self.per_query.items()}
        return replace(
            self, per_query=MappingProxyType(figures), labels=self.labels[order], relevant=self.relevant[order]
        )

    def micro(self) -> dict[str, float]:
        """Return each metric's mean over queries."""
        return {name: averages.mean(values) for name, values in self.per_query.items()}

    def per_class(self) -> dict[int, dict[str, float]]:
        """Return, for each label with relevant items, each metric's mean over the queries of that label."""
        return averages.per_class(self.per_query, self.labels)

    def macro(self) -> dict[str, float]:
        """Return each metric's mean over the means of the classes."""
        return averages.macro(self.per_query, self.labels)


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
    every_bound: bool = False,
) -> Ranking:
    """Rank a gallery for every query and measure it, without ever holding the Q x G matrix.

    A block of queries takes one matmul in float32; counting what scores higher than, and the same as, each relevant
    item gives the interval of ranks that each may take, which is all that any metric needs.
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
        threads: how many take blocks; one for every available core when None.
        every_bound: keep upper bounds that ties leave invisible, as `join` needs for parts of a whole.

    Returns:
        Per-query figures and what is needed to average them.

    Raises:
        InkseekError: arrays that do not fit together, are empty, or hold NaN or infinity; an unknown metric; ids on one
            side only.
    """
    wanted = [metric(name) for name in dict.fromkeys(metrics)]
    if not wanted:
        raise InkseekError("no metric was asked for: name at least one, for example mAP@all")
    if clusters := [m.name for m in wanted if m.kind == "clustering"]:
        raise InkseekError(
            f"{clusters[0]} is a figure of clusters, not of a ranking: inkseek.metrics.clustering has it"
        )
    q, q_labels = _side(queries, query_labels, "query")
    g, g_labels = _side(gallery, gallery_labels, "gallery")
    if q.shape[1] != g.shape[1]:
        raise InkseekError(
            f"query embeddings have {q.shape[1]} dimensions, gallery embeddings {g.shape[1]}: use one model for both"
        )
    if similarity != "cosine" and longest(g) * (longest(q) + longest(g)) > float(np.finfo(np.float32).max):
        raise InkseekError("the embeddings are too long for float32 scores: scale them down, or use cosine similarity")

    # A query's relevant items stand side by side when the gallery is in the order of its labels.
    order = np.argsort(g_labels, kind="stable")
    start, stop = (np.searchsorted(g_labels[order], q_labels, side=side) for side in ("left", "right"))
    if (query_ids is None) != (gallery_ids is None):
        raise InkseekError("ids were given on one side only: leaving self out needs those of queries and gallery")
    own = None if query_ids is None or gallery_ids is None else Own(query_ids, gallery_ids, len(q), len(g), order)
    workers = threads or _cores()
    score = Scores(g, similarity, order, workers)

    bounded = {m.name: f"{m.name} optimistic" for m in wanted if ties == "expected" and m.open_under_ties}
    names = [name for m in wanted for name in (m.name, bounded.get(m.name)) if name]
    per_query = {name: np.full(len(q), np.nan) for name in names}
    relevant = np.zeros(len(q), dtype=np.int64)

    # Queries with like numbers of relevant items share a block, so that its rectangle of relevant items wastes little.
    todo = np.lexsort((q_labels, stop - start))
    todo = todo[(stop > start)[todo]]
    most = block or min(1024, _BLOCK_BYTES // workers // (4 * len(g) + 50 * int((stop - start).max(initial=1))))
    # As many blocks for each thread, and as large as each other.
    rounds = max(1, -(-len(todo) // (workers * max(1, most))))
    rows = block or max(1, -(-len(todo) // (workers * rounds)))
    # Fresh memory for every block would cost as much as its matmul: the kernel has to clear it.
    buffers: SimpleQueue[Float32s] = SimpleQueue()
    for _ in range(workers):
        buffers.put(np.empty((rows, len(g)), dtype=np.float32))

    def rank_block(index: Ints) -> int:
        """Measure some queries, and return how many of their relevant items are tied with irrelevant ones."""
        buffer = buffers.get()
        try:
            scores = buffer[: len(index)]
            score(q[index], scores)
            if own is not None:
                own.leave_out(index, scores)
            places = find_places(scores, start[index], stop[index])
        finally:
            buffers.put(buffer)
        relevant[index] = places.count
        if not (counted := places.count > 0).all():
            index, places = index[counted], places.pick(counted)
        for name, figures in measure(places, wanted, ties):
            per_query[name][index] = figures
        return places.tied

    # Every thread takes its blocks from the matmul to the figures, so that no core waits for another.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        tied = sum(pool.map(rank_block, (todo[at : at + rows] for at in range(0, len(todo), rows))))

    ranking = Ranking(MappingProxyType(per_query), q_labels, relevant, len(g), ties, tied)
    return ranking if every_bound else join([ranking])


def join(parts: Sequence[Ranking]) -> Ranking:
    """Join rankings of parts of the queries, in their order, made with `every_bound`, into what one call gives."""
    first = parts[0]
    per_query = {name: np.concatenate([part.per_query[name] for part in parts]) for name in first.per_query}
    for name in [name for name in per_query if f"{name} optimistic" in per_query]:
        if averages.mean(per_query[f"{name} optimistic"]) - averages.mean(per_query[name]) < _VISIBLE:
            del per_query[f"{name} optimistic"]
    return Ranking(
        per_query=MappingProxyType(per_query),
        labels=np.concatenate([part.labels for part in parts]),
        relevant=np.concatenate([part.relevant for part in parts]),
        gallery=first.gallery,
        ties=first.ties,
        tied=sum(part.tied for part in parts),
    )


def _side(embeddings: npt.ArrayLike, labels: npt.ArrayLike, which: str) -> tuple[Float32s, Ints]:
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


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
