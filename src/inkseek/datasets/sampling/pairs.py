"""Fine-grained batches: P classes, and of each so many sketches, each beside the photo that it was drawn from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from inkseek.datasets.items import Items
from inkseek.datasets.sampling.batches import Batches, Indices, Rounds, labels_of
from inkseek.errors import InkseekError


class PairBatches(Batches):
    """P classes of a batch and K sketch-photo pairs of each: all sketches, then their photos in the same order.

    The K pairs of a class show K different objects, so that each has one positive and the photos of its class are the
    hard negatives that fine-grained retrieval is about; one comes twice only where a class has fewer than K. Classes, a
    class's objects, an object's sketches and its photos come in shuffled rounds: in as many of a class's turns as all
    its objects need, ceil(objects / K) times the most sketches or photos of one, all its pictures have been met.

    Args:
        items: what to draw from.
        classes: P, classes a batch.
        pairs: K, pairs of each class.
        seed: of the stream.

    Raises:
        InkseekError: fewer than P classes, or sketches without a photo of their own.
    """

    def __init__(self, items: Items, *, classes: int, pairs: int, seed: int) -> None:
        super().__init__(items, seed=seed)
        self.classes, self.pairs = classes, pairs
        self.anchors, self.size = classes * pairs, 2 * classes * pairs
        require_pairs(items)
        self._labels = labels_of(items.of(domain="sketch"), classes)

    def _stream(self, generator: np.random.Generator) -> Iterator[Indices]:
        labels, instances, drawn = self.items.labels, self.items.instances, self.items.domains == "sketch"
        classes = Rounds(self._labels, generator)
        objects = {
            label: Rounds(np.unique(instances[drawn & (labels == label)]), generator) for label in self._labels.tolist()
        }
        sketches, photos = of_each_object(self.items, generator)
        while True:
            met = np.concatenate([objects[label].take(self.pairs) for label in classes.take(self.classes).tolist()])
            yield np.array([side[one].take(1)[0] for side in (sketches, photos) for one in met.tolist()])


def require_pairs(items: Items) -> None:
    """Raise an InkseekError unless every sketch has a photo of its own; a photo that nobody drew is never met."""
    sketch = items.domains == "sketch"
    if not items.paired:
        raise InkseekError(
            "batch.pairs takes sketches beside the photos that they were drawn from, and nothing says which those are "
            "here: write batch: {classes: P, sketches: K, photos: K}"
        )
    alone = np.flatnonzero(sketch & ~np.isin(items.instances, items.instances[~sketch]))
    if len(alone):
        raise InkseekError(f"{items.paths[alone[0]]}: the photo that it was drawn from is missing")


def of_each_object(items: Items, generator: np.random.Generator) -> tuple[dict[int, Rounds], dict[int, Rounds]]:
    """The sketches and the photos of every object (instance), each in rounds of their own."""
    sketch = items.domains == "sketch"
    sides = []
    for mask in (sketch, ~sketch):
        index = np.flatnonzero(mask)
        index = index[np.argsort(items.instances[index], kind="stable")]
        numbers, starts = np.unique(items.instances[index], return_index=True)
        parts = np.split(index, starts[1:])
        sides.append({one: Rounds(part, generator) for one, part in zip(numbers.tolist(), parts, strict=True)})
    return sides[0], sides[1]
