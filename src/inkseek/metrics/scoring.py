"""Scores of a block of queries against a whole gallery: equal for equal vectors, and never the query itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import numpy.typing as npt

from inkseek.errors import InkseekError

Similarity = Literal["cosine", "dot", "euclidean"]
Float32s = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_ROWS = 1024


class Scores:
    """Scores of queries against a gallery, whose items may be put in another order.

    A BLAS may sum a dot product in another order at the edge of the matrix, so that two copies of one vector differ in
    the last bit and a tie is decided by position. Each distinct vector is therefore multiplied once.

    Args:
        gallery: [G, D].
        similarity: `cosine`, `dot`, or `euclidean`.
        order: [G], the columns' order as positions in the gallery.
        threads: how many prepare the gallery.
    """

    def __init__(self, gallery: Float32s, similarity: Similarity, order: Ints, threads: int = 1) -> None:
        self.similarity = similarity
        vectors = np.empty(gallery.shape, dtype=np.float32)
        keys = np.empty(len(gallery), dtype=np.uint64)
        multipliers = np.random.default_rng(0).integers(2**63, size=gallery.shape[1], dtype=np.uint64) * 2 + 1

        def prepare(at: int) -> None:
            rows, out = gallery[order[at : at + _ROWS]], vectors[at : at + _ROWS]
            # Adding 0 turns -0 into 0, whose bytes differ though the numbers are equal.
            np.add(_unit(rows) if similarity == "cosine" else rows, np.float32(0), out=out)
            # Arithmetic modulo 2^64 is exact, so that equal rows have equal keys.
            np.einsum("nd,d->n", out.view(np.uint32), multipliers, out=keys[at : at + _ROWS], casting="safe")

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(prepare, range(0, len(gallery), _ROWS)))
        original = _originals(vectors, keys)
        distinct, copies = np.unique(original, return_inverse=True)
        self.copies = None if len(distinct) == len(vectors) else copies
        self.vectors = vectors if self.copies is None else vectors[distinct]
        self.half_square = np.einsum("gd,gd->g", self.vectors, self.vectors) / 2 if similarity == "euclidean" else None

    def __call__(self, queries: Float32s, out: Float32s) -> None:
        """Write the scores of n queries to [n, G]; higher is closer."""
        scores = out if self.copies is None else np.empty((len(queries), len(self.vectors)), dtype=np.float32)
        np.matmul(_unit(queries) if self.similarity == "cosine" else queries, self.vectors.T, out=scores)
        if self.half_square is not None:
            scores -= self.half_square  # q.g - |g|^2 / 2 orders a query's row as -|q - g|^2 does
        if self.copies is not None:
            scores.take(self.copies, axis=1, out=out, mode="clip")


class Own:
    """The gallery items that bear a query's own id; items are counted in the order that `Scores` was given.

    Raises:
        InkseekError: not one id for each item, or ids of different kinds.
    """

    def __init__(
        self, query_ids: npt.ArrayLike, gallery_ids: npt.ArrayLike, queries: int, gallery: int, order: Ints
    ) -> None:
        q, g = np.asarray(query_ids), np.asarray(gallery_ids)
        if q.shape != (queries,) or g.shape != (gallery,):
            raise InkseekError(
                f"ids have shapes {q.shape} and {g.shape} for {queries} queries, {gallery} gallery items: give one each"
            )
        if (q.dtype.kind in "iu") != (g.dtype.kind in "iu"):
            raise InkseekError(f"query ids are {q.dtype}, gallery ids {g.dtype}: use the same kind on both sides")
        g = g[order]
        self.order = np.argsort(g, kind="stable")
        self.left, self.right = (np.searchsorted(g[self.order], q, side=side) for side in ("left", "right"))

    def leave_out(self, index: Ints, scores: Float32s) -> None:
        """Put the own items of the queries `index` below every other."""
        for row, (left, right) in enumerate(zip(self.left[index], self.right[index], strict=True)):
            scores[row, self.order[left:right]] = -np.inf


def longest(x: Float32s) -> float:
    """Return the length of the longest row."""
    return float(np.sqrt(np.einsum("nd,nd->n", x, x, dtype=np.float64).max()))


def _originals(vectors: Float32s, keys: npt.NDArray[np.uint64]) -> Ints:
    """Return, for each row, the position of the first row of the same bytes; rows whose keys differ, differ."""
    result = np.arange(len(vectors))
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    alike = np.flatnonzero(counts[inverse] > 1)
    if len(alike):
        as_bytes = vectors[alike].view(np.dtype((np.void, vectors.shape[1] * 4)))[:, 0]
        _, first, which = np.unique(as_bytes, return_index=True, return_inverse=True)
        result[alike] = alike[first[which]]
    return result


def _unit(x: Float32s) -> Float32s:
    square = np.einsum("nd,nd->n", x, x)
    if not ((square > 1e-12) & (square < 1e30)).all():
        # Squares of very small or large entries leave float32's range: divide by the largest entry first.
        x = x / np.maximum(np.abs(x).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        square = np.maximum(np.einsum("nd,nd->n", x, x), np.finfo(np.float32).tiny)
    return np.asarray(x / np.sqrt(square)[:, None], dtype=np.float32)
