"""A photo as a model sees it: the whole picture, made square."""

from __future__ import annotations

from PIL import Image


def prepare_photo(picture: Image.Image, size: int) -> Image.Image:
    """Resize an RGB picture to size x size, aspect ratio not kept.

    The whole picture stays in view, as in SAKE's and ZSE-SBIR's evaluation; a centre crop would cut the
    object out of many photos.
    """
    return picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)
