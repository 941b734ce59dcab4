"""Some of a batch's triplets: those that a loss has mined, each anchor's hardest, or one drawn for a positive pair."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from inkseek.relations import Relations


@dataclass(frozen=True, eq=False)
class Chosen:
    """One negative for each positive pair, or for some of them.

    Attributes:
        positive: int64 [anchors, K], the candidate that is the positive: all of an anchor's (`Relations.packed`), or
            those that were chosen.
        negative: int64 [anchors, K], the candidate that is the negative of the pair.
        valid: bool [anchors, K], where there is a triplet; elsewhere the others mean nothing.
    """

    positive: Tensor
    negative: Tensor
    valid: Tensor

    def differences(self, distance: Tensor) -> Tensor:
        """D = d(a,p) - d(a,n) [anchors, K], 0 where not valid."""
        near, far = distance.gather(1, torch.cat((self.positive, self.negative), 1)).chunk(2, 1)
        return torch.where(self.valid, near - far, 0)

    @cached_property
    def count(self) -> Tensor:
        """The number of triplets, 0-d int64."""
        return self.valid.sum()

    def deviation(self, distance: Tensor) -> Tensor:
        """The sum of (D - mean)^2 over the triplets, differentiable, 0-d."""
        differences = self.differences(distance)
        mean = differences.sum() / self.count.clamp(min=1)
        return torch.where(self.valid, differences - mean, 0).square().sum()


@dataclass(frozen=True, eq=False)
class Intervals:
    """For each positive pair a run of its anchor's negatives in some order.

    Attributes:
        positive: int64 [anchors, K], each anchor's positives (`Relations.packed`).
        order: int64 [anchors, candidates], each anchor's candidates, its negatives first.
        low: int64 [anchors, K], where the pair's run begins in that order.
        high: int64 [anchors, K], where it ends; equal to `low` for what is not a positive pair.
    """

    positive: Tensor
    order: Tensor
    low: Tensor
    high: Tensor

    @cached_property
    def lengths(self) -> Tensor:
        """How many negatives each positive pair meets, int64 [anchors, K]."""
        return self.high - self.low

    @cached_property
    def count(self) -> Tensor:
        """The number of triplets, 0-d int64."""
        return self.lengths.sum()

    def sums(self, values: Tensor) -> Tensor:
        """The sum of `values` [anchors, candidates] over each pair's negatives; float64 [anchors, K]."""
        # A run is a difference of two prefixes, which in float32 would leave few of its digits.
        prefix = pad(values.gather(1, self.order).cumsum(1, dtype=torch.float64), (1, 0))
        return prefix.gather(1, self.high) - prefix.gather(1, self.low)

    def deviation(self, distance: Tensor) -> Tensor:
        """The sum of (D - mean)^2 over the triplets, differentiable, 0-d.

        With distances e centred on their anchor's mean, u = d_p - mean(D) - (that centre), and k negatives in a run:
        sum (D - mean)^2 = k u^2 - 2 u sum(e) + sum(e^2). Centred first, so that nothing cancels near collapse.
        """
        centred = distance.double() - distance.detach().double().mean(1, keepdim=True)
        sums, own = self.sums(centred), centred.gather(1, self.positive)
        mean = (self.lengths * own - sums).sum() / self.count.clamp(min=1)
        u = own - mean
        squares = self.lengths * u.square() - 2 * u * sums + self.sums(centred.square())
        return squares.sum().to(distance.dtype)


def hardest(relations: Relations) -> Chosen:
    """For each anchor its farthest positive and its nearest negative; all of it [anchors, 1]."""
    distance = relations.distance.detach()
    if not distance.numel():
        nobody = torch.zeros(len(distance), 1, dtype=torch.int64, device=distance.device)
        return Chosen(nobody, nobody, nobody.bool())
    return Chosen(
        torch.where(relations.positive, distance, -torch.inf).argmax(1, keepdim=True),
        torch.where(relations.negative, distance, torch.inf).argmin(1, keepdim=True),
        relations.positive.any(1, keepdim=True) & relations.negative.any(1, keepdim=True),
    )


def random_negatives(relations: Relations, generator: torch.Generator) -> Chosen:
    """For each positive pair a negative of its anchor, all of them equally likely."""
    column, valid = relations.packed
    chance = torch.rand(column.shape, generator=generator, device=column.device)
    negative = nth_true(relations.negative, nth_of(relations.negatives, chance))
    return Chosen(column, negative, valid & (relations.negatives > 0))


def nth_of(count: Tensor, chance: Tensor) -> Tensor:
    """A whole number in [0, count), int64, from a chance in [0, 1); 0 where the count is 0."""
    return torch.minimum((chance * count).long(), (count - 1).clamp(min=0))


def nth_true(mask: Tensor, nth: Tensor) -> Tensor:
    """In each row the column of the n-th True, counted from 0; the last column where a row has not so many.

    Args:
        mask: bool [rows, columns].
        nth: int64 [rows, any number].
    """
    column = torch.searchsorted(mask.cumsum(1), nth + 1)
    return column.clamp_(max=max(mask.shape[1] - 1, 0))
