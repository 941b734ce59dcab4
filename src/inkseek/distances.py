"""Distances between all rows of two matrices, and rows at unit length, with gradients that cost few passes."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

Metric = Literal["sqeuclidean", "euclidean", "cosine", "dot"]
METRICS: tuple[Metric, ...] = get_args(Metric)

STRIP = 256
"""Fewer rows at a time would cost a product more than it saves."""


def pairwise(anchors: Tensor, candidates: Tensor, metric: Metric) -> Tensor:
    """Distances [anchors, candidates]: of unit rows `sqeuclidean` 2 - 2 a.c, `euclidean` its root, `cosine` 1 - a.c.

    `dot` is -a.c, of rows as they are. The same tensor on both sides costs little more than half of the product,
    and one less on the way back. Finite with a finite gradient at distance zero, and differentiable twice.
    """
    constant, slope = {"dot": (0.0, -1.0), "cosine": (1.0, -1.0)}.get(metric, (2.0, -2.0))
    # The same tensor twice would be given two gradients, each by a product of its own.
    distance: Tensor = _Product.apply(anchors, None if candidates is anchors else candidates, constant, slope)
    if metric == "dot":
        return distance
    with torch.no_grad():  # Rounding can fall below zero. The value is mended, the gradient was never wrong.
        distance.clamp_(min=0)
    if metric != "euclidean":
        return distance
    apart = ~(distance <= 0)  # At zero the root's gradient would be infinite. Written so that NaN stays NaN.
    return torch.where(apart, distance, 1).sqrt() * apart


class _Product(torch.autograd.Function):
    """constant + slope a.c for all rows a and c, or for all pairs of one matrix's rows; differentiable again."""

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, candidates: Tensor | None, constant: float, slope: float) -> Tensor:
        ctx.save_for_backward(anchors, candidates)
        ctx.slope = slope
        if candidates is None:
            return _among_themselves(anchors, constant, slope)
        return torch.addmm(anchors.new_full((), constant), anchors, candidates.T, alpha=slope)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (gradient,) = upstream
        anchors, candidates = ctx.saved_tensors
        with torch.autocast(gradient.device.type, enabled=False):
            if candidates is None:
                # Turned first: adding a matrix to one that lies across is slower than both steps.
                both = gradient.T.clone(memory_format=torch.contiguous_format).add_(gradient)
                return (both @ anchors).mul_(ctx.slope), None, None, None
            by_anchors, by_candidates, *_ = ctx.needs_input_grad
            return (
                (gradient @ candidates).mul_(ctx.slope) if by_anchors else None,
                (gradient.T @ anchors).mul_(ctx.slope) if by_candidates else None,
                None,
                None,
            )


def _among_themselves(rows: Tensor, constant: float, slope: float) -> Tensor:
    """All pairs of one matrix's rows, constant + slope a.b, strip by strip; what mirrors a strip is only copied."""
    n = len(rows)
    product, height = rows.new_full((n, n), constant), max(STRIP, -(-n // 4))
    for top in range(0, n, height):
        bottom = top + height
        product[top:bottom, top:].addmm_(rows[top:bottom], rows[top:].T, alpha=slope)
        product[bottom:, top:bottom] = product[top:bottom, bottom:].T
    return product


def unit(embeddings: Tensor) -> Tensor:
    """Rows at length 1, [rows, dim]; a row of length zero stays zero, with zero gradient. Differentiable twice."""
    units: Tensor = _Unit.apply(embeddings)
    return units


class _Unit(torch.autograd.Function):
    """Rows at length 1, and a row of length zero as it is, with zero gradient; differentiable again."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        units = rows / _length(rows)
        ctx.save_for_backward(rows, units)
        return units

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Tensor:
        (gradient,) = upstream
        rows, units = ctx.saved_tensors
        with torch.autocast(gradient.device.type, enabled=False):
            # What points along the row only made it longer.
            along = torch.linalg.vecdot(gradient, units).unsqueeze(1)
            return torch.addcmul(gradient, units, along, value=-1).div_(_length(rows))


def _length(rows: Tensor) -> Tensor:
    """The rows' lengths, [rows, 1]; infinite instead of zero, so that dividing by it gives zero."""
    length: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return torch.where(length > torch.finfo(length.dtype).tiny, length, torch.inf)
