"""A weight given as a ratio of gradient norms: what it comes to, when it stops changing, what it survives."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from inkseek.errors import InkseekError
from inkseek.losses import RDVC, SEC, Batch, Objective, Ratio, Triplet, build_objective, diagnose

LABELS = [0, 0, 0, 1, 1, 2, 2, 2]


def normal(rows: int = 8, dim: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(rows, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def norms(seed: int) -> tuple[float, float]:
    """Gradient norms of the base loss and of RDVC, each on its own."""
    result = []
    for term in (Triplet(), RDVC("sqeuclidean")):
        embeddings = normal(seed=seed)
        torch.autograd.backward(term(embeddings, LABELS))
        assert embeddings.grad is not None
        result.append(embeddings.grad.norm().item())
    return result[0], result[1]


def weight(objective: Objective) -> float:
    return float(objective.weights["rdvc"])


def test_the_weight_is_the_ratio_of_summed_norms_and_then_stays() -> None:
    objective = Triplet() + Ratio(0.5, steps=3) * RDVC()
    assert weight(objective) == 0
    base, term = 0.0, 0.0
    for seed in range(3):
        embeddings = normal(seed=seed)
        loss = objective(embeddings, LABELS)
        base, term = base + norms(seed)[0], term + norms(seed)[1]
        assert weight(objective) == pytest.approx(0.5 * base / term, rel=1e-5)
        expected = objective.terms["triplet"] + weight(objective) * objective.terms["rdvc"]
        assert loss.item() == pytest.approx(expected.item())
        torch.autograd.backward(loss)
    found = weight(objective)
    objective(normal(seed=9), LABELS)
    assert weight(objective) == found
    assert diagnose(objective, Batch(normal(), LABELS))["rdvc.weight"].item() == pytest.approx(found)


def test_the_gradient_is_that_of_the_weight_as_a_constant() -> None:
    ours, theirs = normal(), normal()
    objective = Triplet() + Ratio(0.5) * RDVC()
    torch.autograd.backward(objective(ours, LABELS))
    torch.autograd.backward((Triplet() + weight(objective) * RDVC())(theirs, LABELS))
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_both_domains_count() -> None:
    objective = Triplet() + Ratio(1.0) * RDVC()
    sketches, photos = normal(), normal(seed=1)
    objective(sketches, LABELS, photos, LABELS)
    values = []
    for term in (Triplet(), RDVC("sqeuclidean")):
        gradients = torch.autograd.grad(term(sketches, LABELS, photos, LABELS), (sketches, photos))
        values.append(torch.cat([g.flatten() for g in gradients]).norm().item())
    assert weight(objective) == pytest.approx(values[0] / values[1], rel=1e-5)


def test_only_training_with_gradients_calibrates() -> None:
    objective = Triplet() + Ratio(0.5) * RDVC()
    objective.eval()
    objective(normal(), LABELS)
    objective.train()
    with torch.no_grad():
        objective(normal(), LABELS)
    objective(normal().detach(), LABELS)
    assert weight(objective) == 0


def test_the_state_survives_a_checkpoint(tmp_path: Any) -> None:
    objective = Triplet() + Ratio(0.5, steps=2) * RDVC()
    objective(normal(), LABELS)
    torch.save(objective.state_dict(), tmp_path / "objective.pt")
    resumed = Triplet() + Ratio(0.5, steps=2) * RDVC()
    resumed.load_state_dict(torch.load(tmp_path / "objective.pt", weights_only=True))
    for seed in (1, 2, 3):
        assert torch.equal(resumed(normal(seed=seed), LABELS), objective(normal(seed=seed), LABELS))
    assert weight(resumed) == weight(objective) == weight(copy.deepcopy(objective))


def test_a_base_without_gradient_gives_weight_zero_and_no_nan() -> None:
    embeddings = torch.ones(4, 3, requires_grad=True)
    objective = Triplet() + Ratio(0.5) * RDVC()
    loss = objective(embeddings, [0, 1, 2, 3])
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert weight(objective) == 0


def test_ratios_scale_with_the_sum_they_are_in() -> None:
    once, twice = Triplet() + Ratio(0.5) * RDVC(), 2 * (Triplet() + Ratio(0.5) * RDVC())
    assert 2 * once(normal(), LABELS).item() == pytest.approx(twice(normal(), LABELS).item())
    assert repr(Triplet() + Ratio(0.5) * RDVC()).endswith(
        " + Ratio(ratio=0.5, steps=50) * RDVC(distance='sqeuclidean')"
    )
    assert (RDVC() * Ratio(0.5) + Triplet()).weights["triplet"] == 1


def test_any_regulariser_may_have_a_ratio() -> None:
    objective = Triplet() + Ratio(0.1) * SEC()
    embeddings = normal()
    objective(embeddings, LABELS)
    (by_sec,) = torch.autograd.grad(SEC()(embeddings, LABELS), embeddings)
    assert float(objective.weights["sec"]) == pytest.approx(0.1 * norms(0)[0] / by_sec.norm().item(), rel=1e-5)


def test_a_recipe_says_it_so() -> None:
    objective = build_objective({"triplet": None, "rdvc": {"weight": {"ratio": 0.5, "steps": 7}}})
    assert repr(objective).endswith("Ratio(ratio=0.5, steps=7) * RDVC(distance='sqeuclidean')")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"triplet": None, "rdvc": {"weight": {"ratio": 0}}}, "a weight's ratio must be a number above 0, not 0"),
        ({"triplet": None, "rdvc": {"weight": {"ratio": 1, "steps": 1.5}}}, "a weight's steps must be"),
        ({"triplet": None, "rdvc": {"weight": {"share": 1}}}, "rdvc: a weight is a number, or {ratio: r}"),
        ({"sec": {"weight": {"ratio": 1}}}, "sec: a ratio is held against another relation-based term"),
        ({"triplet": {"weight": {"ratio": 1}}}, "triplet: a ratio is held against another relation-based term"),
    ],
)
def test_what_makes_no_sense_is_an_error(recipe: Any, message: str) -> None:
    with pytest.raises(InkseekError, match=message):
        build_objective(recipe)


def test_a_ratio_of_a_ratio_is_an_error() -> None:
    with pytest.raises(InkseekError, match="cannot be weighed by another"):
        Ratio(0.5) * (Triplet() + Ratio(0.5) * RDVC())
    with pytest.raises(InkseekError, match="held against another relation-based term"):
        (Ratio(0.5) * SEC())(normal(), LABELS)
