"""Where a query's relevant items stand in its ranking, ties and all: every ranking metric follows from it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_FEW = 16  # up to here, counting what scores higher reads a row less often than sorting it does


@dataclass(frozen=True, eq=False)
class Places:
    """Where the relevant items of n queries stand, best first; each array is [n, R_max], padded where not `valid`.

    Items of equal score form a group: `ahead` items score higher than the group, `size` items are in it, `own_ahead`
    relevant items score higher and `own` relevant items are in it.
    """

    ahead: Ints
    size: Ints
    own_ahead: Ints
    own: Ints
    count: Ints

    @cached_property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Which entries are relevant items, and not padding."""
        result: npt.NDArray[np.bool_] = np.arange(self.ahead.shape[1]) < self.count[:, None]
        return result

    @cached_property
    def undecided(self) -> npt.NDArray[np.bool_]:
        """Relevant items that share their score with an irrelevant one."""
        return self.valid & (self.size > self.own)

    @property
    def tied(self) -> int:
        """How many relevant items share their score with an irrelevant one."""
        return int(self.undecided.sum())

    def ordered(self, ties: Literal["pessimistic", "optimistic"]) -> Places:
        """Decide every tie: relevant items stand behind, or before, the irrelevant ones of their group."""
        nth = np.broadcast_to(np.arange(self.ahead.shape[1]), self.ahead.shape)
        behind = self.size - self.own if ties == "pessimistic" else 0
        one = np.ones_like(self.ahead)
        return Places(self.ahead + (nth - self.own_ahead) + behind, one, nth, one, self.count)

    def hits(self, top: Ints | int) -> Floats:
        """Return [n]: the expected number of relevant items in the top (an int, or one a query)."""
        share = np.clip((np.reshape(top, (-1, 1)) - self.ahead) / self.size, 0.0, 1.0)
        return _sum(share, self.valid)

    def precisions(self, top: Ints | int) -> Floats:
        """Return [n]: the expected sum of precision at the relevant items in the top.

        At the j-th place of a group, which is relevant with probability own/size, the items of the group before it hold
        (j-1)(own-1)/(size-1) relevant ones; summing over j gives harmonic numbers.
        """
        places = np.clip(np.reshape(top, (-1, 1)) - self.ahead, 0, self.size)
        alone = (self.own_ahead + 1) / (self.ahead + 1) * places
        if not (self.size > 1).any():
            return _sum(alone, self.valid)
        harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, int((self.ahead + self.size).max()) + 1))])
        slope = (self.own - 1) / np.maximum(self.size - 1, 1)
        spread = slope * places + (self.own_ahead + 1 - slope * (self.ahead + 1)) * (
            harmonic[self.ahead + places] - harmonic[self.ahead]
        )
        return _sum(np.where(self.size == 1, alone, spread / self.size), self.valid)

    def interpolated(self, top: int) -> Floats:
        """Return [n]: the sum of VOC-interpolated precision in the top; ties must have been decided."""
        inside = self.valid & (self.ahead < top)
        precision = np.where(inside, (self.own_ahead + 1) / (self.ahead + 1), 0.0)
        return _sum(np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1], inside)

    def first(self, figure: OfFirst) -> Floats:
        """Return [n]: a figure of the first relevant item's rank, expected over the orders of its group."""
        ahead, size, own = self.ahead[:, 0], self.size[:, 0], self.own[:, 0]
        result = figure.at(ahead + 1)
        tied = np.flatnonzero(size > own)
        if not len(tied):
            return result
        groups, which = np.unique(np.stack([ahead[tied], size[tied], own[tied]], axis=1), axis=0, return_inverse=True)
        result[tied] = np.array([figure.expected(*map(int, group)) for group in groups])[which.reshape(-1)]
        return result


class OfFirst:
    """A figure that the rank of the first relevant item decides: a hit in the top K, or 1/rank where K is None."""

    def __init__(self, top: int | None) -> None:
        self.top = top

    def at(self, rank: Ints) -> Floats:
        """The figure when the first relevant item has this rank."""
        return 1.0 / rank if self.top is None else (rank <= self.top).astype(np.float64)

    def expected(self, ahead: int, size: int, own: int) -> float:
        """The first relevant item is the k-th of its group with probability C(size-k, own-1) / C(size, own)."""
        k = np.arange(1, size - own + 1)
        probability = own / size * np.concatenate([[1.0], np.cumprod((size - k - own + 1) / (size - k))])
        return min(1.0, float(probability @ self.at(np.arange(ahead + 1, ahead + size - own + 2))))


def find_places(
    scores: npt.NDArray[np.float32], mine: npt.NDArray[np.float32], count: Ints, pool: ThreadPoolExecutor, workers: int
) -> Places:
    """Find the places of the relevant scores `mine` [n, R_max], descending, in `scores` [n, G], whose rows it sorts."""
    g = scores.shape[1]
    ahead = np.full(mine.shape, g, dtype=np.int64)
    size = np.ones(mine.shape, dtype=np.int64)

    def place(rows: range) -> None:
        for i in rows:
            n = int(count[i])
            row, wanted = scores[i], mine[i, :n]
            if n <= _FEW:
                for j in range(n):
                    ahead[i, j] = np.count_nonzero(row > wanted[j])
                    size[i, j] = np.count_nonzero(row == wanted[j])
            else:
                row.sort()
                right = row.searchsorted(wanted[::-1], side="right")[::-1]
                ahead[i, :n] = g - right
                size[i, :n] = right - row.searchsorted(wanted[::-1], side="left")[::-1]

    step = -(-len(scores) // workers) or 1
    list(pool.map(place, [range(at, min(at + step, len(scores))) for at in range(0, len(scores), step)]))

    nth = np.arange(mine.shape[1])
    if not (size > 1).any():
        return Places(ahead, size, np.broadcast_to(nth, mine.shape), size, count)
    new = np.ones(mine.shape, dtype=bool)
    new[:, 1:] = ahead[:, 1:] != ahead[:, :-1]
    own_ahead = np.maximum.accumulate(np.where(new, nth, 0), axis=1)
    ends = np.full(mine.shape, mine.shape[1], dtype=np.int64)
    ends[:, :-1] = np.where(new[:, 1:], nth[1:], mine.shape[1])
    own = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1] - own_ahead
    return Places(ahead, size, own_ahead, own, count)


def _sum(values: npt.NDArray[Any], where: npt.NDArray[np.bool_]) -> Floats:
    return np.asarray(np.sum(values, axis=1, where=where, dtype=np.float64))
