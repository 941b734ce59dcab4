"""What a training log says about the relations an objective works on."""

from __future__ import annotations

import torch
from torch import Tensor

from inkseek.losses.margin import MarginTerm
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
        Detached 0-d tensors by name. `cosine` is the mean cosine over all pairs of the batch, 1 for a collapsed
        embedding. With the term's name in front, `triplet.active` is the share of tuples that still push (where the
        loss knows one), `triplet.mean` and `triplet.variance` are those of the relative distance D = d(a,p) - d(a,n)
        over all triplets, `quadruplet.margin` is the mean of margins that are learned, beside their `.min` and `.max`,
        and `rdvc.weight` is the weight in force where a ratio decides it.
    """
    figures = {"cosine": mean_cosine(batch)}
    for part in term.parts.values() if isinstance(term, Objective) else (term,):
        if isinstance(part, RelationTerm):
            active = part.active(batch)
            mean, variance = relative_distance_moments(part.relations(batch))
            known = {} if active is None else {"active": active}
            margins = part.learned_margins(batch) if isinstance(part, MarginTerm) else None
            if margins is not None:
                known |= {"margin": margins.mean(), "margin.min": margins.min(), "margin.max": margins.max()}
            figures |= {
                f"{part.name}.{key}": value for key, value in {**known, "mean": mean, "variance": variance}.items()
            }
    weights = term.weights if isinstance(term, Objective) else {}
    return figures | {f"{name}.weight": weight for name, weight in weights.items() if isinstance(weight, Tensor)}


def mean_cosine(batch: Batch) -> Tensor:
    """Mean cosine over all pairs of different items, both domains together, a detached 0-d tensor; 0 without a pair.

    The sum over pairs is |sum u|^2 - sum |u|^2 of the unit embeddings u: no matrix is needed.
    """
    units = torch.cat(batch.units[: 2 - batch.one_domain]).detach()
    pairs = len(units) * (len(units) - 1)
    return (units.sum(0).square().sum() - units.square().sum()) / max(pairs, 1)
