"""What is trained, and what keeps its statistics."""

from __future__ import annotations

import copy

import pytest
import torch

from inkseek.models.embedder import Embedder
from inkseek.models.tuning import BatchNormMode, Tune, apply_tuning, parameter_groups, set_train_mode


def network() -> Embedder:
    import timm

    torch.manual_seed(0)
    return Embedder(timm.create_model("resnet18", num_classes=0, zero_init_last=False), 8)


def step(embedder: Embedder, tune: Tune, batchnorm: BatchNormMode) -> dict[str, bool]:
    """Train one step and say which entries of the state changed."""
    before = copy.deepcopy(embedder.state_dict())
    apply_tuning(embedder, tune, batchnorm)
    set_train_mode(embedder, tune, batchnorm)
    optimiser = torch.optim.SGD([p for group in parameter_groups(embedder).values() for p in group], lr=0.1)
    torch.autograd.backward(embedder(torch.randn(4, 3, 32, 32)).square().sum())
    optimiser.step()
    return {key: not torch.equal(value, before[key]) for key, value in embedder.state_dict().items()}


@pytest.mark.parametrize("batchnorm", ["frozen", "live"])
def test_head_alone(batchnorm: BatchNormMode) -> None:
    changed = step(network(), "head", batchnorm)
    assert {key for key, value in changed.items() if value} == {"head.weight", "head.bias"}


def test_full_with_frozen_batchnorm_changes_every_other_weight() -> None:
    changed = step(network(), "full", "frozen")
    normalisation = {key for key in changed if "bn" in key or "downsample.1" in key}
    assert not any(changed[key] for key in normalisation)
    assert all(value for key, value in changed.items() if key not in normalisation)


def test_full_with_live_batchnorm_moves_the_statistics() -> None:
    changed = step(network(), "full", "live")
    assert changed["backbone.bn1.running_mean"]
    assert changed["backbone.bn1.weight"]


def test_frozen_statistics_let_scales_and_shifts_learn() -> None:
    changed = step(network(), "full", "frozen-statistics")
    assert changed["backbone.bn1.weight"]
    assert changed["backbone.bn1.bias"]
    assert not any(changed[key] for key in changed if "running" in key)
