"""Training on pictures: the prepared, augmented pixels of each place of a batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from inkseek.datasets.items import Items
from inkseek.datasets.sampling import Draw
from inkseek.errors import InkseekError
from inkseek.images.augmentation import Augmentation
from inkseek.images.preprocessing import Pixels, Preparation
from inkseek.models.embedding import load_pixels
from inkseek.training.loader import Read, Source

# Prepared pictures are kept in memory up to this many bytes: decoding costs a tenth of a step on a CPU.
_KEEP = 1 << 30


class TrainingPixels(Source):
    """Draws to pixels.

    Augmentation, as replacement, is a function of (seed, step, position).

    Args:
        items: what draws refer to.
        prepare: how the model sees a picture.
        augmentation: what happens to the pixels.
        seed: of the run.
    """

    def __init__(self, items: Items, prepare: Preparation, augmentation: Augmentation, seed: int) -> None:
        super().__init__(items, seed)
        self.prepare, self.augmentation = prepare, augmentation
        self._kept: dict[int, Pixels] = {}
        self._unreadable: dict[int, str] = {}
        self._room = _KEEP

    def __getitem__(self, draw: Draw) -> Read:
        """Return the augmented pixels of one draw, or of what replaces it.

        Raises:
            InkseekError: no picture of the class and domain can be read.
        """
        read = super().__getitem__(draw)
        generator = np.random.default_rng((self.seed, draw.step, draw.position))
        return replace(read, inputs=self.augmentation(read.inputs, self.domain(read.index), generator))

    def read(self, index: int) -> Pixels | str:
        """Return an item's prepared pixels, those of a photo up to the crop."""
        if index in self._unreadable:
            return self._unreadable[index]
        pixels = self._kept.get(index)
        if pixels is None:
            try:
                pixels = load_pixels(self.items.paths[index], self.domain(index), self.prepare, uncropped=True)
            except InkseekError as error:
                self._unreadable[index] = str(error)
                return str(error)
            if pixels.nbytes <= self._room:
                self._kept[index] = pixels
                self._room -= pixels.nbytes
        return pixels
