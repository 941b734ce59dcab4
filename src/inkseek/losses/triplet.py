"""Triplet loss, exact over every triplet of the batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from inkseek.errors import InkseekError
from inkseek.losses.closed_form import only_once
from inkseek.losses.term import RelationTerm, number
from inkseek.relations import Batch, Level, Metric, Relations, row_blocks


class Triplet(RelationTerm):
    """Hinge over all triplets of anchor, positive and negative, averaged with the zeros.

    Every anchor's negatives are sorted once; each positive finds how many lie below d(a,p) + m, and prefix sums give
    their total: O(N^2 log N) time, O(N^2) memory, and no list of triplets.

    Formula:
        L = (1/N) sum_(a,p,n) [d(a,p) - d(a,n) + m]_+ over all N triplets.
        Its gradient by D = d(a,p) - d(a,n) is 1/N where D > -m and 0 elsewhere, as relu has it (RDVC paper, Eq. 9,
        which counts D = -m as active).

    Arguments:
        margin: m. A number or 0-d tensor; a tensor [classes] gives each anchor that of its label, one of 0..classes-1;
            a tensor [anchors, 1] gives each its own. A parameter is learned, another tensor is kept as a buffer.
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
        margin: float | Tensor = 1.0,
        distance: Metric = "sqeuclidean",
        *,
        level: Level | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(distance, level, name)
        self.margin: float | Tensor
        if not isinstance(margin, Tensor):
            self.margin = number(self, "margin", margin)
        elif not margin.is_floating_point() or margin.ndim > 2 or (margin.ndim == 2 and margin.shape[1] != 1):
            raise InkseekError(f"{self.name}: a margin tensor must be floats [], [classes] or [anchors, 1]")
        elif isinstance(margin, torch.nn.Parameter):
            self.margin = margin
        else:
            self.register_buffer("margin", margin)

    def forward(self, batch: Batch) -> Tensor:
        """The loss on a batch."""
        relations = self.relations(batch)
        total: Tensor = _HingeSum.apply(
            relations.distance, self._margins(batch, relations), relations.positive, relations.negative
        )
        return total / relations.triplets.clamp(min=1)

    def active(self, batch: Batch) -> Tensor:
        """Share of the triplets whose hinge is not zero, a detached 0-d tensor; zero without a triplet."""
        relations = self.relations(batch)
        distance, margins = relations.distance.detach(), self._margins(batch, relations).detach()
        count = relations.triplets.new_zeros(())
        for rows in row_blocks(distance):
            positive, negative = relations.positive[rows], relations.negative[rows]
            count += _Sorted(distance[rows], margins[rows], positive, negative).below.sum()
        return count / relations.triplets.clamp(min=1)

    def _margins(self, batch: Batch, relations: Relations) -> Tensor:
        """Every anchor's margin, [anchors, 1] in the distances' own precision."""
        distance = relations.distance
        # A number is filled in where the distances lie; made here and copied there, it would wait for the device.
        margin = self.margin.to(distance) if isinstance(self.margin, Tensor) else distance.new_full((), self.margin)
        if margin.ndim == 1:
            margin = margin[batch.anchor_labels, None]
        try:
            return margin.expand(len(distance), 1)
        except RuntimeError:
            raise InkseekError(
                f"{self.name}: {len(margin)} margins, one for each anchor, meet {len(distance)} anchors"
            ) from None

    def extra_repr(self) -> str:
        """Margin and distance, and the level where one is given."""
        margin = f"tensor{list(self.margin.shape)}" if isinstance(self.margin, Tensor) else self.margin
        level = f", level={self.level!r}" if self.level else ""
        return f"margin={margin}, distance={self.distance!r}{level}"


class _Sorted:
    """A block of anchors with its negatives in order of distance."""

    def __init__(self, distance: Tensor, margin: Tensor, positive: Tensor, negative: Tensor) -> None:
        self.positive = positive
        self.negatives, self.order = torch.where(negative, distance, torch.inf).sort(1)
        self.threshold = distance + margin
        # Strictly below, so that a hinge of exactly zero is inactive, as relu has it.
        self.below = torch.searchsorted(self.negatives, self.threshold).masked_fill_(~positive, 0)

    def hinge(self) -> Tensor:
        """Sum of d_p + m - d_n over each positive's negatives below its threshold."""
        prefix = torch.nn.functional.pad(self.negatives.cumsum(1), (1, 0)).gather(1, self.below)
        total = torch.where(self.positive, self.below * self.threshold - prefix, 0).sum()
        # NaN sorts last, where no threshold reaches: without this a broken negative would go unseen.
        return total + torch.where(self.negatives[:, -1:].isnan(), torch.nan, 0).sum()

    def gradient(self) -> Tensor:
        """The sum's gradient by distance: a positive's active negatives, less a negative's active positives."""
        rows, columns = self.below.shape
        counts = self.threshold.new_zeros(rows, columns + 1)  # positives by how many negatives lie below them
        counts.scatter_add_(1, self.below, self.positive.to(counts.dtype))
        # The negative of rank r is active for the positives with more than r negatives below them.
        above = counts.sum(1, keepdim=True) - counts.cumsum(1)[:, :columns]
        return self.below - torch.empty_like(above).scatter_(1, self.order, above)


class _HingeSum(torch.autograd.Function):
    """Sum of [d(a,p) - d(a,n) + m_a]_+ over all triplets, with its gradient in closed form."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor, margin: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        # Sorting gives the value and the gradient alike, so the gradient is made here and only scaled on the way back.
        gradient = torch.empty_like(distance) if any(ctx.needs_input_grad) else None
        margin_gradient = torch.empty_like(margin)
        total = distance.new_zeros(())
        for rows in row_blocks(distance):
            block = _Sorted(distance[rows], margin[rows], positive[rows], negative[rows])
            total += block.hinge()
            if gradient is not None:
                gradient[rows] = block.gradient()
                margin_gradient[rows] = block.below.sum(1, keepdim=True).to(margin.dtype)
        ctx.save_for_backward(distance, gradient, margin_gradient)
        return total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        distance, gradient, margin_gradient = ctx.saved_tensors
        by_distance, by_margin, *_ = ctx.needs_input_grad
        return (
            only_once(upstream * gradient, distance) if by_distance else None,
            only_once(upstream * margin_gradient, distance) if by_margin else None,
            None,
            None,
        )
