"""PK batches: P classes, and of each so many photos, or so many sketches and so many photos."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from inkseek.datasets.items import Items
from inkseek.datasets.sampling.batches import Batches, Indices, Rounds, labels_of, places
from inkseek.datasets.sampling.pairs import require_pairs
from inkseek.errors import InkseekError


class PKBatches(Batches):
    """P classes of a batch and K pictures of each, sketches first and photos after them.

    Classes come in shuffled rounds and so do a class's pictures: every class is met once in
    ceil(number of classes / P) batches (give or take the batch that straddles two rounds), and every picture of a class
    once in ceil(pictures / K) of the class's turns. A picture comes twice in a batch only where its class has fewer
    than K.

    Where the items are paired, a class's photos are those of the sketches just drawn (one photo each, of any source),
    so that a batch holds positives at instance level too.

    Args:
        items: what to draw from.
        classes: P, classes a batch.
        photos: photos of each class.
        sketches: sketches of each class; none where the items are photos alone.
        seed: of the stream.

    Raises:
        InkseekError: fewer than P classes, or a class without sketches or photos; or, for paired items, unequal numbers
            of sketches and photos, or a sketch without its photo.
    """

    def __init__(self, items: Items, *, classes: int, photos: int, seed: int, sketches: int = 0) -> None:
        super().__init__(items, seed=seed)
        self.classes, self.sketches, self.photos = classes, sketches, photos
        self.anchors, self.size = classes * sketches, classes * (sketches + photos)
        self._sketches: dict[int, Indices] = {}
        self._photos: dict[int, Indices] = {}
        for label in np.unique(items.labels).tolist():
            if sketches:
                self._sketches[label] = places(items, label, sketches=True)
            self._photos[label] = places(items, label, sketches=False)
        labels_of(items, classes)
        self._pairing = bool(sketches) and items.paired
        if self._pairing:
            require_pairs(items)
            if sketches != photos:
                raise InkseekError(
                    f"sketches and photos are paired here, so batch.sketches ({sketches}) and batch.photos ({photos}) "
                    "must be equal"
                )

    def _stream(self, generator: np.random.Generator) -> Iterator[Indices]:
        rounds = Rounds(np.array(list(self._photos)), generator)
        sketches = {label: Rounds(members, generator) for label, members in self._sketches.items()}
        photos = {label: Rounds(members, generator) for label, members in self._photos.items()}
        while True:
            labels = rounds.take(self.classes).tolist()
            chosen = [sketches[label].take(self.sketches) for label in labels] if sketches else []
            if self._pairing:
                met = [self._photos_of(own, label, generator) for own, label in zip(chosen, labels, strict=True)]
            else:
                met = [photos[label].take(self.photos) for label in labels]
            yield np.concatenate([*chosen, *met])

    def _photos_of(self, sketches: Indices, label: int, generator: np.random.Generator) -> Indices:
        photos = self._photos[label]
        instances = self.items.instances
        return np.array([generator.choice(photos[instances[photos] == instances[sketch]]) for sketch in sketches])
