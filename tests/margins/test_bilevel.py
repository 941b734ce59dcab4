"""The bilevel step: its gradient, its two traps, and that it leaves alone what is not its own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from inkseek.errors import InkseekError
from inkseek.losses import RDVC, SEC, Batch, Quadruplet, Triplet
from inkseek.losses.classification import Classification
from inkseek.losses.objective import Objective
from inkseek.margins.bilevel import Bilevel
from inkseek.margins.class_memory import ClassMemory
from inkseek.margins.lrua import LRUA
from inkseek.margins.prototypes import prototype_cross_entropy
from inkseek.margins.relation_network import RelationNetwork
from inkseek.margins.scalar import ScalarMargin
from inkseek.margins.settings import MetaSettings

FEATURES, DIM, CLASSES = 6, 4, 8
LABELS = [label for label in range(CLASSES) for _ in range(2)]


def batch(seed: int = 0, *, one_domain: bool = False) -> Batch:
    """Features of sketches and photos around class centres that the domains share."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(CLASSES, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(99))
    sides = [
        centres[LABELS] + 1.5 * torch.randn(len(LABELS), FEATURES, dtype=torch.float64, generator=generator)
        for _ in range(2)
    ]
    if one_domain:
        return Batch(torch.cat(sides), LABELS * 2, domains=[0] * len(LABELS) + [1] * len(LABELS))
    return Batch(sides[0], LABELS, sides[1], LABELS)


def head(*, batchnorm: bool = False) -> nn.Module:
    torch.manual_seed(1)
    linear = nn.Linear(FEATURES, DIM)
    return (nn.Sequential(nn.BatchNorm1d(FEATURES), linear) if batchnorm else linear).double()


def relation_network(memory: Any = None) -> RelationNetwork:
    torch.manual_seed(2)
    margin = RelationNetwork(DIM, memory, hidden=3, granularity="class")
    nn.init.normal_(margin.out.weight, std=0.3)
    margin.double()
    if memory is not None:
        margin.remember(Batch(torch.randn(16, DIM, dtype=torch.float64), LABELS, domains=[0, 1] * 8))
    return margin


MARGINS: dict[str, Callable[[], nn.Module]] = {
    "scalar": lambda: ScalarMargin().double(),
    "no memory": lambda: relation_network(),
    "class": lambda: relation_network(ClassMemory(DIM, CLASSES)),
    "lrua": lambda: relation_network(LRUA(DIM, CLASSES, slots=20)),
}


def made(margin: nn.Module, network: nn.Module, **more: Any) -> Bilevel:
    """Mined, not drawn, so that the same tuples meet again whenever the loss is computed."""
    smooth = more.pop("smooth", "softplus")
    quadruplet = Quadruplet(margin, mining="batch_hard", smooth="softplus", level="category")
    torch.manual_seed(3)
    rest = 0.7 * Classification(CLASSES, DIM).double() + 0.1 * RDVC() + 0.05 * SEC()
    bilevel = Bilevel(2.0 * quadruplet + rest, network, MetaSettings(**more), seed=0)
    bilevel.term.smooth = smooth
    return bilevel


def split() -> tuple[Tensor, Tensor]:
    return torch.arange(5), torch.arange(5, CLASSES)


def hypergradient(bilevel: Bilevel, features: Batch) -> list[Tensor]:
    with bilevel.opened():
        loss = bilevel.outer_loss(features, *split())
        return list(torch.autograd.grad(loss, list(bilevel.margin.parameters()), materialize_grads=True))


def finite_difference(bilevel: Bilevel, features: Batch, parameter: Tensor, place: int, eps: float = 1e-6) -> float:
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            parameter.view(-1)[place] += sign * eps
        with bilevel.opened():
            ends.append(bilevel.outer_loss(features, *split()).item())
        with torch.no_grad():
            parameter.view(-1)[place] -= sign * eps
    return (ends[0] - ends[1]) / (2 * eps)


@pytest.mark.parametrize("name", MARGINS)
@pytest.mark.parametrize("more", [{}, {"inner_normalise": True}, {"prototypes": 0.5}], ids=["", "normalised", "proto"])
def test_the_hypergradient_agrees_with_finite_differences(name: str, more: dict[str, Any]) -> None:
    bilevel, features = made(MARGINS[name](), head(batchnorm=True), inner_rate=0.5, **more), batch()
    for parameter, gradient in zip(bilevel.margin.parameters(), hypergradient(bilevel, features), strict=True):
        for place in range(0, parameter.numel(), 5):
            expected = finite_difference(bilevel, features, parameter, place)
            assert float(gradient.view(-1)[place]) == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert max(float(gradient.abs().max()) for gradient in hypergradient(bilevel, features)) > 1e-4


def test_a_hinge_gives_no_hypergradient_at_all() -> None:
    """Trap 2: with a hinge the margin only decides which quadruplets count."""
    bilevel, features = made(ScalarMargin().double(), head(), inner_rate=0.5, smooth="hinge"), batch()
    (parameter,) = bilevel.margin.parameters()
    assert float(bilevel.term.push(features)) > 0, "some quadruplets push"
    assert [float(gradient) for gradient in hypergradient(bilevel, features)] == [0.0]
    assert finite_difference(bilevel, features, parameter, 0, eps=1e-7) == 0.0


def test_a_hinge_is_refused() -> None:
    with pytest.raises(InkseekError, match="smooth: softplus"):
        Bilevel(Objective((1.0, Quadruplet(ScalarMargin()))), head(), MetaSettings(), seed=0)


@pytest.mark.parametrize(
    ("objective", "network", "said"),
    [
        (lambda: Quadruplet(0.3, smooth="softplus"), head, "exactly one term"),
        (lambda: Quadruplet(MARGINS["scalar"](), smooth="softplus") + Triplet(ScalarMargin()), head, "exactly one"),
        (lambda: Triplet(ScalarMargin()), head, "quadruplet"),
        (lambda: Quadruplet(ScalarMargin(), smooth="softplus"), nn.Identity, "give model.dim"),
    ],
)
def test_what_cannot_be_taught_is_refused(objective: Any, network: Any, said: str) -> None:
    with pytest.raises(InkseekError, match=said):
        Bilevel(Objective((1.0, objective())), network(), MetaSettings(), seed=0)


def learn(margin: nn.Module, *, bilevel: bool, steps: int = 150) -> tuple[float, Bilevel | None]:
    """Train a head and its margin on toy classes; return the margin at the end."""
    network = head()
    term = Quadruplet(margin, smooth="softplus", level="category")
    objective = Objective((1.0, term))
    teacher = Bilevel(objective, network, MetaSettings(inner_rate=1.0, lr=0.02), seed=0) if bilevel else None
    own = [] if bilevel else list(objective.parameters())
    optimiser = torch.optim.Adam([{"params": network.parameters(), "lr": 1e-2}, {"params": own, "lr": 0.1}])
    for step in range(steps):
        features = batch(step)
        if teacher is not None:
            assert teacher.step(features) is not None
        n = len(LABELS)
        embeddings = network(features.everyone)
        loss = objective(Batch(embeddings[:n], LABELS, embeddings[n:], LABELS))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    found = term.learned_margins(Batch(embeddings[:n], LABELS, embeddings[n:], LABELS))
    assert found is not None
    return float(found.mean()), teacher


def test_joint_descent_drives_the_margin_down_and_the_bilevel_step_does_not() -> None:
    """Trap 1: on a loss that grows with the margin, descent finds the smallest."""
    joint, _ = learn(ScalarMargin().double(), bilevel=False)
    taught, _ = learn(ScalarMargin().double(), bilevel=True)
    assert joint < 0.05 + 0.05
    assert taught > 0.05 + 0.05


@pytest.mark.parametrize("one_domain", [False, True])
def test_a_step_moves_the_margin_and_nothing_else(one_domain: bool) -> None:
    network = head(batchnorm=True)
    bilevel, features = made(MARGINS["lrua"](), network, inner_rate=0.5), batch(one_domain=one_domain)
    others = {name: value for name, value in bilevel.objective.state_dict().items() if ".margin." not in name}
    others = copy.deepcopy(others)
    before, margin = copy.deepcopy(network.state_dict()), copy.deepcopy(bilevel.margin.state_dict())
    step = bilevel.step(features)
    assert step is not None
    assert step.hypergradient > 0
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items()), "BatchNorm's statistics too"
    objective = bilevel.objective.state_dict()
    for name, value in others.items():
        assert torch.equal(value, objective[name]) if isinstance(value, Tensor) else value == objective[name]
    moved = bilevel.margin.state_dict()
    assert torch.equal(margin["memory.slots"], moved["memory.slots"])
    assert not torch.equal(margin["out.bias"], moved["out.bias"])
    assert all(parameter.grad is None for parameter in (*network.parameters(), *bilevel.objective.parameters()))
    assert bilevel.objective.training
    assert not any(parameter.requires_grad for parameter in bilevel.margin.parameters())


def test_the_real_loss_takes_the_margin_as_a_constant() -> None:
    bilevel = made(MARGINS["class"](), head())
    features = batch()
    embeddings = nn.Linear(FEATURES, DIM).double()(features.anchors)
    torch.autograd.backward(bilevel.objective(Batch(embeddings, LABELS, embeddings.detach(), LABELS)))
    assert all(parameter.grad is None for parameter in bilevel.margin.parameters())


def test_the_parts_have_no_class_in_common_and_differ_from_step_to_step() -> None:
    bilevel = made(MARGINS["scalar"](), head(), held_out=0.4)
    seen: list[tuple[Tensor, Tensor]] = []
    loss = bilevel.outer_loss

    def watch(features: Batch, inner: Tensor, outer: Tensor) -> Tensor:
        seen.append((inner, outer))
        return loss(features, inner, outer)

    bilevel.outer_loss = watch  # type: ignore[method-assign]
    for _ in range(4):
        bilevel.step(batch())
    for inner, outer in seen:
        assert sorted([*inner.tolist(), *outer.tolist()]) == list(range(CLASSES))
        assert len(outer) == 3
    assert len({tuple(sorted(outer.tolist())) for _, outer in seen}) > 1


def test_too_few_classes_are_skipped_and_counted() -> None:
    bilevel = made(MARGINS["scalar"](), head())
    few = Batch(torch.randn(10, FEATURES, dtype=torch.float64), [0, 1, 2, 3, 4] * 2, domains=[0] * 5 + [1] * 5)
    assert bilevel.step(few) is None
    assert bilevel.step(batch()) is not None
    assert (bilevel.taken, bilevel.skipped) == (1, 1)


def test_goes_on_from_its_state() -> None:
    whole, parted = (made(MARGINS["no memory"](), head(), inner_rate=0.5) for _ in range(2))
    for step in range(4):
        whole.step(batch(step))
    for step in range(2):
        parted.step(batch(step))
    resumed = made(MARGINS["no memory"](), head(), inner_rate=0.5)
    resumed.objective.load_state_dict(parted.objective.state_dict())
    resumed.load(parted.state())
    for step in range(2, 4):
        resumed.step(batch(step))
    expected, found = whole.margin.state_dict(), resumed.margin.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert (resumed.taken, resumed.skipped) == (4, 0)


def test_prototype_cross_entropy_by_hand() -> None:
    sketches, photos = torch.tensor([[1.0, 0], [0, 1], [1, 1]]), torch.tensor([[3.0, 0], [1, 0], [0, 2]])
    value = prototype_cross_entropy(Batch(sketches, [4, 7, 9], photos, [4, 4, 7]).union)
    # Two sketches have photos of their class, each at cosine 1, the other class at cosine 0; the third has none.
    assert float(value) == pytest.approx(float(torch.log(1 + torch.exp(torch.tensor(-10.0)))))
    assert float(prototype_cross_entropy(Batch(sketches, [4, 7, 9], photos, [1, 2, 3]).union)) == 0
