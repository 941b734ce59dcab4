"""What a training log says about the relations an objective works on."""

from __future__ import annotations

from torch import Tensor

from inkseek.losses.objective import Objective
from inkseek.losses.term import RelationTerm, Term
from inkseek.relations import Batch, relative_distance_moments


def diagnose(term: Term, batch: Batch) -> dict[str, Tensor]:
    """Figures of every relation-based term, from the relations that the batch has already computed.

    Costs about a forward pass of the terms, without a host synchronisation of its own: for logging steps only.

    Args:
        term: an objective, or one term.
        batch: the batch it was called with.

    Returns:
        Detached 0-d tensors by name, with the term's name in front: `triplet.active` is the share of tuples that still
        push (where the loss knows one), `triplet.mean` and `triplet.variance` are those of the relative distance
        D = d(a,p) - d(a,n) over all triplets. Empty when no term is relation-based.
    """
    figures: dict[str, Tensor] = {}
    for part in term.parts.values() if isinstance(term, Objective) else (term,):
        if isinstance(part, RelationTerm):
            active = part.active(batch)
            mean, variance = relative_distance_moments(part.relations(batch))
            known = {} if active is None else {"active": active}
            figures |= {
                f"{part.name}.{key}": value for key, value in {**known, "mean": mean, "variance": variance}.items()
            }
    return figures
