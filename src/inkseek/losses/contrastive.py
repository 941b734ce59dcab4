"""Contrastive loss: positives together, negatives at least a margin away."""

from __future__ import annotations

import torch
from torch import Tensor

from inkseek.losses.term import RelationTerm, number
from inkseek.relations import Batch, Level, Metric, Relations


class Contrastive(RelationTerm):
    """Distances of positive pairs, and hinges on those of negative pairs, each averaged over all its pairs.

    Formula:
        L = mean_(a,p) [d(a,p) - m_p]_+ + mean_(a,n) [m - d(a,n)]_+, zeros included.

    Arguments:
        margin: m, how far negatives should be.
        distance: `euclidean`, `sqeuclidean` or `cosine` on unit embeddings, or `dot` on raw ones.
        positive_margin: m_p, how far positives may be.
        level: `category`, `instance`, or None for the finest that the batch knows.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels), with `instances=` for instance level.
        A side without pairs adds a differentiable zero.

    Recommendations:
        A batch of classes x items. Hadsell et al. square both parts: there `sqeuclidean` does the same for positives.

    Source:
        Hadsell et al., Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006, unsquared as in
        pytorch-metric-learning.
    """

    def __init__(
        self,
        margin: float = 1.0,
        distance: Metric = "euclidean",
        *,
        positive_margin: float = 0.0,
        level: Level | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(distance, level, name)
        self.margin = number(self, "margin", margin)
        self.positive_margin = number(self, "positive_margin", positive_margin)

    def forward(self, batch: Batch) -> Tensor:
        """The loss on a batch."""
        relations = self.relations(batch)
        pull = torch.where(relations.positive, torch.relu(relations.distance - self.positive_margin), 0)
        push = torch.where(relations.negative, torch.relu(self.margin - relations.distance), 0)
        pulled, pushed = relations.positives.sum().clamp(min=1), relations.negatives.sum().clamp(min=1)
        return pull.sum() / pulled + push.sum() / pushed

    def mined(self, batch: Batch) -> Relations:
        """The pairs that still pull or push, as triplets of their anchor."""
        relations = self.relations(batch)
        distance = relations.distance.detach()
        return Relations(
            relations.distance,
            relations.positive & (distance > self.positive_margin),
            relations.negative & (distance < self.margin),
        )

    def active(self, batch: Batch) -> Tensor:
        """Share of the negative pairs within the margin, a detached 0-d tensor: positives hardly ever stop pulling."""
        return self.mined(batch).negatives.sum() / self.relations(batch).negatives.sum().clamp(min=1)

    def extra_repr(self) -> str:
        """Margins and distance."""
        positive = f", positive_margin={self.positive_margin}" if self.positive_margin else ""
        return f"margin={self.margin}, distance={self.distance!r}{positive}"
