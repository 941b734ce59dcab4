"""Sums of exponentials over some entries of each row, in the log, with a gradient where nothing is summed."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_logsumexp(logits: Tensor, mask: Tensor) -> Tensor:
    """Log of sum e^x over the marked entries of each row, [rows, 1]; without one it is so low that e^ of it is 0."""
    if not logits.shape[1]:
        return logits.sum(1, keepdim=True) + lowest(logits)
    return torch.where(mask, logits, lowest(logits)).logsumexp(1, keepdim=True)


def lowest(logits: Tensor) -> float:
    """What stands for log 0: low but finite, because -inf would be right too, and its gradient NaN."""
    return torch.finfo(logits.dtype).min / 4


def log1p_sum_exp(logits: Tensor, mask: Tensor) -> Tensor:
    """Value of log(1 + sum e^x) over the marked entries of each row, [rows, 1]; 0 without one."""
    return torch.nn.functional.softplus(masked_logsumexp(logits, mask))
