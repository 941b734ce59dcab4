"""N-pair loss: of an anchor's positive and all its negatives, the positive should win."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from inkseek.losses.closed_form import only_once
from inkseek.losses.log_sum import lowest
from inkseek.losses.term import RelationTerm, number, one_of
from inkseek.relations import Batch, Level, Metric, Relations


class NPair(RelationTerm):
    """Cross entropy of each positive among its anchor's negatives; normalised as in SEC by default.

    Formula:
        L = (1/M) sum_(a,p) log(1 + sum_n exp(s D)), D = d(a,p) - d(a,n), over M positive pairs (RDVC paper, Eq. 15).
        With `dot` and s = 1 it is the original loss log(1 + sum_n exp(f_a.f_n - f_a.f_p)) (Eq. 3).
        dL/dD = (s/M) exp(s D) / (1 + sum_n exp(s D)) (Eq. 16).

    Arguments:
        distance: `cosine` (the normalised loss), `dot` (the original, on raw embeddings), or another.
        scale: s. 25 beside `cosine` is SEC's: unit embeddings times 5.
        anchors: `first` takes one pair a class, its first two items (its first sketch and first photo), and the other
            classes' positives as negatives; `all` takes every positive pair, and all negatives.
        level: `category`, `instance`, or None for the finest that the batch knows.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels), with `instances=` for instance level.
        No pair in the batch gives a differentiable zero; a pair without a negative adds nothing.

    Recommendations:
        60 classes x 2 items, as in the papers. The original loss falls with longer embeddings: add `0.0001 * L2()`. A
        second gradient raises.

    Source:
        Sohn, Improved Deep Metric Learning with Multi-class N-pair Loss Objective, NeurIPS 2016; normalised as in Zhang
        et al., Deep Metric Learning with Spherical Embedding, NeurIPS 2020.
    """

    def __init__(
        self,
        distance: Metric = "cosine",
        *,
        scale: float = 25.0,
        anchors: Literal["first", "all"] = "first",
        level: Level | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(distance, level, name)
        self.scale = number(self, "scale", scale, above=0)
        self.anchors: Literal["first", "all"] = one_of(self, "anchors", anchors, ("first", "all"))

    def relations(self, batch: Batch, metric: Metric | None = None) -> Relations:
        """The batch's relations, between the chosen anchors and positives alone."""
        if self.anchors == "all":
            return super().relations(batch, metric)
        return batch.first_pair_relations(metric or self.distance, self.level)

    def mined(self, batch: Batch) -> Relations:
        """All that the loss reads: there is nothing to mine."""
        return self.relations(batch)

    def forward(self, batch: Batch) -> Tensor:
        """The loss on a batch."""
        relations = self.relations(batch)
        column, valid = relations.packed
        total: Tensor = _CrossEntropySum.apply(relations.distance, relations.negative, column, valid, self.scale)
        return total / valid.sum().clamp(min=1)

    def extra_repr(self) -> str:
        """Distance and scale, and the anchors where not the default."""
        anchors = "" if self.anchors == "first" else f", anchors={self.anchors!r}"
        return f"distance={self.distance!r}, scale={self.scale:g}{anchors}"


class _CrossEntropySum(torch.autograd.Function):
    """Sum of log(1 + sum_n exp(s (d_p - d_n))) over all positives, with its gradient in closed form.

    With w_p the sigmoid of s d_p + log sum_n exp(-s d_n), the gradient by d_p is s w_p, and by d_n it is -s sum_p w_p
    times the softmax of -s d over the anchor's negatives: Eq. 16, added up.
    """

    @staticmethod
    def forward(ctx: Any, distance: Tensor, negative: Tensor, column: Tensor, valid: Tensor, scale: float) -> Tensor:
        gradient = torch.mul(distance, -scale).masked_fill_(~negative, lowest(distance))
        highest = gradient.amax(1, keepdim=True) if gradient.shape[1] else gradient.sum(1, keepdim=True)
        shares = gradient.sub_(highest).exp_()
        sums = shares.sum(1, keepdim=True)
        over = distance.gather(1, column).mul_(scale).add_(sums.log().add_(highest))
        weights = torch.where(valid, over.sigmoid(), 0).mul_(scale)
        shares.mul_(weights.sum(1, keepdim=True).div_(sums).neg_()).scatter_add_(1, column, weights)
        ctx.save_for_backward(distance, gradient)
        return torch.where(valid, softplus(over), 0).sum()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        distance, gradient = ctx.saved_tensors
        return only_once(upstream * gradient, distance), None, None, None, None
