"""Sums over the tops of rankings: of rankings whose ties are decided, and expected over the orders of what is tied."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from inkseek.compiled import compiled
from inkseek.metrics.places import Int32s, Places
from inkseek.metrics.scoring import Ints

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Top = Ints | int

WHOLE = 2**31 - 1
"""A whole ranking is the top of a length that none reaches."""


class Order:
    """The relevant items of n rankings in which every tie is decided.

    Attributes:
        ahead: [n, R_max], how many items stand before each relevant one; it rises along a row.
        count: [n], how many entries of a row are relevant items; the rest is padding.
        kept: [n, R_max], which relevant items the sums are over; None for all.
    """

    def __init__(self, ahead: Int32s, count: Ints, kept: Bools | None = None) -> None:
        self.ahead, self.count = ahead, count
        self.kept = np.ones(ahead.shape, dtype=np.bool_) if kept is None else kept

    def hits(self, top: Top) -> Floats:
        """Return [n]: how many of the kept relevant items stand in the top (an int, or one a query)."""
        return self._by_query(_count_hits, top)

    def precisions(self, top: Top) -> Floats:
        """Return [n]: the sum of precision at the kept relevant items in the top."""
        return self._by_query(_sum_precision, top)

    def interpolated(self, top: int) -> Floats:
        """Return [n]: the sum of VOC-interpolated precision in the top, of rankings whose items are all kept."""
        return self._by_query(_sum_interpolated, top)

    def first(self, top: int | None) -> Floats:
        """Return [n]: whether the first relevant item stands in the top, or 1 / its rank where there is no top."""
        return of_rank(self.ahead[:, 0] + 1, top)

    def _by_query(self, write: Callable[[Int32s, Ints, Bools, Ints, Floats], None], top: Top) -> Floats:
        tops, result = np.full(len(self.count), top) if isinstance(top, int) else top, np.empty(len(self.count))
        write(self.ahead, self.count, self.kept, tops, result)
        return result


@compiled
def _count_hits(ahead: Int32s, count: Ints, kept: Bools, top: Ints, result: Floats) -> None:
    for i in range(len(count)):
        hits = 0
        for k in range(count[i]):
            if ahead[i, k] >= top[i]:
                break
            hits += kept[i, k]
        result[i] = hits


@compiled
def _sum_precision(ahead: Int32s, count: Ints, kept: Bools, top: Ints, result: Floats) -> None:
    for i in range(len(count)):
        total = 0.0
        for k in range(count[i]):
            if ahead[i, k] >= top[i]:
                break
            if kept[i, k]:
                total += (k + 1) / (ahead[i, k] + 1)
        result[i] = total


@compiled
def _sum_interpolated(ahead: Int32s, count: Ints, _: Bools, top: Ints, result: Floats) -> None:
    for i in range(len(count)):
        total = best = 0.0
        for k in range(count[i] - 1, -1, -1):
            if ahead[i, k] < top[i]:
                best = max(best, (k + 1) / (ahead[i, k] + 1))
                total += best
        result[i] = total


class Expected:
    """The sums that `Order` gives, expected over random orders of the items of equal score."""

    def __init__(self, places: Places) -> None:
        nth = np.arange(places.above.shape[1], dtype=np.int32)
        tied = places.level > 0
        # What no irrelevant item is level with keeps its place whatever the order of the others.
        self.decided = Order(places.above + nth, places.count, ~tied)
        # Relevant items of one query with as many irrelevant ones above and some level share their score: a group.
        row, column = np.nonzero(tied)
        above = places.above[row, column]
        begins = np.ones(len(row), dtype=bool)
        begins[1:] = (row[1:] != row[:-1]) | (above[1:] != above[:-1])
        self.count = places.count
        self.row, self.own_ahead = row[begins], column[begins]
        self.own = np.diff(np.append(np.flatnonzero(begins), len(row)))
        self.ahead = above[begins] + self.own_ahead
        self.size = places.level[row, column][begins] + self.own

    def hits(self, top: Top) -> Floats:
        """Return [n]: the expected number of relevant items in the top (an int, or one a query)."""
        return self.decided.hits(top) + self._by_query(self.own / self.size * self._inside(top))

    def precisions(self, top: Top) -> Floats:
        """Return [n]: the expected sum of precision at the relevant items in the top.

        At the j-th place of a group, which is relevant with probability own/size, the items of the group before it hold
        (j-1)(own-1)/(size-1) relevant ones; summing over j gives harmonic numbers.
        """
        inside = self._inside(top)
        slope = (self.own - 1) / (self.size - 1)
        spread = slope * inside + (self.own_ahead + 1 - slope * (self.ahead + 1)) * (
            self._harmonic[self.ahead + inside] - self._harmonic[self.ahead]
        )
        return self.decided.precisions(top) + self._by_query(self.own / self.size * spread)

    def first(self, top: int | None) -> Floats:
        """Return [n]: whether the first relevant item stands in the top, or 1 / its rank, expected."""
        result = self.decided.first(top)
        leading = np.flatnonzero(self.own_ahead == 0)
        groups = np.stack([part[leading] for part in (self.ahead, self.size, self.own)], axis=1)
        different, which = np.unique(groups, axis=0, return_inverse=True)
        figures = np.array([_expected_first(ahead, size, own, top) for ahead, size, own in different.tolist()])
        if len(leading):
            result[self.row[leading]] = figures[which.reshape(-1)]
        return result

    @cached_property
    def _harmonic(self) -> Floats:
        return np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, int((self.ahead + self.size).max(initial=0)) + 1))])

    def _inside(self, top: Top) -> Ints:
        """How many places of each group are in the top."""
        return np.clip((top if isinstance(top, int) else top[self.row]) - self.ahead, 0, self.size)

    def _by_query(self, of_group: Floats) -> Floats:
        return np.asarray(np.bincount(self.row, weights=of_group, minlength=len(self.count)), dtype=np.float64)


def of_rank(rank: npt.NDArray[np.integer], top: int | None) -> Floats:
    """Return a hit in the top, or 1 / rank where there is no top."""
    return 1.0 / rank if top is None else (rank <= top).astype(np.float64)


def _expected_first(ahead: int, size: int, own: int, top: int | None) -> float:
    """The first relevant item is the k-th of its group with probability C(size-k, own-1) / C(size, own)."""
    k = np.arange(1, size - own + 1)
    probability = own / size * np.concatenate([[1.0], np.cumprod((size - k - own + 1) / (size - k))])
    return float(probability @ of_rank(ahead + 1 + np.arange(size - own + 1), top))
