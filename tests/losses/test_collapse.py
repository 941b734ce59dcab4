"""The collapse detector: what it recognises on real embeddings, and that it speaks once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from inkseek.losses import RDVC, Batch, CollapseDetector, Objective, SemiHardTriplet, Term, Triplet, diagnose
from inkseek.losses.collapse import PATIENCE


def look(detector: CollapseDetector, objective: Term, embeddings: Tensor, labels: Tensor) -> list[str]:
    batch = Batch(embeddings, labels)
    value = objective(batch)
    terms = objective.terms if isinstance(objective, Objective) else {objective.name: value.detach()}
    return detector.look({name: float(number) for name, number in {**terms, **diagnose(objective, batch)}.items()})


def normal(rows: int = 24, dim: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed))


LABELS = torch.arange(24) % 4
SEPARATED = torch.eye(4)[LABELS]


def test_healthy_embeddings_are_left_alone() -> None:
    objective = Triplet(1.0) + 0.5 * RDVC()
    detector = CollapseDetector(objective)
    assert all(not look(detector, objective, normal(seed=seed), LABELS) for seed in range(10))


def test_a_collapsed_embedding_is_named_once_and_after_a_while() -> None:
    objective = Triplet(1.0) + 0.5 * RDVC()
    detector = CollapseDetector(objective)
    said = [look(detector, objective, torch.ones(24, 8) + 1e-3 * normal(seed=seed), LABELS) for seed in range(8)]
    assert [bool(advice) for advice in said] == [i == PATIENCE - 1 for i in range(8)]
    first, second = said[PATIENCE - 1]
    assert first.startswith("the embedding has collapsed (mean cosine of the batch 1.0000): lower the learning rate")
    assert second.startswith("triplet is stuck at its margin (1.00")
    assert not any("\n" in advice for advice in (first, second))


def test_one_good_look_starts_the_count_again() -> None:
    objective = Triplet(1.0)
    detector = CollapseDetector(objective)
    for _ in range(PATIENCE - 1):
        assert not look(detector, objective, torch.ones(24, 8), LABELS)
    assert not look(detector, objective, normal(), LABELS)
    for _ in range(PATIENCE - 1):
        assert not look(detector, objective, torch.ones(24, 8), LABELS)
    assert look(detector, objective, torch.ones(24, 8), LABELS)


def test_stuck_at_the_margin_without_collapse() -> None:
    """Orthogonal embeddings: no distance differs, though nothing has collapsed."""
    objective = Triplet(0.5)
    detector = CollapseDetector(objective)
    said = [look(detector, objective, torch.eye(24), LABELS) for _ in range(PATIENCE)]
    assert [advice.split(" with")[0] for advice in said[-1]] == ["triplet is stuck at its margin (0.5000 of 0.5)"]


@pytest.mark.parametrize("term", [Triplet(0.2), SemiHardTriplet(0.2)])
def test_nothing_left_to_learn(term: Term) -> None:
    detector = CollapseDetector(term)
    said = [look(detector, term, SEPARATED, LABELS) for _ in range(PATIENCE + 2)]
    assert said[-1] == []
    assert said[PATIENCE - 1][0].startswith(f"{term.name} has hardly an active tuple left (0.00%): raise the margin")


def test_a_learned_margin_is_not_held_against_a_number() -> None:
    objective = Triplet(torch.nn.Parameter(torch.tensor(1.0)))
    detector = CollapseDetector(objective)
    assert all(not look(detector, objective, torch.eye(24), LABELS) for _ in range(PATIENCE + 1))
