"""Small random changes to prepared pixels during training, drawn from a generator that the caller seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from inkseek.images.photo import crop_centre
from inkseek.images.preprocessing import Domain, Pixels

# A random crop is between 3:4 and 4:3, and redrawn this often where it does not fit.
_ASPECT = 4 / 3
_DRAWS = 10


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training picture; evaluation never uses it.

    Attributes:
        flip: probability of a left-right flip.
        rotation: sketches turn by up to this many degrees either way.
        scale: sketches shrink, and photos are cropped, to no less than this share of the side; of photos that come
            uncropped, to no less than its square of the area.
        stroke: probability that a sketch's lines become thicker; thinner would erase the finest pens.
        colour: photos' brightness, contrast and saturation vary by up to this share.
        grey: probability that a photo loses its colours, as a sketch has none.
        crop: photos come uncropped, and leave as squares of this side; None where they are squares already.
    """

    flip: float = 0.5
    rotation: float = 10.0
    scale: float = 0.75
    stroke: float = 0.5
    colour: float = 0.3
    grey: float = 0.2
    crop: int | None = None

    def __call__(self, pixels: Pixels, domain: Domain, generator: np.random.Generator) -> Pixels:
        """Return changed pixels [S, S, 3]; the same generator state gives the same pixels."""
        picture = Image.fromarray(pixels)
        if generator.random() < self.flip:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        changed = self._sketch(picture, generator) if domain == "sketch" else self._photo(picture, generator)
        return np.asarray(changed, dtype=np.uint8)

    def _sketch(self, picture: Image.Image, generator: np.random.Generator) -> Image.Image:
        size = picture.width
        grey = picture.convert("L")
        if generator.random() < self.stroke:
            grey = grey.filter(ImageFilter.MinFilter(3))
        angle = np.deg2rad(generator.uniform(-self.rotation, self.rotation))
        # Scale both ways by up to half of the loss allowed on one side: ink reaches the margin, not beyond it.
        scale_x, scale_y = generator.uniform(self.scale, 1.0, size=2)
        slack_x, slack_y = (1 - scale_x) * size / 2, (1 - scale_y) * size / 2
        shift_x, shift_y = generator.uniform(-slack_x, slack_x), generator.uniform(-slack_y, slack_y)
        centre = size / 2
        # PIL wants output -> input.
        cos, sin = np.cos(angle), np.sin(angle)
        a, b, d, e = cos / scale_x, sin / scale_x, -sin / scale_y, cos / scale_y
        c = centre - a * (centre + shift_x) - b * (centre + shift_y)
        f = centre - d * (centre + shift_x) - e * (centre + shift_y)
        turned = grey.transform(
            grey.size, Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR, fillcolor=255
        )
        return turned.convert("RGB")

    def _photo(self, picture: Image.Image, generator: np.random.Generator) -> Image.Image:
        picture = self._squeezed(picture, generator) if self.crop is None else self._cropped(picture, generator)
        values = np.asarray(picture, dtype=np.float32)
        luma = values @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
        brightness, contrast, saturation = 1 + generator.uniform(-self.colour, self.colour, size=3)
        if generator.random() < self.grey:
            saturation = 0.0
        values = luma[..., None] + saturation * (values - luma[..., None])
        middle = float(luma.mean())
        values = (middle + contrast * (values - middle)) * brightness
        return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))

    def _squeezed(self, picture: Image.Image, generator: np.random.Generator) -> Image.Image:
        size = picture.width
        width, height = generator.uniform(self.scale, 1.0, size=2) * size
        left, top = generator.uniform(0, size - width), generator.uniform(0, size - height)
        box = left, top, left + width, top + height
        return picture.resize((size, size), Image.Resampling.BILINEAR, box=box)

    def _cropped(self, picture: Image.Image, generator: np.random.Generator) -> Image.Image:
        """A crop of random area and aspect ratio (Szegedy et al., Going Deeper with Convolutions, CVPR 2015)."""
        assert self.crop is not None, "photos come uncropped"
        square = self.crop, self.crop
        if self.scale == 1:
            return crop_centre(picture, square)
        width, height = self._size_of_crop(*picture.size, generator)
        left, top = generator.uniform(0, picture.width - width), generator.uniform(0, picture.height - height)
        return picture.resize(square, Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))

    def _size_of_crop(self, most_wide: int, most_high: int, generator: np.random.Generator) -> tuple[float, float]:
        for _ in range(_DRAWS):
            area = generator.uniform(self.scale**2, 1.0) * most_wide * most_high
            aspect = np.exp(generator.uniform(-np.log(_ASPECT), np.log(_ASPECT)))
            width, height = float(np.sqrt(area * aspect)), float(np.sqrt(area / aspect))
            if width <= most_wide and height <= most_high:
                return width, height
        return min(most_wide, most_high * _ASPECT), min(most_high, most_wide * _ASPECT)
