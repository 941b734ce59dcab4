"""What a data loader reads: the prepared, augmented pixels of each place of a batch."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from inkseek.datasets.items import Items
from inkseek.datasets.sampling import Draw
from inkseek.images.augmentation import Augmentation
from inkseek.images.preprocessing import Domain
from inkseek.models.embedding import load_pixels

# Prepared pictures are kept in memory up to this many bytes: decoding costs a tenth of a step on a CPU.
_KEEP = 1 << 30


class TrainingPixels(Dataset[tuple[npt.NDArray[np.uint8], int]]):
    """Draws to (pixels uint8 [S, S, 3], index of the item).

    Args:
        items: what draws refer to.
        size: S.
        augmentation: applied with a generator seeded by (seed, step, position), so that workers change nothing.
        seed: of the run.
    """

    def __init__(self, items: Items, size: int, augmentation: Augmentation, seed: int) -> None:
        self.items, self.size, self.augmentation, self.seed = items, size, augmentation, seed
        self._kept: dict[int, npt.NDArray[np.uint8]] = {}
        self._room = _KEEP // (size * size * 3)

    def __getitem__(self, draw: Draw) -> tuple[npt.NDArray[np.uint8], int]:
        """Return the pixels of one draw.

        Raises:
            InkseekError: the picture is unreadable or blank; the message names the file.
        """
        domain = cast("Domain", str(self.items.domains[draw.index]))
        pixels = self._kept.get(draw.index)
        if pixels is None:
            pixels = load_pixels(self.items.paths[draw.index], domain, self.size)
            if len(self._kept) < self._room:
                self._kept[draw.index] = pixels
        generator = np.random.default_rng((self.seed, draw.step, draw.position))
        return self.augmentation(pixels, domain, generator), draw.index
