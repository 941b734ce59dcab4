"""SEC: the spread of the raw embeddings' lengths."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from inkseek.errors import InkseekError
from inkseek.losses import SEC


def normal(rows: int, dim: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def explicit(rows: list[list[float]], centre: float | None = None) -> float:
    norms = [math.hypot(*row) for row in rows]
    mean = sum(norms) / len(norms) if centre is None else centre
    return sum((norm - mean) ** 2 for norm in norms) / len(norms)


def test_equals_the_loop_on_one_domain_and_on_both_together() -> None:
    sketches, photos = normal(5), 3 * normal(7, seed=1)
    assert SEC()(sketches, [0] * 5).item() == pytest.approx(explicit(sketches.tolist()))
    both = SEC()(sketches, [0] * 5, photos, [0] * 7).item()
    assert both == pytest.approx(explicit(sketches.tolist() + photos.tolist()))


def test_gradcheck() -> None:
    assert torch.autograd.gradcheck(lambda s, p: SEC()(s, [0] * 5, p, [0] * 3), (normal(5), normal(3, seed=1)))


def test_gradient_is_radial_only() -> None:
    embeddings = normal(6)
    torch.autograd.backward(SEC()(embeddings, [0] * 6))
    assert embeddings.grad is not None
    direction = torch.nn.functional.normalize(embeddings.detach(), dim=1)
    tangential = embeddings.grad - (embeddings.grad * direction).sum(1, keepdim=True) * direction
    assert embeddings.grad.abs().max() > 1e-3
    torch.testing.assert_close(tangential, torch.zeros_like(tangential))


def test_equal_lengths_cost_nothing() -> None:
    embeddings = (2.5 * torch.nn.functional.normalize(normal(6), dim=1)).detach().requires_grad_()
    loss = SEC()(embeddings, [0] * 6)
    torch.autograd.backward(loss)
    assert loss.item() == pytest.approx(0, abs=1e-24)
    assert embeddings.grad is not None
    torch.testing.assert_close(embeddings.grad, torch.zeros_like(embeddings.grad))


def test_moving_mean() -> None:
    term = SEC(rho=0.25)
    first, second = normal(4), 2 * normal(4, seed=1)
    mean = first.detach().norm(dim=1).mean().item()
    assert term(first, [0] * 4).item() == pytest.approx(explicit(first.tolist()))
    mean = 0.75 * mean + 0.25 * second.detach().norm(dim=1).mean().item()
    assert term(second, [0] * 4).item() == pytest.approx(explicit(second.tolist(), mean), rel=1e-5)

    resumed = SEC(rho=0.25)
    resumed.load_state_dict(term.state_dict())
    assert torch.equal(resumed(first, [0] * 4), term(first, [0] * 4))

    term.eval()
    kept = term.moving_mean.clone()
    term(second, [0] * 4)
    assert torch.equal(term.moving_mean, kept)
    assert SEC().state_dict() == {}


@pytest.mark.parametrize("rho", [1.0, 0.5])
def test_an_empty_batch_is_a_differentiable_zero(rho: float) -> None:
    term, embeddings = SEC(rho), normal(0)
    loss = term(embeddings, [])
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert embeddings.grad is not None
    assert rho == 1 or term.moving_mean.isnan()


def test_a_zero_embedding_has_a_finite_gradient() -> None:
    embeddings = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    loss = SEC()(embeddings, [0, 1])
    torch.autograd.backward(loss)
    assert loss.item() == pytest.approx(6.25)
    assert embeddings.grad is not None
    assert embeddings.grad[0].tolist() == [0, 0]
    torch.testing.assert_close(embeddings.grad[1], torch.tensor([1.5, 2.0]))


def test_half_input_and_autocast_equal_float32() -> None:
    half = (1000 * normal(16, dtype=torch.float32).detach()).half().requires_grad_()  # squares beyond float16
    expected = SEC()(half.detach().float(), [0] * 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = SEC()(half, [0] * 16)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)


@pytest.mark.parametrize("rho", [0, 1.5, -1, "all", float("inf")])
def test_a_wrong_rho_is_an_error(rho: Any) -> None:
    with pytest.raises(InkseekError, match="sec: rho must be"):
        SEC(rho)
