"""Batches without classes: pairs, or pictures of one domain, at random."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from inkseek.datasets.items import Items
from inkseek.datasets.sampling.batches import Batches, Indices, Rounds
from inkseek.datasets.sampling.pairs import of_each_object, require_pairs
from inkseek.errors import InkseekError


class RandomBatches(Batches):
    """N sketches with their own photos, or N photos where there are photos alone, whatever their classes.

    It is the `random` of RDVC's Table 4, beside which PK is held. Pictures come in one shuffled round after the other:
    every sketch, or every photo of a set of photos alone, is met once in ceil(pictures / N) batches (give or take the
    batch that straddles two rounds). An object's photos come in rounds as well.

    Args:
        items: what to draw from.
        number: N.
        seed: of the stream.

    Raises:
        InkseekError: fewer than N pictures, or sketches and photos that are not paired.
    """

    def __init__(self, items: Items, *, number: int, seed: int) -> None:
        super().__init__(items, seed=seed)
        sketches = np.flatnonzero(items.domains == "sketch")
        if len(sketches):
            require_pairs(items)
        self._pool = sketches if len(sketches) else np.arange(len(items))
        self.number = number
        self.anchors, self.size = (number, 2 * number) if len(sketches) else (0, number)
        if len(self._pool) < number:
            raise InkseekError(
                f"a batch of {number} at random asks for more than the {len(self._pool)} pictures to train on"
            )

    def _stream(self, generator: np.random.Generator) -> Iterator[Indices]:
        pool = Rounds(self._pool, generator)
        photos = of_each_object(self.items, generator)[1] if self.anchors else {}
        while True:
            drawn = pool.take(self.number)
            own = [photos[one].take(1)[0] for one in self.items.instances[drawn].tolist()] if self.anchors else []
            yield np.array([*drawn.tolist(), *own], dtype=np.int64)
