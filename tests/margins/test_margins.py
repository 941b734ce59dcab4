"""Margins that are modules: the relation network, one scalar, a closed form, and how recipes describe them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from inkseek.errors import InkseekError
from inkseek.losses import Batch, Quadruplet, Triplet
from inkseek.margins.anchor import AnchorMargin
from inkseek.margins.class_memory import ClassMemory
from inkseek.margins.interval import Interval
from inkseek.margins.lrua import LRUA
from inkseek.margins.memory import Memory
from inkseek.margins.relation_network import RelationNetwork
from inkseek.margins.scalar import ScalarMargin
from inkseek.margins.settings import margin_settings, with_margins

DIM, CLASSES = 4, 3
LABELS = [0, 0, 1, 1, 2, 2]


def normal(rows: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, DIM, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def batch() -> Batch:
    return Batch(normal(6), LABELS, normal(6, seed=1), LABELS)


def network(memory: Memory | None = None, **more: Any) -> RelationNetwork:
    torch.manual_seed(0)
    made = RelationNetwork(DIM, memory, **more)
    torch.nn.init.normal_(made.out.weight)
    return made


def memories() -> list[Memory | None]:
    return [None, ClassMemory(DIM, CLASSES), LRUA(DIM, CLASSES, slots=8)]


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("compared", [False, True])
def test_starts_at_the_fixed_margin(which: int, compared: bool) -> None:
    made = RelationNetwork(DIM, memories()[which], compared=compared, start=0.4)
    torch.testing.assert_close(made(batch()), torch.full((6, 1), 0.4))


@pytest.mark.parametrize("which", range(3))
def test_is_the_formula_and_stays_inside(which: int) -> None:
    memory = memories()[which]
    made = network(memory, interval=Interval(0.1, 0.7), granularity="sample")
    made.remember(batch())
    both = batch().union
    z = both.units[0].detach()
    assert both.domains is not None
    u = z if memory is None else torch.cat((z, memory.read(z, both.domains[0]).vector), dim=1)
    hidden = torch.relu(u @ made.hidden.weight.T + made.hidden.bias)
    expected = 0.1 + 0.6 / (1 + torch.exp(-(hidden @ made.out.weight.T + made.out.bias)))
    torch.testing.assert_close(made(both), expected)
    torch.testing.assert_close(made(batch()), expected[:6], msg="of two domains, the anchors")
    assert made(both).std() > 0.01
    far = network(memory)
    torch.nn.init.constant_(far.out.bias, 50.0)
    assert torch.all(far(both) <= 1.0)


def test_a_class_has_the_mean_of_its_samples() -> None:
    alone, together = network(granularity="sample"), network(granularity="class")
    both = batch().union
    samples, margins = alone(both), together(both)
    labels = both.anchor_labels
    for label in range(CLASSES):
        mine = labels == label
        torch.testing.assert_close(margins[mine], samples[mine].mean().expand(int(mine.sum()), 1))
    torch.testing.assert_close(together(batch()), margins[:6])


@pytest.mark.parametrize("make", [network, lambda: network(LRUA(DIM, CLASSES, slots=8)), AnchorMargin, ScalarMargin])
def test_no_embedding_can_move_its_own_margin(make: Any) -> None:
    asked = batch()
    margins = make()(asked)
    if margins.requires_grad:
        torch.autograd.backward(margins.sum())
    assert asked.anchors.grad is None
    assert asked.candidates.grad is None


def test_anchor_margin_by_hand() -> None:
    unit = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]])
    margins = AnchorMargin(scale=0.5)(Batch(unit[:2], [0, 1], unit[2:], [0, 0]))
    # Class 0 has (1,0), (1,0), (0,1): its mean points along (2, 1). Class 1 is one item alone.
    torch.testing.assert_close(margins, torch.tensor([[0.5 * (1 - 2 / 5**0.5)], [0.0]]))


def test_a_learned_margin_works_in_every_loss_with_a_margin() -> None:
    for term in (Triplet(network()), Quadruplet(network(LRUA(DIM, CLASSES, slots=8)))):
        torch.autograd.backward(term(batch()))
        found = term.learned_margins(batch())
        assert found is not None
        assert len(found) == (6 if isinstance(term, Triplet) else 12)
    assert Quadruplet(0.3).learned_margins(batch()) is None


def test_one_domain_needs_to_know_the_items_domains() -> None:
    with pytest.raises(InkseekError, match="domains="):
        network()(Batch(normal(6), LABELS))


def test_settings_become_modules() -> None:
    built = with_margins(
        {
            "a": {"loss": "quadruplet", "margin": {"kind": "relation", "memory": "class", "hidden": 7}},
            "b": {"loss": "quadruplet", "margin": {"kind": "relation", "memory": {"kind": "lrua", "slots": 9}}},
            "c": {"loss": "quadruplet", "margin": {"kind": "relation", "memory": None, "granularity": "sample"}},
            "d": {"loss": "quadruplet", "margin": {"kind": "scalar", "start": 0.5}},
            "e": {"loss": "quadruplet", "margin": {"kind": "anchor", "scale": 0.2}},
            "f": {"loss": "quadruplet", "margin": 0.2},
            "g": None,
        },
        classes=CLASSES,
        dim=DIM,
    )
    margins = {name: (options or {}).get("margin") for name, options in built.items()}
    a, b, c, d, e = (margins[name] for name in "abcde")
    assert isinstance(a, RelationNetwork)
    assert isinstance(a.memory, ClassMemory)
    assert a.hidden.weight.shape == (7, 2 * DIM)
    assert isinstance(b, RelationNetwork)
    assert isinstance(b.memory, LRUA)
    assert len(b.memory.slots) == 9
    assert isinstance(c, RelationNetwork)
    assert (c.memory, c.granularity) == (None, "sample")
    assert isinstance(d, ScalarMargin)
    torch.testing.assert_close(d(batch()), torch.tensor(0.5))
    assert isinstance(e, AnchorMargin)
    assert (margins["f"], built["g"]) == (0.2, None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "kind must be relation or scalar or anchor, not None"),
        ({"kind": "relations"}, "did you mean 'relation'"),
        ({"kind": "relation", "memmory": "lrua"}, "unknown key 'margin.memmory'; did you mean 'memory'"),
        ({"kind": "relation", "memory": "lru"}, "margin.memory: "),
        ({"kind": "relation", "memory": {"kind": "lrua", "slot": 3}}, "'margin.memory.slot'; did you mean 'slots'"),
        ({"kind": "relation", "memory": {"kind": "class", "keep": 1}}, "margin.memory.keep: "),
        ({"kind": "scalar", "start": 0.01}, "starts at 0.01, not between 0.05 and 1.0"),
        ({"kind": "relation", "smallest": 1, "largest": 0.5}, "write the smaller number first"),
        ({"kind": "anchor", "scale": -1}, "margin.scale: "),
    ],
)
def test_settings_that_do_not_fit_are_one_clear_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InkseekError) as error:
        margin_settings("quadruplet", given)
    assert str(error.value).startswith("quadruplet: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
