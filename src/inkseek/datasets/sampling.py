"""PK batches of sketches and photos: P classes, and of each some sketches and some photos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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


class PKBatches:
    """An endless stream of batches, the same for the same seed, sketches first and photos after them.

    Classes come in shuffled rounds and so do a class's pictures: every class is met once in
    ceil(number of classes / P) batches (give or take the batch that straddles two rounds), and every sketch of a class
    once in ceil(sketches / K) of the class's turns.

    Where the items are paired, a class's photos are those of the sketches just drawn (one photo each, of any source),
    so that a batch holds positives at instance level too.

    Args:
        items: what to draw from.
        classes: P, classes a batch.
        sketches: sketches of each class.
        photos: photos of each class.
        seed: of the stream.

    Raises:
        InkseekError: fewer than P classes, or a class without sketches or photos; or, for paired items, unequal numbers
            of sketches and photos.
    """

    def __init__(self, items: Items, *, classes: int, sketches: int, photos: int, seed: int) -> None:
        self.items, self.classes, self.sketches, self.photos, self.seed = items, classes, sketches, photos, seed
        is_sketch = items.domains == "sketch"
        self._members: dict[int, tuple[Indices, Indices]] = {}
        for label in np.unique(items.labels).tolist():
            own = items.labels == label
            self._members[label] = np.flatnonzero(own & is_sketch), np.flatnonzero(own & ~is_sketch)
            for what, found in zip(("sketches", "photos"), self._members[label], strict=True):
                if len(found) == 0:
                    raise InkseekError(f"class {items.classes[label]!r} has no {what} to train on")
        if len(self._members) < classes:
            raise InkseekError(
                f"batch.classes is {classes}, but there are only {len(self._members)} classes to train on"
            )
        if items.paired and sketches != photos:
            raise InkseekError(
                f"sketches and photos are paired here, so batch.sketches ({sketches}) and batch.photos ({photos}) "
                "must be equal"
            )

    def __iter__(self) -> Iterator[list[Draw]]:
        generator = np.random.default_rng(self.seed)
        rounds = _Rounds(np.array(list(self._members)), generator)
        sketches = {label: _Rounds(members[0], generator) for label, members in self._members.items()}
        photos = {label: _Rounds(members[1], generator) for label, members in self._members.items()}
        step = 0
        while True:
            labels = rounds.take(self.classes).tolist()
            chosen = [sketches[label].take(self.sketches) for label in labels]
            if self.items.paired:
                met = [self._photos_of(own, label, generator) for own, label in zip(chosen, labels, strict=True)]
            else:
                met = [photos[label].take(self.photos) for label in labels]
            yield [
                Draw(step, position, index) for position, index in enumerate(np.concatenate([*chosen, *met]).tolist())
            ]
            step += 1

    def _photos_of(self, sketches: Indices, label: int, generator: np.random.Generator) -> Indices:
        photos = self._members[label][1]
        instances = self.items.instances
        return np.array([generator.choice(photos[instances[photos] == instances[sketch]]) for sketch in sketches])


class _Rounds:
    """Values in shuffled order, reshuffled when used up; a batch that straddles two rounds holds nothing twice."""

    def __init__(self, values: Indices, generator: np.random.Generator) -> None:
        self._values, self._generator = values, generator
        self._left: list[int] = []

    def take(self, count: int) -> Indices:
        taken: list[int] = []
        while len(taken) < count:
            if not self._left:
                self._left = self._generator.permutation(self._values).tolist()
                if count <= len(self._values):
                    # What this batch has already goes to the end of the new round.
                    again = set(taken)
                    self._left.sort(key=lambda value: value not in again)
            taken.append(self._left.pop())
        return np.array(taken, dtype=np.int64)
