"""The weighted sum of terms: what is summed, what is shared, what is logged."""

from __future__ import annotations

import copy
import doctest
import importlib
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from inkseek import distances
from inkseek import relations as module
from inkseek.errors import InkseekError
from inkseek.losses import RDVC, SEC, Batch, Objective, Term, Triplet, diagnose
from inkseek.relations import Metric, relative_distance_moments

LABELS = [0, 0, 0, 1, 1, 2, 2, 2]


def normal(rows: int = 8, dim: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.mark.parametrize("name", ["inkseek.losses", "inkseek.losses.objective"])
def test_docstring_examples_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_value_and_gradient_are_the_weighted_sum() -> None:
    embeddings = normal()
    objective = Triplet(margin=1.0) + 0.5 * RDVC() + 2 * SEC()
    loss = objective(embeddings, LABELS)
    parts = {"triplet": Triplet(1.0), "rdvc": RDVC("sqeuclidean"), "sec": SEC()}
    values = {name: part(embeddings, LABELS) for name, part in parts.items()}
    expected = values["triplet"] + 0.5 * values["rdvc"] + 2 * values["sec"]
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss, embeddings)
    (expected_gradient,) = torch.autograd.grad(expected, embeddings)
    torch.testing.assert_close(gradient, expected_gradient)
    assert list(objective.terms) == ["triplet", "rdvc", "sec"]
    for name, value in objective.terms.items():
        assert value.ndim == 0
        assert not value.requires_grad
        torch.testing.assert_close(value, values[name].detach())
    assert objective.weights == {"triplet": 1.0, "rdvc": 0.5, "sec": 2.0}


def test_call_forms_agree() -> None:
    objective = Triplet() + 0.5 * RDVC() + SEC()
    sketches, photos = normal(), normal(seed=1)
    one, two = objective(sketches, LABELS), objective(sketches, LABELS, photos, LABELS)
    assert torch.equal(objective(Batch(sketches, LABELS)), one)
    assert torch.equal(objective(Batch(sketches, LABELS, photos, LABELS)), two)
    instances = (list(range(8)), list(range(8)))
    paired = objective(sketches, LABELS, photos, LABELS, instances=instances)
    assert torch.equal(objective(Batch(sketches, LABELS, photos, LABELS, instances=instances)), paired)
    assert not torch.equal(paired, two)


@pytest.mark.parametrize("arguments", [(), (normal(),), (normal(), LABELS, normal())])
def test_a_wrong_call_is_an_error(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(InkseekError, match="call a loss with"):
        Triplet()(*arguments)


def test_a_batch_and_instances_together_are_an_error() -> None:
    call: Any = Triplet()
    with pytest.raises(InkseekError, match="a Batch alone"):
        call(Batch(normal(), LABELS), instances=LABELS)


def test_sums_and_multiples_are_flat() -> None:
    objective = 2 * (Triplet() + 0.5 * (RDVC() + SEC())) + Triplet(0.2, name="tight") * 3
    assert objective.weights == {"triplet": 2.0, "rdvc": 1.0, "sec": 1.0, "tight": 3.0}
    assert repr(objective) == (
        "2 * Triplet(margin=1.0, distance='sqeuclidean') + RDVC(distance='sqeuclidean') + SEC(rho=1.0)"
        " + 3 * Triplet(margin=0.2, distance='sqeuclidean')"
    )


def test_two_levels_in_one_objective() -> None:
    embeddings = normal()
    objective = Triplet(0.5, level="category", name="category") + Triplet(0.3, level="instance", name="instance")
    instances = [0, 0, 1, 2, 2, 3, 3, 4]
    loss = objective(embeddings, LABELS, instances=instances)
    assert list(objective.terms) == ["category", "instance"]
    expected = Triplet(0.5)(embeddings, LABELS) + Triplet(0.3)(embeddings, instances)
    torch.testing.assert_close(loss, expected)


def test_two_terms_of_one_name_are_an_error() -> None:
    with pytest.raises(InkseekError, match=r"two terms are named 'triplet'.*Triplet\(\.\.\., name='other'\)"):
        Triplet() + Triplet(level="instance")


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), True])
def test_a_weight_must_be_a_finite_number(weight: float) -> None:
    with pytest.raises(InkseekError, match="weight must be a finite number"):
        weight * SEC()


def test_only_terms_and_numbers_combine() -> None:
    anything: Any = "0.5"
    with pytest.raises(TypeError):
        anything * SEC()
    with pytest.raises(TypeError):
        SEC() + anything


def rdvc_of(objective: Objective) -> Tensor:
    objective(normal(), LABELS, instances=[0, 0, 1, 2, 2, 3, 3, 3])
    return objective.terms["rdvc"]


def test_rdvc_follows_the_first_relation_based_term() -> None:
    def alone(**options: Any) -> Tensor:
        return RDVC(**options)(normal(), LABELS, instances=[0, 0, 1, 2, 2, 3, 3, 3]).detach()

    by_category = alone(distance="cosine", level="category")
    by_instance = alone(distance="cosine", level="instance")
    base = Triplet(distance="cosine", level="category")
    second = Triplet(distance="euclidean", level="instance", name="second")
    for objective in (
        base + RDVC(),
        RDVC() + base,
        SEC() + RDVC() + base,
        base + (second + RDVC()),
        base + RDVC() + second,
    ):
        assert torch.equal(rdvc_of(objective), by_category)
    assert torch.equal(rdvc_of(base + RDVC(level="instance")), by_instance)
    assert torch.equal(rdvc_of(Triplet(distance="cosine") + RDVC()), by_instance)
    given = alone(distance="sqeuclidean", level="category")
    assert torch.equal(rdvc_of(base + RDVC("sqeuclidean")), given)


def test_one_rdvc_can_serve_two_objectives() -> None:
    rdvc = RDVC()
    first, second = Triplet(distance="cosine") + rdvc, Triplet(distance="sqeuclidean") + rdvc
    assert rdvc_of(second).item() == pytest.approx(4 * rdvc_of(first).item())


def test_relations_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[Metric] = []
    original = distances.pairwise

    def counted(anchors: Tensor, candidates: Tensor, metric: Metric) -> Tensor:
        computed.append(metric)
        return original(anchors, candidates, metric)

    monkeypatch.setattr(module, "pairwise", counted)
    batch = Batch(normal(), LABELS, instances=LABELS)
    objective = Triplet(level="category") + Triplet(level="instance", name="instance") + RDVC() + SEC()
    torch.autograd.backward(objective(batch))
    diagnose(objective, batch)
    assert computed == ["sqeuclidean"]


@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0], [0, 1, 2]])
def test_nothing_to_compare_is_a_differentiable_zero(labels: list[int]) -> None:
    embeddings = torch.ones(len(labels), 3, requires_grad=True)
    loss = (Triplet(distance="euclidean") + RDVC() + SEC())(embeddings, labels)
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert embeddings.grad is not None
    assert not embeddings.grad.any()


def test_forward_and_backward_read_nothing_back_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "on_host", lambda _: False)
    # A fake tensor has no values: whatever asks for one (.item(), a boolean index, nonzero) raises.
    objective = (
        Triplet() + Triplet(torch.ones(3), "euclidean", level="category", name="category") + RDVC() + SEC(rho=0.5)
    )
    with FakeTensorMode(allow_non_fake_inputs=True):
        sketches, photos = torch.randn(6, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True)
        labels, photo_labels = torch.zeros(6, dtype=torch.int64), torch.zeros(5, dtype=torch.int64)
        batch = Batch(sketches, labels, photos, photo_labels, instances=(labels, photo_labels))
        torch.autograd.backward(objective(batch))
        diagnose(objective, batch)
        assert sketches.grad is not None
        with pytest.raises(Exception, match=r"_local_scalar_dense|data.dependent"):
            float(objective.terms["sec"])


def test_autocast_leaves_the_objective_in_float32() -> None:
    embeddings = normal(dtype=torch.float32)
    objective = Triplet() + RDVC() + SEC()
    expected = objective(embeddings, LABELS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(objective(embeddings, LABELS), expected)


class Gram(Term):
    def forward(self, batch: Batch) -> Tensor:
        return (batch.anchors @ batch.anchors.T).sum()


def test_every_term_runs_outside_autocast() -> None:
    embeddings = normal(dtype=torch.float32)
    expected = Gram()(embeddings, LABELS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(Gram()(embeddings, LABELS), expected)
        assert torch.equal((Triplet() + Gram())(embeddings, LABELS), expected + Triplet()(embeddings, LABELS))


def test_state_is_keyed_by_name_and_copies_are_whole() -> None:
    objective = Triplet(torch.nn.Parameter(torch.tensor(0.5))) + RDVC() + SEC(rho=0.5)
    assert set(objective.state_dict()) == {"parts.triplet.margin", "parts.sec.moving_mean"}
    assert len(list(objective.parameters())) == 1
    expected = objective(normal(), LABELS)
    for twin in (copy.deepcopy(objective), pickle.loads(pickle.dumps(objective))):
        assert torch.equal(twin(normal(), LABELS), objective(normal(), LABELS))
    assert expected.requires_grad


def test_forward_hooks_see_every_term() -> None:
    seen: list[Term] = []
    objective = Triplet() + SEC()
    for part in objective.parts.values():
        part.register_forward_hook(lambda part, *_: seen.append(part))
    objective(normal(), LABELS)
    assert seen == list(objective.parts.values())


def test_diagnose_names_what_each_relation_based_term_sees() -> None:
    batch = Batch(normal(), LABELS, instances=[0, 0, 1, 2, 2, 3, 3, 3])
    objective = Triplet(0.4, level="category") + Triplet(0.2, level="instance", name="instance") + RDVC() + SEC()
    figures = diagnose(objective, batch)
    assert set(figures) == {"cosine"} | {
        f"{term}.{key}" for term in ("triplet", "instance") for key in ("active", "mean", "variance")
    }
    units = torch.nn.functional.normalize(batch.anchors)
    off_diagonal = (units @ units.T)[~torch.eye(8, dtype=torch.bool)]
    torch.testing.assert_close(figures["cosine"], off_diagonal.mean().detach())
    mean, variance = relative_distance_moments(batch.relations(level="category"))
    assert torch.equal(figures["triplet.mean"], mean)
    assert torch.equal(figures["triplet.variance"], variance)
    assert torch.equal(figures["instance.active"], Triplet(0.2).active(batch))
    assert not any(value.requires_grad for value in figures.values())
    objective(batch)
    torch.testing.assert_close(figures["triplet.variance"], objective.terms["rdvc"])
    assert set(diagnose(SEC(), batch)) == {"cosine"}
    assert set(diagnose(Triplet(), batch)) == {"cosine", "triplet.active", "triplet.mean", "triplet.variance"}
    two = Batch(normal(), LABELS, normal(seed=1), LABELS)
    units = torch.nn.functional.normalize(torch.cat([two.anchors, two.candidates]))
    off_diagonal = (units @ units.T)[~torch.eye(16, dtype=torch.bool)]
    torch.testing.assert_close(diagnose(SEC(), two)["cosine"], off_diagonal.mean().detach())
    assert diagnose(SEC(), Batch(torch.ones(6, 3), [0] * 6))["cosine"].item() == pytest.approx(1)
    assert diagnose(SEC(), Batch(torch.ones(1, 3), [0]))["cosine"].item() == 0
