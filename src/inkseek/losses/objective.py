"""The objective: a weighted sum of terms over one shared batch."""

from __future__ import annotations

from torch import Tensor, nn

from inkseek.errors import InkseekError
from inkseek.losses.term import RelationTerm, Term, number
from inkseek.relations import Batch


class Objective(Term):
    """A weighted sum of terms, itself a term.

    Formula:
        L = sum_i w_i L_i; for example L = L_base + lambda_1 L_RDVC + eta L_SEC (RDVC paper, Eq. 10).

    Arguments:
        parts: pairs (weight, term). An objective among them is taken apart into its own terms. `+` and `*` on terms say
            the same thing.

    Inputs:
        As for every term; the batch is built once, and each of its relations is computed once for all terms.

    Recommendations:
        Two terms of one class need a `name=` each. Read `terms` only when logging: a number waits for the device.

    Source:
        RDVC, submitted to ICLR 2025, Eq. 10.

    Attributes:
        terms: the last batch's value of each term by name, unweighted, detached 0-d tensors; empty before the first.
        weights: each term's weight by name.

    Raises:
        InkseekError: when two terms have one name, or a weight is not a finite number.

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

    def __init__(self, *parts: tuple[float, Term]) -> None:
        super().__init__()
        self.weights: dict[str, float] = {}
        self.terms: dict[str, Tensor] = {}
        self.parts = nn.ModuleDict()
        flat = [part for weight, term in parts for part in _flatten(number(term, "weight", weight), term)]
        base = next((term for _, term in flat if isinstance(term, RelationTerm)), None)
        for weight, term in flat:
            if term.name in self.weights:
                raise InkseekError(
                    f"two terms are named {term.name!r}; tell them apart: {type(term).__name__}(..., name='other')"
                )
            self.weights[term.name] = weight
            self.parts[term.name] = term.bind(base)

    def forward(self, batch: Batch) -> Tensor:
        """The weighted sum; each term's own value is left in `terms`."""
        values = {name: term(batch) for name, term in self.parts.items()}
        self.terms = {name: value.detach() for name, value in values.items()}
        total = batch.anchors.new_zeros(())
        for name, value in values.items():
            total = total + self.weights[name] * value
        return total

    def __repr__(self) -> str:
        return " + ".join(
            f"{term!r}" if self.weights[name] == 1 else f"{self.weights[name]:g} * {term!r}"
            for name, term in self.parts.items()
        )


def _flatten(weight: float, term: Term) -> list[tuple[float, Term]]:
    if not isinstance(term, Objective):
        return [(weight, term)]
    parts: list[tuple[float, Term]] = []
    for name, part in term.parts.items():
        assert isinstance(part, Term)
        parts.append((weight * term.weights[name], part))
    return parts
