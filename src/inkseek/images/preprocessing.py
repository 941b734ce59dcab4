"""The one way from a picture to a model's input, shared by training, evaluation and the application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from inkseek.images.photo import prepare_photo
from inkseek.images.sketch import prepare_sketch

Domain = Literal["sketch", "photo"]
Channels = Literal["rgb", "bgr"]

# Raised whenever the same picture would become different pixels: cached embeddings and galleries depend on it.
PREPROCESSING_VERSION = 1


def prepare(picture: Image.Image, domain: Domain, size: int) -> npt.NDArray[np.uint8]:
    """Return the picture as the uint8 pixels [size, size, 3] that a model of that input size sees.

    Raises:
        BlankSketch: the domain is `sketch` and nothing is drawn.
    """
    square = prepare_sketch(picture, size) if domain == "sketch" else prepare_photo(picture, size)
    return np.asarray(square, dtype=np.uint8)


@dataclass(frozen=True)
class Normalisation:
    """What is done to pixels before the first layer, as a backbone was trained with.

    Attributes:
        mean: of red, green and blue in [0, 1]; subtracted.
        std: of red, green and blue in [0, 1]; divided by.
        channels: the order in which the network takes them.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channels: Channels = "rgb"

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Turn uint8 RGB pixels [N, H, W, 3] into a normalised float32 batch [N, 3, H, W]."""
        mean = torch.tensor(self.mean, device=pixels.device)
        std = torch.tensor(self.std, device=pixels.device)
        normalised = (pixels.to(torch.float32) / 255 - mean) / std
        if self.channels == "bgr":
            normalised = normalised.flip(-1)
        return normalised.permute(0, 3, 1, 2)
