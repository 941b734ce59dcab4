"""Quadruplets of a batch, drawn or mined: two negatives for each positive pair, of three classes with the anchor's."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from inkseek.losses.sorting import argsort_rows
from inkseek.losses.tuples import nth_of, nth_true

Mining = Literal["random", "semi_hard", "batch_hard"]


class Quadruplets(NamedTuple):
    """For each positive pair (a, p) its two negatives; each [items, items].

    Attributes:
        strong: int64, the item n1.
        weak: int64, the item n2.
        valid: bool, the pairs that are part of a quadruplet; elsewhere `strong` and `weak` mean nothing.
    """

    strong: Tensor
    weak: Tensor
    valid: Tensor


def mine(
    distance: Tensor,
    pairs: Tensor,
    strong: Tensor,
    weak: Tensor,
    classes: Tensor,
    *,
    mining: Mining,
    generator: torch.Generator,
) -> Quadruplets:
    """Find n1 and n2 for the positive pairs, never two of one class.

    Args:
        distance: [items, items], detached.
        pairs: bool [items, items], which (a, p) are wanted.
        strong: bool [items, items], who may be n1 of an anchor.
        weak: bool [items, items], who may be n2 of an anchor.
        classes: int64 [items].
        mining: as `Quadruplet` says.
        generator: of the random draws.
    """
    if not len(distance):
        return Quadruplets(classes.new_zeros(pairs.shape), classes.new_zeros(pairs.shape), pairs)
    if mining == "random":
        return _random(pairs, strong, weak, classes, generator)
    if mining == "semi_hard":
        first = _semi_hard(distance, strong, classes, unlike=None)
        second = _semi_hard(distance, weak, classes, unlike=classes[first.clamp(min=0)])
        return Quadruplets(first.clamp(min=0), second.clamp(min=0), pairs & (first >= 0) & (second >= 0))
    return _batch_hard(distance, pairs, strong, weak, classes)


def _random(pairs: Tensor, strong: Tensor, weak: Tensor, classes: Tensor, generator: torch.Generator) -> Quadruplets:
    def draw(count: Tensor) -> Tensor:
        return nth_of(count, torch.rand(pairs.shape, generator=generator, device=pairs.device))

    count = strong.sum(1, keepdim=True)
    first = nth_true(strong, draw(count))
    # In the order of classes n1's class is a stretch of columns: n2 is the n-th of the weak ones outside it.
    grouped = classes.argsort(stable=True)
    begin, end = (torch.searchsorted(classes[grouped], classes, right=right) for right in (False, True))
    reached = pad(weak[:, grouped].cumsum(1), (1, 0))
    before = reached.gather(1, begin[first])
    inside = reached.gather(1, end[first]) - before
    outside = reached[:, -1:] - inside
    nth = draw(outside)
    second = grouped[nth_true(weak[:, grouped], nth + torch.where(nth >= before, inside, 0))]
    return Quadruplets(first, second, pairs & (count > 0) & (outside > 0))


def _semi_hard(distance: Tensor, allowed: Tensor, classes: Tensor, unlike: Tensor | None) -> Tensor:
    """For each pair (a, p) the nearest allowed item that is farther than p, or else the farthest; -1 without any.

    Args:
        unlike: int64 [items, items], a class that the item must not be of.
    """
    candidates = torch.where(allowed, distance, torch.inf)
    order = argsort_rows(candidates)
    values = candidates.gather(1, order)
    count = allowed.sum(1, keepdim=True)
    place = torch.searchsorted(values, distance, right=True)
    last = (count - 1).expand_as(place)
    if unlike is not None:
        # Where the item in place is of the class, the next one of another class follows at the end of its run.
        kind = classes[order]
        column = torch.arange(len(classes), device=order.device)
        begins = pad(kind[:, 1:] != kind[:, :-1], (1, 0), value=True)
        run_begins = torch.where(begins, column, 0).cummax(1).values
        run_ends = torch.where(begins, column, len(column)).flip(1).cummin(1).values.flip(1)
        run_ends = pad(run_ends[:, 1:], (0, 1), value=len(column))
        at = place.clamp(max=len(column) - 1)
        place = torch.where(kind.gather(1, at) == unlike, run_ends.gather(1, at), place)
        at = last.clamp(min=0)
        last = torch.where(kind.gather(1, at) == unlike, run_begins.gather(1, at) - 1, last)
    chosen = torch.where(place < count, place, last)
    return torch.where(chosen >= 0, order.gather(1, chosen.clamp(min=0)), -1)


def _batch_hard(distance: Tensor, pairs: Tensor, strong: Tensor, weak: Tensor, classes: Tensor) -> Quadruplets:
    positive = torch.where(pairs, distance, -torch.inf).argmax(1, keepdim=True)
    first = torch.where(strong, distance, torch.inf).argmin(1, keepdim=True)
    weak = weak & (classes != classes[first])
    second = torch.where(weak, distance, torch.inf).argmin(1, keepdim=True)
    there = pairs.any(1, keepdim=True) & strong.any(1, keepdim=True) & weak.any(1, keepdim=True)
    valid = torch.zeros_like(pairs).scatter(1, positive, there)
    return Quadruplets(first.expand(pairs.shape), second.expand(pairs.shape), valid)
