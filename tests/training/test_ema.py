"""The moving average against its definition."""

from __future__ import annotations

import torch
from torch import nn

from inkseek.training.ema import EMA


def running(norm: nn.BatchNorm1d) -> torch.Tensor:
    assert norm.running_mean is not None
    return norm.running_mean


def test_the_average_follows_its_formula() -> None:
    linear, norm = nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False)
    module = nn.Sequential(linear, norm)
    ema = EMA(module, 0.9)
    expected = linear.weight.detach().clone()
    for t in range(20):
        with torch.no_grad():
            linear.weight.add_(1.0)
            running(norm).add_(1.0)
        ema.update()
        decay = min(0.9, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * linear.weight.detach()
    torch.testing.assert_close(ema.state["0.weight"], expected)
    torch.testing.assert_close(ema.state["1.running_mean"], running(norm))


def test_decay_zero_is_the_weights_themselves() -> None:
    module = nn.Linear(3, 3)
    ema = EMA(module, 0.0)
    with torch.no_grad():
        module.weight.mul_(3)
    ema.update()
    assert torch.equal(ema.state["weight"], module.weight)


def test_what_does_not_learn_stays() -> None:
    fixed, learns = nn.Linear(2, 2), nn.Linear(2, 2)
    module = nn.Sequential(fixed.requires_grad_(False), learns)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    ema = EMA(module, 0.5)
    with torch.no_grad():
        learns.weight.add_(1.0)
    ema.update()
    assert ema.state.keys() == before.keys()
    assert torch.equal(ema.state["0.weight"], before["0.weight"])
    torch.testing.assert_close(ema.state["1.weight"], before["1.weight"] + 0.9)
