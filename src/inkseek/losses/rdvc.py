"""RDVC: the variance of the relative distance, a regulariser that rides on a base loss."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inkseek import relations as known
from inkseek.compiled import by_rows, compiled
from inkseek.errors import InkseekError
from inkseek.losses.closed_form import only_once
from inkseek.losses.draws import Draws
from inkseek.losses.term import RelationTerm, Term, one_of
from inkseek.losses.tuples import Chosen, Intervals, random_negatives
from inkseek.relations import (
    LEVELS,
    METRICS,
    Batch,
    Floats,
    Level,
    Metric,
    Relations,
    relative_distance_moments,
    row_blocks,
)

Pairs = Literal["all", "mined", "sampled"]


class RDVC(Term):
    """Relative-distance variance constraint: every triplet of the batch should have the same D = d(a,p) - d(a,n).

    Formula:
        D_i = d(a,p) - d(a,n) (RDVC paper, Eq. 5) over N triplets;
        L = (1/(N-1)) sum_i (D_i - mean)^2 (Eq. 6), over all triplets in O(N^2) as `relative_distance_moments` says.
        dL/dD_i = 2 (D_i - mean) / (N-1) (Eq. 8), which sums to zero: the mean of D is never moved.

    Arguments:
        distance: `sqeuclidean`, `euclidean`, `cosine` or `dot`; None takes that of the objective's first relation-based
            term. D on squared Euclidean distance is twice that on cosine, so the loss is four times as large.
        pairs: which triplets: `all` that the base term could meet; `mined`, those that it works on (active, semi-hard,
            mined by similarity); `sampled`, one random negative for each positive pair, as Eq. 5 and 6 are written.
        reduction: `mean` is Eq. 6; `sum` leaves the division by N-1 out.
        level: `category`, `instance`, or None for that of the objective's first relation-based term.
        seed: of the sampled negatives, which are a function of it and the step, the same on every process.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels), with `instances=` for instance level.
        Fewer than two triplets give a differentiable zero.

    Recommendations:
        Never alone: a collapsed embedding minimises it. Weights of 0.25 to 2 with `mean` beside a triplet loss of
        margin 1 (Table 6), smaller ones beside a smaller margin: beside a mean-reduced triplet loss an active triplet
        is pushed back once D < mean - 1 / (2 weight). Where the scale is unknown, `Ratio(0.5) * RDVC()` finds a weight.
        Beside a library's loss, give `distance`. Over all triplets the gradient exists once; a second one raises.

    Source:
        Relative-distance variance constraint, submitted to ICLR 2025, Eq. 5 to 8 and 10.
    """

    def __init__(
        self,
        distance: Metric | None = None,
        *,
        pairs: Pairs = "all",
        reduction: Literal["mean", "sum"] = "mean",
        level: Level | None = None,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.distance: Metric | None = one_of(self, "distance", distance, (*METRICS, None))
        self.pairs: Pairs = one_of(self, "pairs", pairs, ("all", "mined", "sampled"))
        self.reduction: Literal["mean", "sum"] = one_of(self, "reduction", reduction, ("mean", "sum"))
        self.level: Level | None = one_of(self, "level", level, (*LEVELS, None))
        if self.level and self.pairs == "mined":
            raise InkseekError(f"{self.name}: mined triplets are of the base term's level: leave level out")
        self.seed = seed
        if self.pairs == "sampled":
            self.draws = Draws(seed)
        # In a tuple, because a bare module would become a part of this one, and its state be kept twice.
        self._base: tuple[RelationTerm, ...] = ()

    def bind(self, base: RelationTerm | None) -> RDVC:
        """The same constraint on the relations that `base` reads; what was given here stays."""
        bound = RDVC(
            self.distance,
            pairs=self.pairs,
            reduction=self.reduction,
            level=self.level,
            seed=self.seed,
            name=self.name,
        )
        bound._base = self._base if base is None else (base,)
        return bound

    def require_whole(self) -> None:
        """Raise an InkseekError without a distance, or with nothing that mines."""
        if self._metric is None:
            raise InkseekError(
                f"{self.name}: no distance; add it to a term that has one, as in Triplet() + RDVC(), or give distance="
            )
        if self.pairs == "mined" and not any(type(base).mined is not RelationTerm.mined for base in self._base):
            what = f"{self._base[0].name} mines no triplets" if self._base else "there is no term that mines triplets"
            raise InkseekError(f"{self.name}: {what}; take pairs='all' or 'sampled'")

    def relations(self, batch: Batch) -> Relations:
        """The batch's relations at the metric and level given here, or else at the base term's."""
        self.require_whole()
        metric = self._metric
        assert metric is not None, "require_whole has seen to it"
        if self._base and self.level is None:
            return self._base[0].relations(batch, metric)
        return batch.relations(metric, self.level)

    def forward(self, batch: Batch) -> Tensor:
        """The variance on a batch."""
        relations = self.relations(batch)
        tuples = self._tuples(batch, relations)
        if isinstance(tuples, Relations):
            return _variance(tuples, self.reduction)
        squares = tuples.deviation(relations.distance)
        return squares / (tuples.count - 1).clamp(min=1) if self.reduction == "mean" else squares

    def _tuples(self, batch: Batch, relations: Relations) -> Relations | Chosen | Intervals:
        if self.pairs == "sampled":
            self.draws.advance()
            return random_negatives(relations, self.draws.generator(relations.distance.device))
        mined = self._base[0].mined(batch) if self.pairs == "mined" else None
        if isinstance(mined, Relations):  # at the base term's distance, which need not be the one here
            return Relations(relations.distance, mined.positive, mined.negative)
        return relations if mined is None else mined

    @property
    def _metric(self) -> Metric | None:
        return self.distance or next((base.distance for base in self._base), None)

    def extra_repr(self) -> str:
        """The distance in force, and what else is not as by default."""
        options = {
            "distance": self._metric,
            "pairs": self.pairs,
            "reduction": self.reduction,
            "level": self.level,
        }
        default = {"distance": None, "pairs": "all", "reduction": "mean", "level": None}
        return ", ".join(f"{name}={value!r}" for name, value in options.items() if value != default[name])


def _variance(relations: Relations, reduction: Literal["mean", "sum"]) -> Tensor:
    """The variance over all triplets of some relations."""
    mean, variance = relative_distance_moments(relations)
    degrees = (relations.triplets - 1).clamp(min=1)
    if reduction == "sum":
        variance, degrees = variance * degrees, torch.ones_like(degrees)
    dtype = relations.distance.dtype
    value: Tensor = _Variance.apply(
        relations.distance,
        variance,
        *relations.packed,
        relations.negative,
        2 * relations.negatives.to(dtype) / degrees,
        relations.moments.negative_mean + mean,
        2 * relations.positives.to(dtype) / degrees,
        relations.moments.positive_mean - mean,
    )
    return value


class _Variance(torch.autograd.Function):
    """A variance that is already known, with its gradient by distance.

    dL/dd_p = 2 L_i (d_p - (b_i + mean)) / (N-1) and dL/dd_n = 2 K_i (d_n - (a_i - mean)) / (N-1): for each anchor a
    slope and a centre for its positives, and a slope and a centre for its negatives.
    """

    @staticmethod
    def forward(ctx: Any, distance: Tensor, variance: Tensor, *places_slopes_centres: Tensor) -> Tensor:
        ctx.save_for_backward(distance, *places_slopes_centres)
        return variance.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        distance, column, valid, negative, positive_slope, positive_centre, negative_slope, negative_centre = (
            ctx.saved_tensors
        )
        with torch.no_grad():
            gradient = torch.empty_like(distance)
            for rows in row_blocks(distance):
                near, columns = distance[rows], column[rows]
                push = _push(
                    near, negative[rows], negative_centre[rows], upstream * negative_slope[rows], gradient[rows]
                )
                pull = (near.gather(1, columns) - positive_centre[rows]) * (upstream * positive_slope[rows])
                push.scatter_add_(1, columns, torch.where(valid[rows], pull, 0))
        return only_once(gradient, distance), *(None,) * 8


def _push(distance: Tensor, negative: Tensor, centre: Tensor, slope: Tensor, gradient: Tensor) -> Tensor:
    """Make `gradient` slope (d - centre) for negatives, 0 for others, [anchors, candidates]; centres [anchors, 1]."""
    if not known.on_host(distance):
        return torch.sub(distance, centre, out=gradient).mul_(slope).mul_(negative)
    by_rows(_write_push, *(x.numpy() for x in (distance.contiguous(), negative, centre, slope, gradient)))
    return gradient


# In one pass: torch's own operations spend most of their time on memory.
@compiled
def _write_push(
    distance: Floats, negative: npt.NDArray[np.bool_], centre: Floats, slope: Floats, gradient: Floats
) -> None:
    for i in range(len(distance)):
        for c in range(distance.shape[1]):
            gradient[i, c] = (distance[i, c] - centre[i, 0]) * slope[i, 0] * negative[i, c]
