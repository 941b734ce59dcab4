"""A photo as a model sees it: the whole picture made square, or the middle of it."""

from __future__ import annotations

from PIL import Image

# Beyond this many times its height (or width), a picture is cut before it is resized: it would take too much memory.
_LONGEST = 8


def prepare_photo(picture: Image.Image, size: int) -> Image.Image:
    """Resize an RGB picture to size x size, aspect ratio not kept.

    The whole picture stays in view, as in SAKE's and ZSE-SBIR's evaluation; a centre crop would cut the
    object out of many photos.
    """
    return picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)


def resize_photo(picture: Image.Image, shorter: int) -> Image.Image:
    """Resize an RGB picture until its shorter side has so many pixels, aspect ratio kept."""
    width, height = picture.size
    most = _LONGEST * min(width, height)
    if max(width, height) > most:
        picture = crop_centre(picture, (min(width, most), min(height, most)))
        width, height = picture.size
    target = int(shorter * width / min(width, height)), int(shorter * height / min(width, height))
    return picture.convert("RGB").resize(target, Image.Resampling.BILINEAR)


def crop_centre(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Cut width x height out of the middle."""
    left, top = (round((side - kept) / 2) for side, kept in zip(picture.size, size, strict=True))
    return picture.crop((left, top, left + size[0], top + size[1]))
