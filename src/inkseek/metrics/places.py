"""Where relevant items stand among the irrelevant ones, ties and all: every ranking metric follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from inkseek.metrics.scoring import Float32s, Ints

Int32s = npt.NDArray[np.int32]

_CHUNK = 2**17  # entries of a score matrix that are worked on at a time: they stay in a core's cache
GROUP = 16  # the columns of places are a multiple of this, so that sums may be of whole groups
_FEW = 12  # up to here, comparing a row with each relevant score reads it less often than a histogram does


@dataclass(frozen=True, eq=False)
class Places:
    """Where the relevant items of n queries stand, best first; each array is [n, R_max], padded after `count`.

    R_max is a multiple of `GROUP`.

    Attributes:
        above: how many irrelevant items score higher.
        level: how many irrelevant items score the same.
        count: [n], at least 1, the relevant items of each query.
    """

    above: Int32s
    level: Int32s
    count: Ints

    @cached_property
    def tied(self) -> int:
        """How many relevant items share their score with an irrelevant one."""
        return int(np.count_nonzero(self.level))

    @cached_property
    def open_rows(self) -> npt.NDArray[np.bool_]:
        """[n], whether ties leave a query's ranking open."""
        return np.asarray(self.level.any(axis=1))

    def pick(self, rows: npt.NDArray[np.bool_]) -> Places:
        """Return the places of some of the queries."""
        return Places(self.above[rows], self.level[rows], self.count[rows])


def find_places(scores: Float32s, start: Ints, stop: Ints) -> Places:
    """Find the relevant items of n queries, which stand in the columns from `start` to `stop`, among the others.

    Args:
        scores: [n, G], used up; -inf for an item that a query never meets.
        start: [n].
        stop: [n], behind `start`.

    Returns:
        Places; the count is 0 where every relevant item is left out.
    """
    shape = len(scores), GROUP * -(-int((stop - start).max(initial=1)) // GROUP)
    # Padding stands behind everything, so that no top counts it.
    above, level = np.full(shape, scores.shape[1], dtype=np.int32), np.zeros(shape, dtype=np.int32)
    count = np.empty(len(scores), dtype=np.int64)
    most = max(1, min(_CHUNK // scores.shape[1], len(scores)))
    room = np.empty((most, scores.shape[1]), dtype=np.float32), np.empty((most, scores.shape[1]), dtype=np.int64)
    for rows in _alike(start, most):
        columns = slice(start[rows.start], stop[rows.start])
        mine = np.sort(scores[rows, columns], axis=1)
        scores[rows, columns] = -np.inf
        count[rows] = mine.shape[1]
        if mine[:, 0].min() == -np.inf:
            count[rows] = np.count_nonzero(mine > -np.inf, axis=1)
        many = mine.shape[1] > _FEW
        found = _by_histogram(scores[rows], mine, room) if many else _by_comparison(scores[rows], mine)
        padding = np.arange(mine.shape[1]) >= count[rows, None]
        for whole, part in zip((above, level), found, strict=True):
            np.copyto(whole[rows, : mine.shape[1]], part[:, ::-1], where=~padding, casting="same_kind")
    return Places(above, level, count)


def _alike(start: Ints, most: int) -> Iterator[slice]:
    """Yield runs of queries that have their relevant items in the same columns, `most` of them at a time."""
    ends = np.flatnonzero(np.diff(start)) + 1
    for begin, end in zip([0, *ends], [*ends, len(start)], strict=True):
        for at in range(begin, end, most):
            yield slice(at, min(at + most, end))


def _by_comparison(rows: Float32s, mine: Float32s) -> tuple[Ints, Ints]:
    """Count the entries of each of m rows above, and level with, each of its own n scores: [m, n], [m, n]."""
    above, at_least = np.zeros(mine.shape, dtype=np.int64), np.zeros(mine.shape, dtype=np.int64)
    for (i, j), score in np.ndenumerate(mine):
        above[i, j] = np.count_nonzero(rows[i] > score)
        at_least[i, j] = np.count_nonzero(rows[i] >= score)
    return above, at_least - above


def _by_histogram(rows: Float32s, mine: Float32s, room: tuple[Float32s, Ints]) -> tuple[Ints, Ints]:
    """Do what `_by_comparison` does for many scores in ascending order, exactly and without sorting the rows.

    A bin's number grows with the score, rounding and all, so that entries of other bins are counted by a histogram of
    the row alone. Entries that share a bin with one of the scores are few: they are sorted. Rows of 10^4 entries take
    half the time of sorting them where the processor compresses vectors slowly, and about the same elsewhere. Bins are
    worked out in `room`, at least as large as the rows: fresh memory would be slower.
    """
    m, bins = len(rows), max(64, 1 << rows.shape[1].bit_length())
    # What is left out of a row has no place, and must not widen the range: the row's best score stands in for it.
    if mine[:, 0].min() == -np.inf:
        mine = np.where(mine > -np.inf, mine, np.maximum(mine[:, -1:], np.finfo(np.float32).min))
    # The first and the last bins are for what scores below and above all of the scores, and for rounding.
    high = mine[:, -1:].astype(np.float64)
    low = mine.min(axis=1, keepdims=True).astype(np.float64)
    width = np.maximum((high - low) / (bins - 16), 1e-30)
    floor, ceiling = (low - 3 * width).astype(np.float32), (high + 3 * width).astype(np.float32)
    scale = (1 / width).astype(np.float32)
    offset = bins * np.arange(m, dtype=np.float32)[:, None]

    def bin_of(x: Float32s, bent: Float32s, result: Ints) -> Ints:
        np.clip(x, floor, ceiling, out=bent)
        bent -= floor
        bent *= scale
        bent += offset
        np.copyto(result, bent, casting="unsafe")
        return result

    where = bin_of(rows, room[0][:m], room[1][:m]).reshape(-1)
    own = bin_of(mine, np.empty_like(mine), np.empty(mine.shape, dtype=np.int64))
    entries = np.bincount(where, minlength=m * bins)
    is_shared = np.zeros(m * bins, dtype=bool)
    is_shared[own] = True
    chosen = is_shared.take(where, mode="clip").nonzero()[0]
    entries[own] = 0
    below = entries.cumsum()
    compared = rows.reshape(-1).take(chosen)
    ends = chosen.searchsorted(rows.shape[1] * np.arange(m + 1))
    parts = [compared[i:j] for i, j in pairwise(ends.tolist())]
    at_most = np.empty(mine.shape, dtype=np.int64)
    for part, row, found in zip(parts, mine, at_most, strict=True):
        part.sort()
        found[:] = part.searchsorted(row, side="right")
    above = (below[bins - 1 :: bins] + np.diff(ends))[:, None] - below.take(own)
    above -= at_most
    level = np.zeros_like(above)
    if len(compared):
        # Where the last entry that is not above a score is not the score, the row has nothing level with it.
        last = compared.take(at_most + (ends[:-1, None] - 1), mode="clip")
        for i in np.flatnonzero((last == mine).any(axis=1)).tolist():
            level[i] = at_most[i] - parts[i].searchsorted(mine[i], side="left")
    return above, level
