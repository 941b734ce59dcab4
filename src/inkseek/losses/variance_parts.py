"""What RDVC is not: parts of its variance on their own, for the study of whether the whole is needed."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from inkseek.errors import InkseekError
from inkseek.losses.term import RelationTerm, Term, one_of
from inkseek.relations import METRICS, Batch, Metric, Relations


class VarianceParts(Term):
    """A part of RDVC in its place: the spread between anchors alone, or of both distances separately.

    Formula:
        a_i, b_i are the mean distances of anchor i to its K_i positives and its L_i negatives, N = sum_i K_i L_i, and
        mean = sum_i K_i L_i (a_i - b_i) / N.
        between: L = (1/(N-1)) sum_i K_i L_i (a_i - b_i - mean)^2, RDVC over all triplets without the spread within each
        anchor's positives and negatives.
        separate: L = Var d(a,p) + Var d(a,n), each unbiased over all pairs of its kind. RDVC constrains the difference,
        and leaves an anchor whose positives and negatives are all farther alone; this does not.

    Arguments:
        part: `between` or `separate`.
        distance: as for RDVC; None takes that of the objective's first relation-based term.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels), with `instances=` for instance level.
        Too few pairs give a differentiable zero.

    Recommendations:
        For comparisons with RDVC; never alone, since a collapsed embedding minimises it.

    Source:
        RDVC, submitted to ICLR 2025, Appendix A.1, which argues against `separate`.
    """

    def __init__(
        self,
        part: Literal["between", "separate"] = "separate",
        distance: Metric | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.part: Literal["between", "separate"] = one_of(self, "part", part, ("between", "separate"))
        self.distance: Metric | None = one_of(self, "distance", distance, (*METRICS, None))
        # In a tuple, because a bare module would become a part of this one, and its state be kept twice.
        self._base: tuple[RelationTerm, ...] = ()

    def bind(self, base: RelationTerm | None) -> VarianceParts:
        """The same constraint on the relations that `base` reads; what was given here stays."""
        bound = VarianceParts(self.part, self.distance, name=self.name)
        bound._base = self._base if base is None else (base,)
        return bound

    def require_whole(self) -> None:
        """Raise an InkseekError without a distance."""
        if self._metric is None:
            raise InkseekError(f"{self.name}: no distance; add it to a term that has one, or give distance=")

    def forward(self, batch: Batch) -> Tensor:
        """The part on a batch."""
        self.require_whole()
        metric = self._metric
        assert metric is not None, "require_whole has seen to it"
        relations = self._base[0].relations(batch, metric) if self._base else batch.relations(metric)
        if self.part == "separate":
            return _variance(relations.distance, relations.positive) + _variance(relations.distance, relations.negative)
        return _between(relations)

    @property
    def _metric(self) -> Metric | None:
        return self.distance or next((base.distance for base in self._base), None)

    def extra_repr(self) -> str:
        """The part and the distance in force."""
        return f"{self.part!r}, distance={self._metric!r}"


def _between(relations: Relations) -> Tensor:
    distance = relations.distance
    positive, negative = relations.positive.to(distance.dtype), relations.negative.to(distance.dtype)
    positives, negatives = positive.sum(1), negative.sum(1)
    difference = (distance * positive).sum(1) / positives.clamp(min=1)
    difference = difference - (distance * negative).sum(1) / negatives.clamp(min=1)
    weight = positives * negatives
    count = weight.sum()
    mean = (weight * difference).sum() / count.clamp(min=1)
    return (weight * (difference - mean).square()).sum() / (count - 1).clamp(min=1)


def _variance(distance: Tensor, where: Tensor) -> Tensor:
    """The unbiased variance of the marked distances."""
    mask = where.to(distance.dtype)
    count = mask.sum()
    mean = (distance * mask).sum() / count.clamp(min=1)
    return (mask * (distance - mean).square()).sum() / (count - 1).clamp(min=1)
