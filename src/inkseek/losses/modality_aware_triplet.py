"""Modality-aware triplet loss: the hardest triplets across domains, within each, and across both at once."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from inkseek.errors import InkseekError
from inkseek.losses.margin import Margin, MarginTerm
from inkseek.losses.term import number, one_of
from inkseek.losses.tuples import Chosen, hardest
from inkseek.relations import Batch, Level, Metric, Relations

PARTS = ("cross", "within", "hybrid")

FLOOR = 0.1
"""The least mean gradient that is balanced: a part that hardly pulls any more is not made louder without end."""


class ModalityAwareTriplet(MarginTerm):
    """Three batch-hard triplet losses that differ in the domains of positive and negative, and pull alike.

    Formula:
        L = sum_k v_k w_k L_k, L_k = mean_a (1/beta) log(1 + exp(beta (m_a + max_p d(a,p) - min_n d(a,n)))), or the mean
        of [.]_+ for `hinge`, over all items a, sketches and photos, that have such p and n. `cross`: p and n of the
        other domain than a; `within`: p and n of a's; `hybrid`: p of the other and n of a's, where the gap between the
        domains makes p farthest and n nearest. v_k is the number given; with g_k = mean_a dL_k/dD, the sigmoid of
        beta (m + D) or the share of active hinges, w_k = mean_j(g_j) / max(g_k, 0.1), without gradient.

    Arguments:
        margin: m_a, as for the triplet loss; a module is called with the batch of both domains, whose anchors are all
            its items, sketches first.
        distance: `euclidean` (in [0, 2]), `sqeuclidean` or `cosine` on unit embeddings, or `dot` on raw ones.
        cross: weight of the triplets across domains; 0 leaves them out, as it does the others.
        within: weight of the triplets within a domain.
        hybrid: weight of the triplets with a positive of the other domain and a negative of the anchor's.
        balance: whether the w_k balance the parts; otherwise they are 1.
        smooth: `softplus` or `hinge`.
        sharpness: beta of the soft-plus.
        level: `category`, `instance`, or None for the finest that the batch knows.
        name: the term's name in the log.

    Inputs:
        (sketches, sketch_labels, photos, photo_labels), or (embeddings, labels, domains=) with 0 for sketches and 1 for
        photos. A part without a triplet adds a differentiable zero, and does not count in the balance.

    Recommendations:
        16 classes x (4 + 4), and `Classification` beside it, as in the paper. Where a sketch has one photo, and so no
        other item of its instance and domain, `within` has nothing to say at instance level.

    Source:
        Huang et al., Modality-Aware Triplet Hard Mining for Zero-shot Sketch-Based Image Retrieval, arXiv 2112.07966:
        three kinds of pairs, a weighting that adapts, classification beside it; by its public code, which p and n each
        kind has, the soft-plus with beta = 20 and the balance. The margin, the v_k and no gradient through the w_k are
        choices made here.
    """

    def __init__(
        self,
        margin: Margin = 0.3,
        distance: Metric = "euclidean",
        *,
        cross: float = 1.0,
        within: float = 1.0,
        hybrid: float = 1.0,
        balance: bool = True,
        smooth: Literal["softplus", "hinge"] = "softplus",
        sharpness: float = 20.0,
        level: Level | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(margin, distance, level, name)
        given = zip(PARTS, (cross, within, hybrid), strict=True)
        self.weights = {part: number(self, part, weight) for part, weight in given if weight != 0}
        for part, weight in self.weights.items():
            if weight < 0:
                raise InkseekError(f"{self.name}: {part} must not be below 0, as {weight:g} is")
        if not self.weights:
            raise InkseekError(f"{self.name}: cross, within and hybrid are all 0, which leaves nothing to minimise")
        self.balance = bool(one_of(self, "balance", balance, (True, False)))
        self.smooth = one_of(self, "smooth", smooth, ("softplus", "hinge"))
        self.sharpness = number(self, "sharpness", sharpness, above=0)

    def forward(self, batch: Batch) -> Tensor:
        """The loss on a batch."""
        valid, excess = self._excess(batch)
        each = torch.relu(excess) if self.smooth == "hinge" else softplus(excess, self.sharpness)
        values = torch.where(valid, each, 0).sum(0) / valid.sum(0).clamp(min=1)
        if self.balance:
            values = values * self._balance(valid, excess.detach())
        total = values.new_zeros(())
        for weight, value in zip(self.weights.values(), values.unbind(), strict=True):
            total = total + weight * value
        return total

    def active(self, batch: Batch) -> Tensor:
        """Share of the triplets with D > -m, a detached 0-d tensor."""
        valid, excess = self._excess(batch)
        return ((excess.detach() > 0) & valid).sum() / valid.sum().clamp(min=1)

    def relations(self, batch: Batch, metric: Metric | None = None) -> Relations:
        """The relations of all items, sketches and photos as one batch."""
        return super().relations(batch.union, metric)

    def mined(self, batch: Batch) -> Chosen:
        """The hardest triplets of each part, side by side: [items, parts]."""
        domains = batch.union.domains
        assert domains is not None, "a union knows its items' domains"
        cross = domains[0][:, None] != domains[0]
        kinds = {"cross": (cross, cross), "within": (~cross, ~cross), "hybrid": (cross, ~cross)}
        relations = self.relations(batch)
        parts = [
            hardest(Relations(relations.distance, relations.positive & near, relations.negative & far))
            for near, far in (kinds[part] for part in self.weights)
        ]
        return Chosen(
            torch.cat([part.positive for part in parts], 1),
            torch.cat([part.negative for part in parts], 1),
            torch.cat([part.valid for part in parts], 1),
        )

    def _excess(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Which triplets there are, and D + m of each; both [items, parts]."""
        mined, distance = self.mined(batch), self.relations(batch).distance
        return mined.valid, mined.differences(distance) + self.margins(batch.union, distance)

    def _balance(self, valid: Tensor, excess: Tensor) -> Tensor:
        """The w_k, [parts]: each part's mean gradient by D is brought to the mean of all parts."""
        slope = (excess > 0).to(excess.dtype) if self.smooth == "hinge" else torch.sigmoid(self.sharpness * excess)
        count = valid.sum(0)
        pull = torch.where(valid, slope, 0).sum(0) / count.clamp(min=1)
        return pull.sum() / (count > 0).sum().clamp(min=1) / pull.clamp(min=FLOOR)

    def extra_repr(self) -> str:
        """Margin and distance, the parts, and what else is not as by default."""
        parts = "".join(f", {part}={self.weights.get(part, 0):g}" for part in PARTS if self.weights.get(part) != 1)
        balance = "" if self.balance else ", balance=False"
        smooth = "" if self.smooth == "softplus" else f", smooth={self.smooth!r}"
        return f"{super().extra_repr()}{parts}{balance}{smooth}"
