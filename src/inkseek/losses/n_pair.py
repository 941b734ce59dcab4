"""N-pair loss: of an anchor's positive and all its negatives, the positive should win."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from inkseek.losses.log_sum import masked_logsumexp
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
        60 classes x 2 items, as in the papers. The original loss falls with longer embeddings: add `0.0001 * L2()`.

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
        among = masked_logsumexp(-self.scale * relations.distance, relations.negative)
        each = softplus(self.scale * relations.distance.gather(1, column) + among)
        return torch.where(valid, each, 0).sum() / valid.sum().clamp(min=1)

    def extra_repr(self) -> str:
        """Distance and scale, and the anchors where not the default."""
        anchors = "" if self.anchors == "first" else f", anchors={self.anchors!r}"
        return f"distance={self.distance!r}, scale={self.scale:g}{anchors}"
