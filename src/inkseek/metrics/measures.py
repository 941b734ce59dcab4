"""What each metric makes of the places of the relevant items, and what ties leave open."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from inkseek.metrics.names import Metric
from inkseek.metrics.places import Floats, OfFirst, Places

Ties = Literal["expected", "pessimistic", "optimistic"]


def measure(places: Places, wanted: Iterable[Metric], ties: Ties) -> Iterable[tuple[str, Floats]]:
    """Yield (name, [n]) for each metric, and the upper bound too where `expected` has no closed form."""
    decided = bool(not places.undecided.any())
    worst = places.ordered("pessimistic")
    best = worst if decided else places.ordered("optimistic")
    taken = {"expected": worst if decided else places, "pessimistic": worst, "optimistic": best}[ties]
    for m in wanted:
        if m.open_under_ties:
            low, high = _bounds(places, worst, best, m)
            yield m.name, high if ties == "optimistic" else low
            if ties == "expected":
                yield f"{m.name} optimistic", high
        else:
            yield m.name, _closed(taken, m)


def _closed(places: Places, m: Metric) -> Floats:
    """A metric whose expectation over ties has a closed form."""
    r = places.count
    if m.kind == "reciprocal rank" or m.kind == "hit":
        return places.first(OfFirst(m.cutoff))
    # A whole ranking is the top of a length that none reaches.
    cutoff = np.full_like(r, np.iinfo(np.int64).max if m.cutoff is None else m.cutoff)
    top = {"R": r, "min": np.minimum(r, cutoff)}.get(m.denominator, cutoff)
    if m.kind == "precision":
        return np.asarray(places.hits(top) / top)
    return np.asarray(places.precisions(top) / {"strict": np.minimum(r, top), "/K": top}.get(m.denominator, r))


def _bounds(places: Places, worst: Places, best: Places, m: Metric) -> tuple[Floats, Floats]:
    """The smallest and largest value of a VOC or lenient AP over all orders of tied items."""
    r = places.count
    top = m.cutoff or np.iinfo(np.int64).max
    low: Floats
    high: Floats
    low, high = (p.interpolated(top) if m.interpolated else p.precisions(top) for p in (worst, best))
    if m.denominator != "lenient":
        divisor = {"strict": np.minimum(r, top), "/K": np.full_like(r, top)}.get(m.denominator, r)
        return low / divisor, high / divisor
    low, high = low / np.maximum(worst.hits(top), 1.0), high / np.maximum(best.hits(top), 1.0)
    # One more hit raises the divisor too, so where the cut-off runs through a group every number of hits is tried.
    across = places.undecided & (places.ahead < top) & (places.ahead + places.size > top)
    for row in np.flatnonzero(across.any(axis=1)):
        column = int(across[row].argmax())
        ahead, size, own = (int(part[row, column]) for part in (places.ahead, places.size, places.own))
        for bound, decided, pick in ((low, worst, np.min), (high, best, np.max)):
            before = (np.arange(column) + 1) / (decided.ahead[row, :column] + 1)
            bound[row] = pick(_lenient(before, ahead, size, own, top, first=decided is best, voc=m.interpolated))
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
