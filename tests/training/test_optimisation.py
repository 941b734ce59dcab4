"""Schedules by their definition; rates and weight decay reach the parameters they are for."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from inkseek.training.optimisation import build_optimiser, clip, schedule, set_rates
from inkseek.training.recipe import Optim


def optim(**options: Any) -> Optim:
    return Optim.model_validate({"lr": {"backbone": 1e-3, "head": 1e-2}, "steps": 100, **options})


def test_cosine_falls_from_one_to_nothing() -> None:
    factors = [schedule(optim(), done) for done in range(100)]
    assert factors == pytest.approx([0.5 * (1 + math.cos(math.pi * done / 100)) for done in range(100)])


@pytest.mark.parametrize("name", ["cosine", "constant", "milestones"])
def test_warm_up_rises_in_equal_steps_to_where_the_schedule_begins(name: str) -> None:
    more = {"milestones": [50]} if name == "milestones" else {}
    factors = [schedule(optim(schedule=name, warmup=9, **more), done) for done in range(100)]
    assert factors[:10] == pytest.approx([n / 10 for n in range(1, 11)])
    if name == "cosine":
        assert factors[9:] == pytest.approx([0.5 * (1 + math.cos(math.pi * k / 91)) for k in range(91)])


def test_milestones_multiply() -> None:
    made = optim(schedule="milestones", milestones=[40, 60], factor=0.5)
    assert [schedule(made, done) for done in (0, 39, 40, 59, 60, 99)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.LayerNorm(3))
        self.head = nn.Linear(3, 2)


@pytest.mark.parametrize(
    ("which", "spared"),
    [
        ("none", set()),
        ("norms", {"backbone.1.weight", "backbone.1.bias", "backbone.2.weight", "backbone.2.bias"}),
        (
            "norms-and-biases",
            {"backbone.1.weight", "backbone.2.weight"}
            | {f"{name}.bias" for name in ("backbone.0", "backbone.1", "backbone.2", "head")},
        ),
    ],
)
def test_each_parameter_has_its_rate_and_its_decay(which: str, spared: set[str]) -> None:
    model, proxies = Small(), nn.Parameter(torch.zeros(4, 2))
    groups = {
        "backbone": list(model.backbone.parameters()),
        "head": list(model.head.parameters()),
        "objective": [proxies],
    }
    made = optim(name="adam", weight_decay=0.1, no_decay=which, lr={"backbone": 1e-3, "head": 1e-2, "objective": 0.5})
    optimiser = build_optimiser(made, groups, model)
    set_rates(optimiser, 0.5)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in optimiser.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        rate = 5e-4 if name.startswith("backbone") else 5e-3
        assert found[id(parameter)] == (rate, 0.0 if name in spared else 0.1), name
    assert found[id(proxies)] == (0.25, 0.1)


def test_the_objectives_rate_is_the_heads_where_none_is_given() -> None:
    proxies = nn.Parameter(torch.zeros(4, 2))
    optimiser = build_optimiser(optim(), {"objective": [proxies]}, Small())
    assert optimiser.param_groups[0]["lr"] == 1e-2


def test_clipping_cuts_the_whole_gradient_to_a_length() -> None:
    model = Small()
    optimiser = build_optimiser(optim(), {"head": list(model.head.parameters())}, model)
    for parameter in model.head.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert float(clip(optimiser, 1.0)) == pytest.approx(math.sqrt(8))
    gradients = torch.cat([p.grad.flatten() for p in model.head.parameters() if p.grad is not None])
    assert float(gradients.norm()) == pytest.approx(1.0, rel=1e-4)
    assert torch.allclose(gradients, gradients[0])
