"""Relative-distance divergence: how far sketches keep from wrong photos should spread alike in every category."""

from __future__ import annotations

import torch
from torch import Tensor

from inkseek.losses.log_sum import masked_logsumexp
from inkseek.losses.term import Term, number, one_of
from inkseek.losses.tuples import hardest
from inkseek.relations import LEVELS, METRICS, Batch, Level, Metric, Relations


class RelativeDistanceDivergence(Term):
    """KL divergence between categories of the relative distances D = d(a,p) - d(a,n) of their anchors.

    Formula:
        L = (1/(C (C-1))) sum_(i != j) KL(P_i || P_j) over the batch's C categories of two anchors or more, P_i the
        softmax of D / tau over the anchors of category i, each with its farthest positive and its nearest negative.
        Outcomes are matched by rank, the k-th smallest D of one category with the k-th smallest of the other; of
        unequal numbers each anchor of category i holds the k-th of N_i equal stretches of [0, 1], and KL is between
        the densities N_i P_i there, which for equal numbers is the same.

    Arguments:
        distance: `cosine`, `sqeuclidean` or `euclidean` on unit embeddings, or `dot` on raw ones.
        temperature: tau.
        level: `category`: positives share the anchor's label, negatives do not; `instance`: a positive is of the
            anchor's instance, a negative of another one and of the anchor's category; None takes the finest that the
            batch knows.
        name: the term's name in the log.

    Inputs:
        (sketches, sketch_labels, photos, photo_labels) or (embeddings, labels), with `instances=` for instance level;
        labels are the categories at both levels. Fewer than two categories of two anchors that have a positive and a
        negative give a differentiable zero.

    Recommendations:
        Never alone: a collapsed embedding minimises it. Beside a triplet loss at instance level, several pairs a
        category in the batch, 16 categories x 4 pairs say. A softmax does not see what is added to every D of a
        category: this term evens out how D spreads, where RDVC makes it small, and neither moves its mean. On unit
        embeddings D is small beside tau = 1, and so is the loss; `Ratio(0.5) * RelativeDistanceDivergence()` finds a
        weight.

    Source:
        After Sain et al., CLIP for All Things Zero-Shot Sketch-Based Image Retrieval, Fine-Grained or Not, CVPR 2023,
        whose divergences between softmaxes of relative distances it takes. Which triplets, the matching by rank, which
        unlike one by place in the batch has a meaning, and unequal numbers are choices made here.
    """

    def __init__(
        self,
        distance: Metric = "cosine",
        *,
        temperature: float = 1.0,
        level: Level | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.distance: Metric = one_of(self, "distance", distance, METRICS)
        self.temperature = number(self, "temperature", temperature, above=0)
        self.level: Level | None = one_of(self, "level", level, (*LEVELS, None))

    def forward(self, batch: Batch) -> Tensor:
        """The mean divergence on a batch."""
        relations = self._relations(batch)
        if not relations.distance.numel():
            return relations.distance.sum()
        chosen, labels = hardest(relations), batch.anchor_labels
        relative = chosen.differences(relations.distance) / self.temperature  # [anchors, 1]
        alike = (labels[:, None] == labels) & chosen.valid & chosen.valid.T
        alike &= alike.sum(1, keepdim=True) > 1  # one D does not spread
        count = alike.sum(1, keepdim=True)
        there, count = count > 0, count.clamp(min=1).to(relative.dtype)
        density = count.log() + relative - masked_logsumexp(relative.T.expand(alike.shape), alike)
        density = torch.where(there, density, 0)  # in the log
        shared = torch.where(there & there.T & ~alike, _overlap(relative.detach(), alike), 0)
        divergence = density.exp() * (shared.sum(1, keepdim=True) * density - shared @ density)
        categories = torch.where(there, 1 / count, 0).sum().round()
        return divergence.sum() / (categories * (categories - 1)).clamp(min=1)

    def _relations(self, batch: Batch) -> Relations:
        """The batch's relations, at instance level without negatives of another category."""
        relations = batch.relations(self.distance, self.level)
        if (self.level or batch.finest) == "category":
            return relations
        of_category = batch.anchor_labels[:, None] == batch.candidate_labels
        return Relations(relations.distance, relations.positive, relations.negative & of_category)

    def extra_repr(self) -> str:
        """The distance, and what else is not as by default."""
        temperature = "" if self.temperature == 1 else f", temperature={self.temperature:g}"
        level = f", level={self.level!r}" if self.level else ""
        return f"distance={self.distance!r}{temperature}{level}"


def _overlap(values: Tensor, alike: Tensor) -> Tensor:
    """How much of [0, 1] every two anchors share when each category lays its own there side by side, by value.

    Args:
        values: [anchors, 1].
        alike: bool [anchors, anchors], who is of one category.
    """
    place = torch.arange(len(values), device=values.device)
    before = (values > values.T) | ((values == values.T) & (place[:, None] > place))
    rank, count = (before & alike).sum(1, keepdim=True).double(), alike.sum(1, keepdim=True).clamp(min=1)
    begin, end = rank / count, (rank + 1) / count
    return (torch.minimum(end, end.T) - torch.maximum(begin, begin.T)).clamp(min=0).to(values.dtype)
