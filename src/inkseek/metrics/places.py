"""Where relevant items stand among the irrelevant ones, ties and all: every ranking metric follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from inkseek.compiled import compiled
from inkseek.metrics.scoring import Float32s, Ints

Int32s = npt.NDArray[np.int32]

_CHUNK = 512  # entries of a row that are worked on at a time: their bins stay in the fastest cache


@dataclass(frozen=True, eq=False)
class Places:
    """Where the relevant items of n queries stand, best first; each array is [n, R_max], padded after `count`.

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
    shape = len(scores), int((stop - start).max(initial=1))
    # Padding stands behind everything, so that no top counts it.
    above, level = np.full(shape, scores.shape[1], dtype=np.int32), np.zeros(shape, dtype=np.int32)
    count = np.empty(len(scores), dtype=np.int64)
    for rows in _alike(start):
        columns = slice(start[rows.start], stop[rows.start])
        mine = np.sort(scores[rows, columns], axis=1)
        scores[rows, columns] = -np.inf
        count[rows] = np.count_nonzero(mine > -np.inf, axis=1)
        _place(scores[rows], mine, count[rows], above[rows], level[rows])
    return Places(above, level, count)


def _alike(start: Ints) -> Iterator[slice]:
    """Yield runs of queries that have their relevant items in the same columns."""
    ends = np.flatnonzero(np.diff(start)) + 1
    for begin, end in zip([0, *ends], [*ends, len(start)], strict=True):
        yield slice(begin, end)


@compiled
def _place(rows: Float32s, mine: Float32s, count: Ints, above: Int32s, level: Int32s) -> None:
    """Count the entries of each of m rows above, and level with, each of its own scores, without sorting the rows.

    A bin's number grows with the score, rounding and all, so that entries in other bins than those of own scores are
    counted by a histogram alone. What shares a bin with an own score is searched there; with several bins for each own
    score these are few, and hardly ever more than a step away. Reading is cheap beside a branch that the processor
    guesses wrongly: the loop over all entries has none.

    Args:
        rows: [m, G].
        mine: [m, R], ascending.
        count: [m], how many of a row's own scores are not -inf.
        above: [m, at least R], written: best first.
        level: [m, at least R], written: best first.
    """
    length, r = rows.shape[1], mine.shape[1]
    one, last = np.uint32(1), np.uint32(min(8 * r + 8, 2**23))
    zeroth, first, highest = np.float32(0), np.float32(1), np.float32(last)
    entries = np.empty(last + 2, np.int32)  # in each bin
    shared = np.empty(last + one, np.uint8)  # with an own score or more,
    begin = np.empty(last + one, np.uint32)  # and the first of them
    own, bin_of_own = np.empty(r + 1, np.float32), np.empty(r, np.uint32)
    own[r] = np.inf
    met = np.empty((r + 1, 2), np.int32)  # what shares bins: between this own score and the one below; level with it
    bins, found = np.empty(_CHUNK, np.uint32), np.empty(_CHUNK, np.uint32)
    for i in range(len(rows)):
        if not count[i]:
            continue
        lowest = r - count[i]
        own[:r] = mine[i]
        low = own[lowest]
        # The first and the last bin are for what scores below and above all own scores.
        scale = np.float32(min((last - 4) / max(np.float64(own[r - 1]) - low, 1e-30), 1e30))
        entries[:] = 0
        shared[:] = 0
        met[:] = 0
        for k in range(r - 1, lowest - 1, -1):
            b = np.uint32(np.int32(min(max((own[k] - low) * scale + first, zeroth), highest)))
            bin_of_own[k], shared[b], begin[b] = b, one, np.uint32(k)
        for at in range(0, length, _CHUNK):
            part = rows[i, at : at + _CHUNK]
            for c in range(len(part)):  # apart from what follows, so that vector instructions can do it
                bins[c] = np.uint32(np.int32(min(max((part[c] - low) * scale + first, zeroth), highest)))
            n = np.uint32(0)
            for c in range(len(part)):
                b = bins[c]
                entries[b] += 1
                found[n] = c
                n += np.uint32(shared[b])
            for c in found[:n]:
                score = part[c]
                j = begin[bins[c]]
                j += np.uint32(own[j] < score)  # mostly all it takes
                while own[j] < score:
                    j += one
                met[j, np.uint32(own[j] == score)] += 1
        for k in range(lowest, r):
            entries[bin_of_own[k]] = 0
        for above_it in range(last, 0, -1):
            entries[above_it] += entries[above_it + 1]
        higher = met[r, 0]
        for k in range(r - 1, lowest - 1, -1):
            best = r - 1 - k
            above[i, best] = higher + entries[bin_of_own[k]]
            level[i, best] = met[k, 1]
            higher += met[k, 0] + met[k, 1]
        for k in range(lowest + 1, r):  # of equal own scores only the first has met anything
            if own[k] == own[k - 1]:
                level[i, r - 1 - k] = level[i, r - k]
