"""Sums over the tops of rankings: of rankings whose ties are decided, and expected over the orders of what is tied."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from inkseek.metrics.places import GROUP, Int32s, Places
from inkseek.metrics.scoring import Ints

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

    def __init__(self, ahead: Int32s, count: Ints, kept: npt.NDArray[np.bool_] | None = None) -> None:
        self.ahead, self.count, self.kept = ahead, count, kept
        self._within: dict[int, Ints] = {}
        self._precisions: dict[int, Floats] = {}
        self._interpolated: dict[int, Floats] = {}

    @cached_property
    def precision(self) -> Floats:
        """[n, R_max], the precision at each relevant item."""
        result: Floats = np.arange(1.0, self.ahead.shape[1] + 1) / (self.ahead + 1)
        return result if self.kept is None else np.where(self.kept, result, 0.0)

    def within(self, top: Top) -> Ints:
        """Return [n]: how many relevant items stand in the top (an int, or one a query)."""
        if not isinstance(top, int):
            inside = self.ahead < np.minimum(top, WHOLE)[:, None]
            return np.asarray(np.minimum(np.count_nonzero(inside, axis=1), self.count))
        if top not in self._within:
            inside = self.ahead[:, :top] < min(top, WHOLE)
            self._within[top] = np.minimum(np.count_nonzero(inside, axis=1), self.count)
        return self._within[top]

    def hits(self, top: Top) -> Floats:
        """Return [n]: how many of the kept relevant items stand in the top."""
        within = self.within(top)
        if self.kept is not None:
            within = np.count_nonzero(self.kept & (np.arange(self.kept.shape[1]) < within[:, None]), axis=1)
        return within.astype(np.float64)

    def precisions(self, top: Top) -> Floats:
        """Return [n]: the sum of precision at the kept relevant items in the top."""
        if not isinstance(top, int):
            return _sums(self._precision_within(top))
        if top not in self._precisions:
            self._precisions[top] = _sums(self._precision_within(top))
        return self._precisions[top]

    def interpolated(self, top: int) -> Floats:
        """Return [n]: the sum of VOC-interpolated precision in the top, of rankings whose items are all kept."""
        if top not in self._interpolated:
            precision = self._precision_within(top)
            self._interpolated[top] = _sums(np.maximum.accumulate(precision[:, ::-1], axis=1))
        return self._interpolated[top]

    def _precision_within(self, top: Top) -> Floats:
        """[n, a multiple of GROUP], the precision at each relevant item in the top, and 0 elsewhere."""
        columns = min(GROUP * -(-top // GROUP) if isinstance(top, int) else WHOLE, self.ahead.shape[1])
        return np.where(np.arange(columns) < self.within(top)[:, None], self.precision[:, :columns], 0.0)

    def first(self, top: int | None) -> Floats:
        """Return [n]: whether the first relevant item stands in the top, or 1 / its rank where there is no top."""
        return of_rank(self.ahead[:, 0] + 1, top)


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


def _sums(x: Floats) -> Floats:
    """Return [n], the sums of rows [n, a multiple of GROUP]; zeros behind a row leave its sum what it is, to the bit.

    A plain sum adds in an order that depends on the row's length, and a running one waits for each of its steps.
    """
    groups: Floats = np.einsum("ngk->ng", x.reshape(len(x), -1, GROUP))
    return groups.cumsum(axis=1)[:, -1].copy()


def of_rank(rank: npt.NDArray[np.integer], top: int | None) -> Floats:
    """Return a hit in the top, or 1 / rank where there is no top."""
    return 1.0 / rank if top is None else (rank <= top).astype(np.float64)


def _expected_first(ahead: int, size: int, own: int, top: int | None) -> float:
    """The first relevant item is the k-th of its group with probability C(size-k, own-1) / C(size, own)."""
    k = np.arange(1, size - own + 1)
    probability = own / size * np.concatenate([[1.0], np.cumprod((size - k - own + 1) / (size - k))])
    return float(probability @ of_rank(ahead + 1 + np.arange(size - own + 1), top))
