"""What a data loader reads: the prepared, augmented pixels of each place of a batch."""

from __future__ import annotations

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
from inkseek.images.augmentation import Augmentation
from inkseek.images.preprocessing import Domain
from inkseek.models.embedding import load_pixels
from inkseek.training.processes import Processes

Pixels = npt.NDArray[np.uint8]

# Prepared pictures are kept in memory up to this many bytes: decoding costs a tenth of a step on a CPU.
_KEEP = 1 << 30


@dataclass(frozen=True, eq=False)
class Read:
    """One place of a batch.

    Attributes:
        inputs: pixels, uint8 [S, S, 3], or features, float32 [d].
        index: the item that they are of.
        unreadable: what is wrong with items that were to be read before that one.
    """

    inputs: npt.NDArray[Any]
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


class TrainingPixels(Dataset[Read]):
    """Draws to pixels.

    A picture that cannot be read is replaced by another of its class and domain, so that one torn file does not end a
    run. Augmentation and replacement are a function of (seed, step, position): workers and processes change nothing.

    Args:
        items: what draws refer to.
        size: S.
        augmentation: what happens to the pixels.
        seed: of the run.
    """

    def __init__(self, items: Items, size: int, augmentation: Augmentation, seed: int) -> None:
        self.items, self.size, self.augmentation, self.seed = items, size, augmentation, seed
        self._kept: dict[int, Pixels] = {}
        self._unreadable: dict[int, str] = {}
        self._room = _KEEP // (size * size * 3)

    def __getitem__(self, draw: Draw) -> Read:
        """Return the pixels of one draw, or of what replaces it.

        Raises:
            InkseekError: no picture of the class and domain can be read.
        """
        unreadable: list[str] = []
        for index in self._candidates(draw):
            pixels = self._pixels(index)
            if pixels is not None:
                generator = np.random.default_rng((self.seed, draw.step, draw.position))
                return Read(self.augmentation(pixels, self._domain(index), generator), index, tuple(unreadable))
            unreadable.append(self._unreadable[index])
        items = self.items
        raise InkseekError(
            f"no {self._domain(draw.index)} of class {items.classes[items.labels[draw.index]]!r} can be read; the "
            f"first: {unreadable[0]}"
        )

    def _candidates(self, draw: Draw) -> Iterator[int]:
        """The item, and then, should anybody ask further, all others of its class and domain in a random order."""
        yield draw.index
        items = self.items
        alike = (items.labels == items.labels[draw.index]) & (items.domains == items.domains[draw.index])
        alike[draw.index] = False
        # A stream of its own, so that a replacement is augmented as the picture itself would have been.
        generator = np.random.default_rng((self.seed, draw.step, draw.position, 1))
        yield from generator.permutation(np.flatnonzero(alike)).tolist()

    def _domain(self, index: int) -> Domain:
        return cast("Domain", str(self.items.domains[index]))

    def _pixels(self, index: int) -> Pixels | None:
        if index in self._unreadable:
            return None
        pixels = self._kept.get(index)
        if pixels is None:
            try:
                pixels = load_pixels(self.items.paths[index], self._domain(index), self.size)
            except InkseekError as error:
                self._unreadable[index] = str(error)
                return None
            if len(self._kept) < self._room:
                self._kept[index] = pixels
        return pixels


def open_loader(
    source: Dataset[Read], batches: Batches, start: int, stop: int, processes: Processes, workers: int
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
