"""What each metric makes of the places of the relevant items, and what ties leave open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from inkseek.metrics.names import Metric
from inkseek.metrics.orders import WHOLE, Expected, Floats, Order, Top
from inkseek.metrics.places import Places
from inkseek.metrics.scoring import Ints

Ties = Literal["expected", "pessimistic", "optimistic"]


def measure(places: Places, wanted: Iterable[Metric], ties: Ties) -> Iterator[tuple[str, Floats]]:
    """Yield (name, [n]) for each metric, and the upper bound too where `expected` has no closed form."""
    undecided = _Undecided(places)
    order = undecided.best if ties == "optimistic" else undecided.worst
    # Ties are rare among real embeddings: what they cost is spent on their rows alone.
    rows = places.open_rows
    some = _Undecided(places.pick(rows)) if places.tied else None
    for m in wanted:
        figures = _figure(order, m)
        if not m.open_under_ties:
            if some is not None and ties == "expected":
                figures[rows] = _figure(some.expected, m)
            yield m.name, figures
            continue
        upper = figures
        if some is not None:
            upper = figures.copy()
            low, upper[rows] = _bounds(some, m)
            figures[rows] = upper[rows] if ties == "optimistic" else low
        yield m.name, figures
        if ties == "expected":
            yield f"{m.name} optimistic", upper


@dataclass(frozen=True, eq=False)
class _Undecided:
    """Places under every policy for ties."""

    places: Places

    @cached_property
    def best(self) -> Order:
        """Relevant items stand before the irrelevant ones of their score."""
        nth = np.arange(self.places.above.shape[1], dtype=np.int32)
        return Order(self.places.above + nth, self.places.count)

    @cached_property
    def worst(self) -> Order:
        """Relevant items stand behind the irrelevant ones of their score."""
        nth = np.arange(self.places.above.shape[1], dtype=np.int32)
        return Order(self.places.above + self.places.level + nth, self.places.count)

    @cached_property
    def expected(self) -> Expected:
        """Tied items stand in random order."""
        return Expected(self.places)


def _figure(order: Order | Expected, m: Metric) -> Floats:
    """Return [n]: a metric of decided rankings, or, where it has a closed form, its expectation over ties."""
    if m.kind == "reciprocal rank" or m.kind == "hit":
        return order.first(m.cutoff)
    r = order.count
    cutoff = m.cutoff or WHOLE
    top: Top = {"R": r, "min": np.minimum(r, cutoff)}.get(m.denominator, cutoff)
    if m.kind == "precision":
        return np.asarray(order.hits(top) / top)
    total = order.interpolated(cutoff) if m.interpolated and isinstance(order, Order) else order.precisions(top)
    divisor: Floats | Ints | int = r
    if m.denominator == "lenient":
        divisor = np.maximum(order.hits(top), 1.0)
    elif m.denominator == "strict":
        divisor = np.minimum(r, cutoff)
    elif m.denominator == "/K":
        divisor = cutoff
    return np.asarray(total / divisor)


def _bounds(undecided: _Undecided, m: Metric) -> tuple[Floats, Floats]:
    """The smallest and largest value of a VOC or lenient AP over all orders of tied items."""
    low, high = _figure(undecided.worst, m), _figure(undecided.best, m)
    if m.denominator != "lenient" or m.cutoff is None:
        return low, high
    # One more hit raises the divisor too, so where the cut-off runs through a group every number of hits is tried.
    groups, top = undecided.expected, m.cutoff
    for i in np.flatnonzero((groups.ahead < top) & (groups.ahead + groups.size > top)):
        row, column = int(groups.row[i]), int(groups.own_ahead[i])
        ahead, size, own = (int(part[i]) for part in (groups.ahead, groups.size, groups.own))
        for bound, decided, pick in ((low, undecided.worst, np.min), (high, undecided.best, np.max)):
            before = np.arange(1.0, column + 1) / (decided.ahead[row, :column] + 1)
            first = decided is undecided.best
            bound[row] = pick(_lenient(before, ahead, size, own, top, first=first, voc=m.interpolated))
    return low, high


def _lenient(before: Floats, ahead: int, size: int, own: int, top: int, *, first: bool, voc: bool) -> Floats:
    """Lenient AP for every possible number of hits in a group that the cut-off runs through.

    Args:
        before: [b] precisions at the relevant items ahead of the group.
        ahead: items ahead of the group.
        size: items in the group.
        own: relevant items in the group.
        top: the cut-off, inside the group.
        first: whether the hits stand first among the group's places in the top, or last.
        voc: whether precision is interpolated.
    """
    slots, b = top - ahead, len(before)
    hits = np.arange(max(0, slots - (size - own)), min(own, slots) + 1)
    h = np.arange(1, slots + 1)
    if voc:
        # Precision rises along hits that stand in a row, so the last hit's is the interpolated one of them all.
        peak = (hits > 0) * (b + hits) / (np.maximum(ahead + hits, 1) if first else top)
        rising = np.maximum.accumulate(before[::-1])
        below = np.searchsorted(rising, peak)
        from_right = np.append(np.cumsum(rising[::-1])[::-1], 0.0)
        total = below * peak + from_right[below] + hits * peak
    else:
        if first:
            step = (b + h) / (ahead + h)
        else:  # one hit more before the others adds its own precision and lifts the numerator of each of the others
            share = 1.0 / (top - h + 1)
            step = (b + 1) * share + np.cumsum(share) - share
        total = before.sum() + np.concatenate([[0.0], np.cumsum(step)])[hits]
    return np.asarray(total / np.maximum(b + hits, 1), dtype=np.float64)
