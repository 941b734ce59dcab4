"""Triplet loss, exact over every triplet of the batch."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inkseek import relations
from inkseek.compiled import by_rows, compiled
from inkseek.losses.closed_form import only_once
from inkseek.losses.margin import Margin, MarginTerm
from inkseek.losses.sorting import FEW, argsort_rows, search_rows
from inkseek.losses.tuples import Intervals
from inkseek.relations import Batch, Level, Metric, row_blocks


class Triplet(MarginTerm):
    """Hinge over all triplets of anchor, positive and negative, averaged with the zeros.

    Every anchor's K thresholds d(a,p) + m are sorted, and each of its negatives finds how many it lies below; sums of
    thresholds give their total: O(N^2 log K) time, O(N^2) memory, and no list of triplets.

    Formula:
        L = (1/N) sum_(a,p,n) [d(a,p) - d(a,n) + m]_+ over all N triplets.
        Its gradient by D = d(a,p) - d(a,n) is 1/N where D > -m and 0 elsewhere, as relu has it (RDVC paper, Eq. 9,
        which counts D = -m as active).

    Arguments:
        margin: m. A number or 0-d tensor; a tensor [classes] gives each anchor that of its label, one of 0..classes-1;
            a tensor [anchors, 1] gives each its own. A parameter is learned, another tensor is kept as a buffer; a
            module is called with the batch and returns such a tensor.
        distance: `sqeuclidean` (in [0, 4]), `euclidean` or `cosine` (in [0, 2]), on unit embeddings.
        level: `category`, `instance`, or None for the finest that the batch knows.
        name: the term's name in the log; two triplet terms of one objective need two.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels), with `instances=` for instance level.
        No triplet in the batch gives a differentiable zero.

    Recommendations:
        A batch of classes x items, 40 x 3 in the papers, with m = 1 on squared Euclidean distance. A loss that stays at
        m is a collapsed embedding: lower the learning rate or the margin. A second gradient raises.

    Source:
        Schroff et al., FaceNet, CVPR 2015; averaged over all triplets as in Zhang et al., Deep Metric Learning with
        Spherical Embedding, NeurIPS 2020.
    """

    def __init__(
        self,
        margin: Margin = 1.0,
        distance: Metric = "sqeuclidean",
        *,
        level: Level | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(margin, distance, level, name)

    def forward(self, batch: Batch) -> Tensor:
        """The loss on a batch."""
        relations = self.relations(batch)
        total: Tensor = _HingeSum.apply(
            relations.distance, self.margins(batch, relations.distance), relations.negative, *relations.packed
        )
        return total / relations.triplets.clamp(min=1)

    def active(self, batch: Batch) -> Tensor:
        """Share of the triplets whose hinge is not zero, a detached 0-d tensor; zero without a triplet."""
        relations = self.relations(batch)
        distance, margins = relations.distance.detach(), self.margins(batch, relations.distance).detach()
        _, _, counts = _hinges(distance, margins, relations.negative, *relations.packed)
        return counts.sum() / relations.triplets.clamp(min=1)

    def mined(self, batch: Batch) -> Intervals:
        """The active triplets: D > -m."""
        relations = self.relations(batch)
        distance, margins = relations.distance.detach(), self.margins(batch, relations.distance).detach()
        column, valid = relations.packed
        negatives = torch.where(relations.negative, distance, torch.inf)
        order = argsort_rows(negatives)
        values = negatives.gather(1, order)
        # Strictly below, so that a hinge of exactly zero is inactive, as relu has it.
        below = torch.searchsorted(values, distance.gather(1, column) + margins).masked_fill_(~valid, 0)
        return Intervals(column, order, torch.zeros_like(below), below)


class _HingeSum(torch.autograd.Function):
    """Sum of [d(a,p) - d(a,n) + m_a]_+ over all triplets, with its gradient in closed form."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor, margin: Tensor, negative: Tensor, column: Tensor, valid: Tensor) -> Tensor:
        # The search gives value and gradient alike, so the gradient is made here and only scaled on the way back.
        total, gradient, counts = _hinges(distance, margin, negative, column, valid)
        ctx.save_for_backward(distance, gradient, counts)
        return total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        distance, gradient, counts = ctx.saved_tensors
        by_distance, by_margin, *_ = ctx.needs_input_grad
        return (
            only_once(upstream * gradient, distance) if by_distance else None,
            only_once(upstream * counts, distance) if by_margin else None,
            None,
            None,
            None,
        )


def _hinges(
    distance: Tensor, margin: Tensor, negative: Tensor, column: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum of all hinges, its gradient by distance [anchors, candidates], and each anchor's active ones [anchors, 1].

    Every active triplet adds d_p + m and takes d_n away, so that the gradient says the sum too.
    """
    total, gradient, active = distance.new_zeros(()), torch.empty_like(distance), torch.empty_like(margin)
    for rows in row_blocks(distance):
        near, columns, own = distance[rows], column[rows], gradient[rows]
        thresholds = torch.where(valid[rows], near.gather(1, columns) + margin[rows], -torch.inf)
        thresholds, order = thresholds.sort(1)  # -inf first
        counts = _below(near, negative[rows], thresholds, own)
        # NaN lies below nothing, but 0 times NaN is NaN: it does not go unseen.
        total += (counts * torch.where(thresholds == -torch.inf, 0, thresholds)).sum() + (own * near).sum()
        active[rows] = counts.sum(1, keepdim=True)
        own.scatter_add_(1, columns.gather(1, order), counts)
    return total, gradient, active


def _below(distance: Tensor, negative: Tensor, thresholds: Tensor, gradient: Tensor) -> Tensor:
    """How many negatives lie below each threshold, [anchors, K]; 0 for -inf. Fills `gradient` in for the negatives.

    A negative that equals a threshold does not lie below it: a hinge of exactly zero is inactive, as relu has it.

    Args:
        thresholds: [anchors, K], ascending.
    """
    # What is above the next number down is at least the number itself.
    places = search_rows(thresholds.nextafter(thresholds.new_full((), -torch.inf)), distance)
    if relations.on_host(distance):
        counts = torch.empty_like(thresholds)
        by_rows(_ask, *(x.numpy() for x in (places, negative, gradient, counts)))
    else:
        gradient.copy_(places).sub_(thresholds.shape[1]).mul_(negative)
        # From how many negatives have so many thresholds that do not lie above them.
        met = distance.new_zeros(len(distance), thresholds.shape[1] + 1).scatter_add_(
            1, places, negative.to(distance.dtype)
        )
        counts = met.cumsum(1)[:, :-1]
    return counts.masked_fill_(thresholds == -torch.inf, 0)


@functools.partial(compiled, any_order=True)
def _ask(
    places: npt.NDArray[np.int32], negative: npt.NDArray[np.bool_], gradient: npt.NDArray[Any], counts: npt.NDArray[Any]
) -> None:
    """Write gradient and counts from how many thresholds do not lie above each candidate."""
    k = counts.shape[1]
    number = gradient.dtype.type
    met = np.empty(k + 1, gradient.dtype)
    for i in range(len(places)):
        met[:] = 0
        for c in range(places.shape[1]):
            gradient[i, c] = negative[i, c] * number(places[i, c] - k)
        if k <= FEW:
            for j in range(k):
                total = number(0)
                for c in range(places.shape[1]):
                    total += negative[i, c] * number(places[i, c] == j)
                met[j] = total
        else:
            for c in range(places.shape[1]):
                met[places[i, c]] += negative[i, c]
        below = number(0)
        for j in range(k):
            below += met[j]
            counts[i, j] = below
