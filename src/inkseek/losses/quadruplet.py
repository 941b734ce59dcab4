"""Relation-aware quadruplet loss: a strong push from one domain's negative, a weak one from the other's."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from inkseek.errors import InkseekError
from inkseek.losses.draws import Draws
from inkseek.losses.margin import Margin, MarginTerm
from inkseek.losses.quadruplet_mining import Mining, Quadruplets, mine
from inkseek.losses.term import number, one_of
from inkseek.relations import Batch, Level, Metric, Relations


class Quadruplet(MarginTerm):
    """Hinge or soft-plus over quadruplets: a positive of the other domain, and one negative from each domain.

    Formula:
        Delta = d(a,p) - (1 - lambda) d(a,n1) - lambda d(a,n2); L = mean [Delta + m_a]_+ over the quadruplets, zeros
        included, or mean (1/beta) log(1 + exp(beta (Delta + m_a))) for `softplus`. p is of the other domain than a; n1
        of the other and n2 of the anchor's for `strong_negative: cross`, the reverse for `intra`; a, n1, n2 are of
        three classes. lambda = 0 is the triplet loss.

    Arguments:
        margin: m_a, as for the triplet loss; a module is called with the batch of both domains, whose anchors are all
            its items, sketches first.
        distance: `euclidean` (in [0, 2]), `sqeuclidean` or `cosine` on unit embeddings, or `dot` on raw ones.
        weak: lambda, the weight of n2, in [0, 1]; below 0.5 the strong push is the stronger one.
        strong_negative: which domain n1 is of, `cross` or `intra`.
        symmetric: photos are anchors too, their positives and strong negatives sketches.
        mining: `random` draws n1 and n2 evenly for each pair (a, p); `semi_hard` takes the nearest that are farther
            than p, or else the farthest; `batch_hard` takes each anchor's farthest p and nearest n1 and n2.
        smooth: `hinge`, or `softplus`, whose gradient sees the margin also where a hinge is a step.
        sharpness: beta of the soft-plus.
        seed: of the draws, which are a function of it and the step, the same on every process.
        level: `category`, `instance`, or None for the finest that the batch knows; the three classes are of this level.
        name: the term's name in the log.

    Inputs:
        (sketches, sketch_labels, photos, photo_labels), or (embeddings, labels, domains=) with 0 for sketches and 1 for
        photos. No quadruplet in the batch gives a differentiable zero; a pair whose n1 leaves no third class for n2 is
        skipped.

    Recommendations:
        At least three classes of both domains a batch, 16 x (4 + 4) say; margins in (0, 1] on `euclidean`.

    Source:
        Liu et al., Relation-aware meta-learning for zero-shot sketch-based image retrieval, arXiv 2412.00120; the
        hinge, lambda = 0.3 and `cross` are choices made here.
    """

    def __init__(
        self,
        margin: Margin = 0.3,
        distance: Metric = "euclidean",
        *,
        weak: float = 0.3,
        strong_negative: Literal["cross", "intra"] = "cross",
        symmetric: bool = True,
        mining: Mining = "random",
        smooth: Literal["hinge", "softplus"] = "hinge",
        sharpness: float = 10.0,
        seed: int = 0,
        level: Level | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(margin, distance, level, name)
        self.weak = number(self, "weak", weak)
        if not 0 <= self.weak <= 1:
            raise InkseekError(f"{self.name}: weak must be from 0 to 1, not {weak!r}")
        self.strong_negative = one_of(self, "strong_negative", strong_negative, ("cross", "intra"))
        self.symmetric = bool(one_of(self, "symmetric", symmetric, (True, False)))
        self.mining: Mining = one_of(self, "mining", mining, ("random", "semi_hard", "batch_hard"))
        self.smooth = one_of(self, "smooth", smooth, ("hinge", "softplus"))
        self.sharpness = number(self, "sharpness", sharpness, above=0)
        self.draws = Draws(seed)

    def forward(self, batch: Batch) -> Tensor:
        """The loss on a batch."""
        self.draws.advance()
        quadruplets, excess = self._excess(batch)
        each = torch.relu(excess) if self.smooth == "hinge" else softplus(excess, self.sharpness)
        return torch.where(quadruplets.valid, each, 0).sum() / quadruplets.valid.sum().clamp(min=1)

    def active(self, batch: Batch) -> Tensor:
        """Share of the last forward pass's quadruplets with Delta > -m, a detached 0-d tensor."""
        quadruplets, excess = self._excess(batch)
        return ((excess.detach() > 0) & quadruplets.valid).sum() / quadruplets.valid.sum().clamp(min=1)

    def push(self, batch: Batch) -> Tensor:
        """Mean of dl/dDelta over the last forward pass's quadruplets, how hard they push, 0-d; see `active` for hinges.

        Of the soft-plus it is sigmoid(beta (Delta + m)), and differentiable.
        """
        quadruplets, excess = self._excess(batch)
        each = (excess > 0).to(excess) if self.smooth == "hinge" else torch.sigmoid(self.sharpness * excess)
        return torch.where(quadruplets.valid, each, 0).sum() / quadruplets.valid.sum().clamp(min=1)

    def learned_margins(self, batch: Batch) -> Tensor | None:
        """As for every term with a margin; the anchors are the items of both domains."""
        return super().learned_margins(batch.union)

    def relations(self, batch: Batch, metric: Metric | None = None) -> Relations:
        """The relations across domains, which is where retrieval happens."""
        relations = super().relations(batch, metric)
        if not batch.one_domain:
            return relations
        cross = _cross(batch.union)
        return Relations(relations.distance, relations.positive & cross, relations.negative & cross)

    def quadruplets(self, batch: Batch) -> Quadruplets:
        """Those of the last forward pass, as places in `batch.union`."""
        both = batch.union
        relations, cross = both.relations(self.distance, self.level), _cross(both)
        strong, weak = (cross, ~cross) if self.strong_negative == "cross" else (~cross, cross)
        pairs = relations.positive & cross
        if not self.symmetric:
            pairs = pairs & (_domains(both) == 0)[:, None]
        return mine(
            relations.distance.detach(),
            pairs,
            relations.negative & strong,
            relations.negative & weak,
            both.identities(self.level)[0],
            mining=self.mining,
            generator=self.draws.generator(pairs.device),
        )

    def _excess(self, batch: Batch) -> tuple[Quadruplets, Tensor]:
        """The quadruplets, and Delta + m of each."""
        both, quadruplets = batch.union, self.quadruplets(batch)
        distance = both.relations(self.distance, self.level).distance
        push = (1 - self.weak) * distance.gather(1, quadruplets.strong)
        push = push + self.weak * distance.gather(1, quadruplets.weak)
        return quadruplets, distance - push + self.margins(both, distance)

    def extra_repr(self) -> str:
        """Margin, distance and lambda, and the mining."""
        return f"{super().extra_repr()}, weak={self.weak:g}, mining={self.mining!r}"


def _domains(both: Batch) -> Tensor:
    assert both.domains is not None, "a union knows its items' domains"
    return both.domains[0]


def _cross(both: Batch) -> Tensor:
    domains = _domains(both)
    return domains[:, None] != domains
