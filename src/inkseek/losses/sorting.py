"""Rows in ascending order, and where numbers stand in them: by numpy or compiled on the host, by torch on a device."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inkseek import relations
from inkseek.compiled import by_rows, compiled

FEW = 8
"""Up to so many numbers in a row, a comparison with each of them is quicker than a search."""


def argsort_rows(values: Tensor) -> Tensor:
    """The columns of each row in ascending order of their values, int64 [rows, columns]; NaN is last.

    The same as `values.argsort(1)`, which on the host takes about twice as long. Equal values may come in any order.
    """
    if not relations.on_host(values):
        return values.argsort(1)
    order = torch.empty(values.shape, dtype=torch.int64)
    by_rows(_argsort, values.detach().numpy(), order.numpy())
    return order


def _argsort(values: npt.NDArray[Any], order: npt.NDArray[np.int64]) -> None:
    order[:] = np.argsort(values, axis=1)


def search_rows(ascending: Tensor, values: Tensor) -> Tensor:
    """How many numbers of its row each value is above, integers [rows, any number].

    The same as `torch.searchsorted(ascending, values)`, which on the host takes several times as long.
    NaN is above any.

    Args:
        ascending: [rows, K], NaN last.
        values: [rows, any number].
    """
    if not relations.on_host(values):
        return torch.searchsorted(ascending, values)
    places = torch.empty(values.shape, dtype=torch.int32)
    by_rows(_search, *(x.detach().contiguous().numpy() for x in (values, ascending)), places.numpy())
    return places


@compiled
def _search(values: npt.NDArray[Any], ascending: npt.NDArray[Any], places: npt.NDArray[np.int32]) -> None:
    """Write the places of each row's values.

    The range of the ascending numbers is cut into bins, several for each. A bin's number grows with the value, rounding
    and all, and a table says where its search begins: hardly ever more than a step away. To guess a step wrongly costs
    the processor more than all the rest, so that the first of them is arithmetic and no branch.
    """
    k, columns = ascending.shape[1], values.shape[1]
    one, last = np.uint32(1), np.uint32(8 * k + 8)
    number = values.dtype.type
    zeroth, first, highest = number(0), number(1), number(last)
    begin, bins = np.empty(last + one, np.uint32), np.empty(columns, np.uint32)
    own = np.empty(k + 1, values.dtype)
    own[k] = np.nan  # no comparison goes past it
    for i in range(len(values)):
        if k <= FEW:
            places[i] = 0
            for j in range(k):
                for c in range(columns):
                    places[i, c] += not ascending[i, j] >= values[i, c]
            continue
        own[:k] = ascending[i]
        lowest = 0
        while lowest < k - 1 and own[lowest] == -np.inf:  # no number to count bins from
            lowest += 1
        low = own[lowest]
        scale = number(min((last - 4) / max(np.float64(own[k - 1]) - low, 1e-30), 1e30))
        filled = np.uint32(0)
        for j in range(lowest, k):
            y = (own[j] - low) * scale + first
            y = min(y, highest) if y > zeroth else zeroth  # NaN is in the lowest bin
            while filled <= np.uint32(np.int32(y)):
                begin[filled] = j
                filled += one
        begin[filled:] = k
        for c in range(columns):  # apart from what follows, so that vector instructions can do it
            y = (values[i, c] - low) * scale + first
            bins[c] = np.uint32(np.int32(min(y, highest) if y > zeroth else zeroth))
        for c in range(columns):
            x = values[i, c]
            j = begin[bins[c]]
            j += np.uint32(own[j] < x)
            while own[j] < x:
                j += one
            places[i, c] = j if x > -np.inf else 0 if x == x else k
