"""An endless stream of batches: the same for the same seed, to be entered at any step, and shared out to processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from inkseek.datasets.items import Items
from inkseek.errors import InkseekError

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Draw:
    """One place of one batch; its randomness is a function of (seed, step, position) alone."""

    step: int
    position: int
    index: int


class Batches(ABC):
    """A batch sampler with a generator of its own.

    It never ends and has no epochs: what stands at a step is a function of the seed and the step alone, and every kind
    says within how many steps all pictures have been met.

    Args:
        items: what to draw from.
        seed: of the stream.

    Attributes:
        size: places of a batch.
        anchors: how many of them, the first ones, are sketches; 0 where the items are of one domain.
    """

    size: int
    anchors: int

    def __init__(self, items: Items, *, seed: int) -> None:
        self.items, self.seed = items, seed

    @abstractmethod
    def _stream(self, generator: np.random.Generator) -> Iterator[Indices]:
        """Yield the items of one batch after the other, sketches first."""

    def __iter__(self) -> Iterator[list[Draw]]:
        for step, index in enumerate(self._stream(np.random.default_rng(self.seed))):
            yield [Draw(step, position, item) for position, item in enumerate(index.tolist())]

    def steps(self, start: int, stop: int, *, rank: int = 0, world: int = 1) -> Iterator[list[Draw]]:
        """Yield the batches of the steps from `start` to `stop`, or one process's share of each of them.

        A share is a contiguous part of the batch's sketches followed by one of its photos (in one domain, of the whole
        batch), so that shares gathered in the order of ranks, each side apart, are the batch again. Shares differ by
        one place at most a side where `world` does not divide it. A draw keeps its place in the whole batch.

        Raises:
            InkseekError: there are more processes than sketches, or than photos, of a batch.
        """
        sides = [(0, self.anchors), (self.anchors, self.size)] if self.anchors else [(0, self.size)]
        if world > min(last - first for first, last in sides):
            raise InkseekError(
                f"{world} processes cannot share a batch of {self.size}: each needs a place of every domain; "
                "enlarge the batch, or start fewer processes"
            )
        own = [part for first, last in sides for part in _part(first, last, rank, world)]
        for batch in islice(self, start, stop):
            yield [batch[position] for position in own]


def _part(first: int, last: int, rank: int, world: int) -> range:
    length = last - first
    return range(first + length * rank // world, first + length * (rank + 1) // world)


class Rounds:
    """Values in shuffled order, reshuffled when used up; what straddles two rounds repeats as little as it can."""

    def __init__(self, values: Indices, generator: np.random.Generator) -> None:
        self._values, self._generator = values, generator
        self._left: list[int] = []

    def take(self, count: int) -> Indices:
        """Return the next `count` values; one comes twice only where `count` exceeds their number."""
        taken: list[int] = []
        while len(taken) < count:
            if not self._left:
                self._left = self._generator.permutation(self._values).tolist()
                # What this batch has already goes to the end of the new round.
                times = Counter(taken)
                self._left.sort(key=lambda value: -times[value])
            taken.append(self._left.pop())
        return np.array(taken, dtype=np.int64)


def places(items: Items, label: int, *, sketches: bool) -> Indices:
    """Where the sketches, or the photos, of a class are.

    Raises:
        InkseekError: the class has none.
    """
    found = np.flatnonzero((items.labels == label) & ((items.domains == "sketch") == sketches))
    if len(found) == 0:
        raise InkseekError(f"class {items.classes[label]!r} has no {'sketches' if sketches else 'photos'} to train on")
    return found


def labels_of(items: Items, classes: int) -> Indices:
    """The labels that there are, at least as many as a batch takes.

    Raises:
        InkseekError: there are fewer.
    """
    labels: Indices = np.unique(items.labels)
    if len(labels) < classes:
        raise InkseekError(f"batch.classes is {classes}, but there are only {len(labels)} classes to train on")
    return labels
