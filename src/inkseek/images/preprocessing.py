"""The one way from a picture to a model's input, shared by training, evaluation and the application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from inkseek.images.photo import crop_centre, prepare_photo, resize_photo
from inkseek.images.sketch import prepare_sketch

Domain = Literal["sketch", "photo"]
Channels = Literal["rgb", "bgr"]
Pixels = npt.NDArray[np.uint8]

# Raised whenever the same picture would become different pixels: cached embeddings and galleries depend on it.
PREPROCESSING_VERSION = 1


@dataclass(frozen=True)
class Preparation:
    """From a picture to the uint8 pixels [size, size, 3] that a model sees.

    A sketch is cropped to its ink and centred in the square. A photo is squeezed into it whole, or, with `resize`,
    brought to that many pixels on its shorter side, aspect ratio kept, and cropped in the middle, as ImageNet models
    and SEC's experiments (Zhang et al., NeurIPS 2020: 256 and 227) have it.

    Attributes:
        size: the square's side.
        resize: photos' shorter side before the crop, at least `size`; None squeezes them.
    """

    size: int
    resize: int | None = None

    @property
    def at_least(self) -> int:
        """How many pixels the shorter side of a photo must be decoded with (`read_picture`)."""
        return self.resize or self.size

    def __call__(self, picture: Image.Image, domain: Domain) -> Pixels:
        """Prepare an RGB picture.

        Raises:
            BlankSketch: the domain is `sketch` and nothing is drawn.
        """
        if domain == "sketch":
            return np.asarray(prepare_sketch(picture, self.size), dtype=np.uint8)
        if self.resize is None:
            return np.asarray(prepare_photo(picture, self.size), dtype=np.uint8)
        return np.asarray(crop_centre(resize_photo(picture, self.resize), (self.size, self.size)), dtype=np.uint8)

    def uncropped(self, picture: Image.Image, domain: Domain) -> Pixels:
        """Prepare an RGB picture whose crop is still to come: of a photo that is resized, [H, W, 3].

        Raises:
            BlankSketch: the domain is `sketch` and nothing is drawn.
        """
        if domain == "sketch" or self.resize is None:
            return self(picture, domain)
        return np.asarray(resize_photo(picture, self.resize), dtype=np.uint8)


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
