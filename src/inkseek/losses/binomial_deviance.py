"""Binomial deviance loss: every pair classified as same or different by its cosine."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from inkseek.losses.term import RelationTerm, number
from inkseek.relations import Batch, Level


class BinomialDeviance(RelationTerm):
    """Logistic loss of each pair's cosine, positives and negatives averaged apart.

    Formula:
        L = mean_(a,p) log(1 + exp(-alpha (s_ap - beta))) + C mean_(a,n) log(1 + exp(alpha (s_an - beta))), s = cosine.

    Arguments:
        alpha: the sigmoid's sharpness.
        beta: the cosine at which a pair is undecided.
        cost: C, what negatives weigh beside positives.
        level: `category`, `instance`, or None for the finest that the batch knows.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels), with `instances=` for instance level.
        A side without pairs adds a differentiable zero.

    Recommendations:
        A batch of classes x items; the cost of 25 is for batches in which negatives are many more than positives.

    Source:
        Yi et al., Deep Metric Learning for Person Re-Identification, ICPR 2014.
    """

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 0.5,
        cost: float = 25.0,
        *,
        level: Level | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__("cosine", level, name)
        self.alpha = number(self, "alpha", alpha, above=0)
        self.beta = number(self, "beta", beta)
        self.cost = number(self, "cost", cost)

    def forward(self, batch: Batch) -> Tensor:
        """The loss on a batch."""
        relations = self.relations(batch)
        above = self.alpha * (1 - self.beta - relations.distance)
        pull = torch.where(relations.positive, softplus(-above), 0).sum() / relations.positives.sum().clamp(min=1)
        push = torch.where(relations.negative, softplus(above), 0).sum() / relations.negatives.sum().clamp(min=1)
        return pull + self.cost * push

    def extra_repr(self) -> str:
        """Its three constants."""
        return f"alpha={self.alpha:g}, beta={self.beta:g}, cost={self.cost:g}"
