"""A gradient in closed form exists once: asking for a second one raises, where it would be silently wrong."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def only_once(gradient: Tensor, source: Tensor) -> Tensor:
    """The gradient that a `backward` returns, tied to the tensor it is of: differentiating it again raises.

    torch's own `once_differentiable` speaks up only when the incoming gradient asks for a gradient too. The ordinary
    `create_graph=True` would get a second derivative that lacks this function's part, without a word.

    Raises:
        RuntimeError: from a later second differentiation, never from here.
    """
    if not torch.is_grad_enabled():
        return gradient  # nobody asked for a second one; untied, torch may add the next gradient to it in place
    tied: Tensor = _Once.apply(gradient, source)
    return tied


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, gradient: Tensor, source: Tensor) -> Tensor:  # noqa: ARG004
        return gradient.view_as(gradient)

    @staticmethod
    def backward(_: Any, *upstream: Tensor) -> tuple[None, None]:  # noqa: ARG004
        raise RuntimeError("this loss has its gradient in closed form, once: it cannot be differentiated a second time")
