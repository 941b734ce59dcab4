"""The external memory of seen classes: how it is read and written, whatever its slots stand for."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from inkseek.relations import Batch


class ReadOut(NamedTuple):
    """What queries find in a memory.

    Attributes:
        vector: [queries, dim], r = sum_i w_i M_i.
        weights: [queries, slots], w, each row from 0 to 1 with sum 1.
    """

    vector: Tensor
    weights: Tensor


class Keys(NamedTuple):
    """What a batch has to write: its class means, one for each class and domain that it holds.

    Attributes:
        vectors: [keys, dim], unit length, detached; by domain, then by class.
        labels: int64 [keys].
        domains: int64 [keys].
    """

    vectors: Tensor
    labels: Tensor
    domains: Tensor


@runtime_checkable
class Memory(Protocol):
    """Rows that queries are compared with; buffers, so that a checkpoint holds them and no optimiser moves them."""

    classes: int

    def read(self, queries: Tensor, domains: Tensor) -> ReadOut:
        """Read by likeness; nothing changes.

        Args:
            queries: unit embeddings [queries, dim].
            domains: int64 [queries], 0 for sketches and 1 for photos.
        """

    def write(self, keys: Keys) -> None:
        """Take up a batch's class means."""


def class_means(batch: Batch, classes: int) -> Keys:
    """The unit means of a batch's unit embeddings by class and domain.

    They are products of matrices, not scattered sums, so that every process that holds the gathered batch writes the
    very same numbers.

    Args:
        batch: one domain with `domains` of 0 and 1, as `Batch.union` gives it.
        classes: labels are 0..classes-1.
    """
    assert batch.domains is not None, "a union knows its items' domains"
    domains, labels = batch.domains[0], batch.anchor_labels
    units = batch.units[0].detach()
    belongs = one_hot(domains * classes + labels, 2 * classes).T
    present = belongs.any(1).nonzero()[:, 0]
    means = normalize(belongs[present].to(units) @ units, dim=1)
    return Keys(means, present % classes, torch.div(present, classes, rounding_mode="floor"))
