"""What a data loader reads: a batch's places, of which none stays empty because a picture is torn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from inkseek.datasets.items import Items
from inkseek.datasets.sampling import Batches, Draw
from inkseek.errors import InkseekError
from inkseek.images.preprocessing import Domain
from inkseek.training.processes import Processes

Inputs = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Read:
    """One place of a batch.

    Attributes:
        inputs: pixels, uint8 [S, S, 3], or features, float32 [d].
        index: the item that they are of.
        unreadable: what is wrong with items that were to be read before that one.
    """

    inputs: Inputs
    index: int
    unreadable: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ReadBatch:
    """One process's share of a batch.

    Attributes:
        inputs: pixels, uint8 [N, S, S, 3], or features, float32 [N, d].
        index: int64 [N], the items that they are of.
        unreadable: a line for each picture that could not be read and was replaced.
    """

    inputs: Tensor
    index: npt.NDArray[np.int64]
    unreadable: tuple[str, ...]

    def pin_memory(self) -> ReadBatch:
        """The same in memory that a GPU copies from while it computes; the loader asks for it."""
        return ReadBatch(self.inputs.pin_memory(), self.index, self.unreadable)


class Source(Dataset[Read], ABC):
    """Draws to what the network reads of them.

    A picture that cannot be read is replaced by another of its class and domain, so that one torn file does not end a
    run. The replacement is a function of (seed, step, position): workers and processes change nothing.

    Args:
        items: what draws refer to.
        seed: of the run.
    """

    def __init__(self, items: Items, seed: int) -> None:
        self.items, self.seed = items, seed

    @abstractmethod
    def read(self, index: int) -> Inputs | str:
        """Return what is read of an item, or what is wrong with it."""

    def __getitem__(self, draw: Draw) -> Read:
        """Return what is read of one draw, or of what replaces it.

        Raises:
            InkseekError: no picture of the class and domain can be read.
        """
        unreadable: list[str] = []
        for index in self._candidates(draw):
            inputs = self.read(index)
            if not isinstance(inputs, str):
                return Read(inputs, index, tuple(unreadable))
            unreadable.append(inputs)
        items = self.items
        raise InkseekError(
            f"no {self.domain(draw.index)} of class {items.classes[items.labels[draw.index]]!r} can be read; the "
            f"first: {unreadable[0]}"
        )

    def domain(self, index: int) -> Domain:
        """Return the domain of an item."""
        return cast("Domain", str(self.items.domains[index]))

    def _candidates(self, draw: Draw) -> Iterator[int]:
        """The item, and then, should anybody ask further, all others of its class and domain in a random order."""
        yield draw.index
        items = self.items
        alike = (items.labels == items.labels[draw.index]) & (items.domains == items.domains[draw.index])
        alike[draw.index] = False
        # A stream of its own, so that a replacement is augmented as the picture itself would have been.
        generator = np.random.default_rng((self.seed, draw.step, draw.position, 1))
        yield from generator.permutation(np.flatnonzero(alike)).tolist()


def open_loader(
    source: Source, batches: Batches, start: int, stop: int, processes: Processes, workers: int
) -> DataLoader[ReadBatch]:
    """Return a loader of this process's share of the batches of the steps from `start` to `stop`."""
    loader: DataLoader[ReadBatch] = DataLoader(
        cast("Dataset[ReadBatch]", source),
        batch_sampler=batches.steps(start, stop, rank=processes.rank, world=processes.world),
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=processes.device.type == "cuda",
    )
    return loader


def _collate(rows: list[Read]) -> ReadBatch:
    return ReadBatch(
        torch.from_numpy(np.stack([row.inputs for row in rows])),
        np.array([row.index for row in rows], dtype=np.int64),
        tuple(line for row in rows for line in row.unreadable),
    )
