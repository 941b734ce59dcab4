"""Lifted structure loss: a positive pair against all negatives of both its ends."""

from __future__ import annotations

import torch
from torch import Tensor

from inkseek.losses.log_sum import masked_logsumexp
from inkseek.losses.term import RelationTerm, number
from inkseek.relations import Batch, Level, Metric


class LiftedStructure(RelationTerm):
    """Squared hinge of each positive pair's distance over the soft nearest negative of both its ends.

    Formula:
        J_ap = d(a,p) + log( sum_(n of a) exp(m - d(a,n)) + sum_(n of p) exp(m - d(n,p)) );
        L = 1/(2M) sum_(a,p) [J_ap]_+^2 over all M positive pairs. In two domains the negatives of a photo are sketches.

    Arguments:
        margin: m.
        distance: `euclidean`, `sqeuclidean` or `cosine` on unit embeddings, or `dot` on raw ones.
        level: `category`, `instance`, or None for the finest that the batch knows.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels), with `instances=` for instance level.
        A pair without a negative on either end adds nothing; no pair gives a differentiable zero.

    Recommendations:
        A batch of classes x items.

    Source:
        Oh Song et al., Deep Metric Learning via Lifted Structured Feature Embedding, CVPR 2016.
    """

    def __init__(
        self,
        margin: float = 1.0,
        distance: Metric = "euclidean",
        *,
        level: Level | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(distance, level, name)
        self.margin = number(self, "margin", margin)

    def forward(self, batch: Batch) -> Tensor:
        """The loss on a batch."""
        relations = self.relations(batch)
        nearness = self.margin - relations.distance
        of_anchors = masked_logsumexp(nearness, relations.negative)
        of_positives = masked_logsumexp(nearness.T, relations.negative.T).T
        hinges = torch.relu(relations.distance + torch.logaddexp(of_anchors, of_positives))
        each = torch.where(relations.positive, hinges.square(), 0)
        return each.sum() / (2 * relations.positives.sum().clamp(min=1))

    def extra_repr(self) -> str:
        """Margin and distance."""
        return f"margin={self.margin}, distance={self.distance!r}"
