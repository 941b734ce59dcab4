"""Rows in ascending order, or their least entries: by numpy on the host, by torch on a device; and when not to sort."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from inkseek import relations

FEW = 8
"""Up to so many positives an anchor, a look at the row for each of them is quicker than putting it in order."""


def argsort_rows(values: Tensor) -> Tensor:
    """The columns of each row in ascending order of their values, int64 [rows, columns]; NaN is last.

    The same as `values.argsort(1)`, which on the host takes about twice as long. Equal values may come in any order.
    """
    if not relations.on_host(values):
        return values.argsort(1)
    rows = values.detach().numpy()
    threads = min(torch.get_num_threads(), max(1, values.numel() // 2**18))
    if threads == 1:
        return torch.from_numpy(np.argsort(rows, axis=1))
    with ThreadPoolExecutor(threads) as pool:  # numpy lets go of the interpreter while it sorts
        parts = list(pool.map(lambda part: np.argsort(part, axis=1), np.array_split(rows, threads)))
    return torch.from_numpy(np.concatenate(parts))


def argmin_rows(values: Tensor) -> Tensor:
    """The column of each row's least value, int64 [rows, 1]; the first of them, and NaN is less than any number.

    The same as `values.argmin(1, keepdim=True)`, which on the host takes about four times as long.
    """
    if not relations.on_host(values):
        return values.argmin(1, keepdim=True)
    return torch.from_numpy(values.detach().numpy().argmin(1, keepdims=True))
