"""The objective: a weighted sum of terms over one shared batch."""

from __future__ import annotations

from torch import Tensor, nn

from inkseek.errors import InkseekError
from inkseek.losses.calibration import Calibration, Ratio
from inkseek.losses.term import RelationTerm, Term, number
from inkseek.relations import Batch


class Objective(Term):
    """A weighted sum of terms, itself a term.

    Formula:
        L = sum_i w_i L_i; for example L = L_base + lambda_1 L_RDVC + eta L_SEC (RDVC paper, Eq. 10).

    Arguments:
        parts: pairs (weight, term). An objective among them is taken apart into its own terms. `+` and `*` on terms say
            the same thing. A weight is a number, or a `Ratio` that the first training steps turn into one.

    Inputs:
        As for every term; the batch is built once, and each of its relations is computed once for all terms.

    Recommendations:
        Two terms of one class need a `name=` each. Read `terms` only when logging: a number waits for the device.

    Source:
        RDVC, submitted to ICLR 2025, Eq. 10.

    Attributes:
        terms: the last batch's value of each term by name, unweighted, detached 0-d tensors; empty before the first.

    Raises:
        InkseekError: when two terms have one name, a weight is not a finite number, or one is a ratio and there is no
            relation-based term to hold it against.

    Example:
        >>> import torch
        >>> from inkseek.losses import RDVC, SEC, Triplet
        >>> objective = Triplet(margin=1.0) + 0.5 * RDVC() + 1.0 * SEC()
        >>> objective
        Triplet(margin=1.0, distance='sqeuclidean') + 0.5 * RDVC(distance='sqeuclidean') + SEC(rho=1.0)
        >>> generator = torch.Generator().manual_seed(0)
        >>> embeddings = torch.randn(6, 4, generator=generator, requires_grad=True)
        >>> loss = objective(embeddings, torch.tensor([0, 0, 0, 1, 1, 1]))
        >>> loss.backward()
        >>> sorted(objective.terms)
        ['rdvc', 'sec', 'triplet']
        >>> bool(torch.isclose(loss, sum(objective.weights[name] * value for name, value in objective.terms.items())))
        True
    """

    def __init__(self, *parts: tuple[float | Ratio, Term]) -> None:
        super().__init__()
        self.terms: dict[str, Tensor] = {}
        self.parts = nn.ModuleDict()
        self.calibrations = nn.ModuleDict()
        self._weights: dict[str, float | Ratio] = {}
        flat = [part for weight, term in parts for part in _flatten(weight, term)]
        base = next((term for _, term in flat if isinstance(term, RelationTerm)), None)
        self._base = None if base is None else base.name
        for weight, term in flat:
            if term.name in self._weights:
                raise InkseekError(
                    f"two terms are named {term.name!r}; tell them apart: {type(term).__name__}(..., name='other')"
                )
            self._weights[term.name] = weight
            self.parts[term.name] = term.bind(base)
            if isinstance(weight, Ratio):
                self.calibrations[term.name] = Calibration(weight)

    @property
    def weights(self) -> dict[str, float | Tensor]:
        """Each term's weight by name: a number, or a detached 0-d tensor where it follows a ratio."""
        return {
            name: self._calibration(name).weight if isinstance(weight, Ratio) else weight
            for name, weight in self._weights.items()
        }

    def forward(self, batch: Batch) -> Tensor:
        """The weighted sum; each term's own value is left in `terms`."""
        values = {name: term(batch) for name, term in self.parts.items()}
        self.terms = {name: value.detach() for name, value in values.items()}
        for name in self.calibrations:
            if self._base is None or self._base == name:
                raise InkseekError(f"{name}: a ratio is held against another relation-based term: add one before it")
            self._calibration(name).observe(batch, values[self._base], values[name])
        weights, total = self.weights, batch.anchors.new_zeros(())
        for name, value in values.items():
            total = total + weights[name] * value
        return total

    def require_whole(self) -> None:
        """Raise an InkseekError where a part still lacks its base term."""
        for part in self.parts.values():
            assert isinstance(part, Term)
            part.require_whole()
        if self._base is None or self._base in self.calibrations:
            for name in self.calibrations:
                raise InkseekError(f"{name}: a ratio is held against another relation-based term: add one before it")

    def _calibration(self, name: str) -> Calibration:
        calibration = self.calibrations[name]
        assert isinstance(calibration, Calibration)
        return calibration

    def __repr__(self) -> str:
        return " + ".join(
            f"{term!r}"
            if (weight := self._weights[name]) == 1
            else f"{weight!r} * {term!r}"
            if isinstance(weight, Ratio)
            else f"{weight:g} * {term!r}"
            for name, term in self.parts.items()
        )


def _flatten(weight: float | Ratio, term: Term) -> list[tuple[float | Ratio, Term]]:
    if not isinstance(weight, Ratio):
        weight = number(term, "weight", weight)
    if not isinstance(term, Objective):
        return [(weight, term)]
    parts: list[tuple[float | Ratio, Term]] = []
    for name, part in term.parts.items():
        assert isinstance(part, Term)
        own = term._weights[name]
        if isinstance(weight, Ratio) and isinstance(own, Ratio):
            raise InkseekError(f"{name}: its weight is a ratio already, and cannot be weighed by another")
        parts.append((weight * own if isinstance(weight, Ratio) else own * weight, part))
    return parts
