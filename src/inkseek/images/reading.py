"""Any picture file, or bytes that claim to be one, safely to upright RGB pixels."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from inkseek.errors import InkseekError

_HEIC_SUFFIXES = frozenset({".heic", ".heif"})
PICTURE_SUFFIXES = _HEIC_SUFFIXES | {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}

# From this many megapixels on pictures are decoded one at a time, so that threads do not add up their memory.
_LARGE = 25.0
_one_large_at_a_time = threading.Lock()
_ORIENTATION, _ON_ITS_SIDE = 0x0112, frozenset({5, 6, 7, 8})
# What is laid on white at once: a copy or two of this many pixels are of no account.
_BAND = 1 << 22


@cache
def readable_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that are read here; AVIF and HEIF where their decoders are installed.

    Pillow tries every decoder it knows on hostile bytes otherwise (PostScript, Photoshop, fonts, ...).
    """
    formats = ["BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"]
    if features.check("avif"):
        formats.append("AVIF")
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return tuple(formats)
    register_heif_opener()
    return (*formats, "HEIF")


class UnreadablePicture(InkseekError):
    """A file that is not a picture, is cut off, or is larger than the limit; the message names it and the reason."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a picture's file shows.

    Attributes:
        picture: RGB, upright; a JPEG's may be at a reduced scale.
        width: of the whole picture, upright.
        height: of the whole picture, upright.
    """

    picture: Image.Image
    width: int
    height: int


def read_picture(source: Path | bytes, *, at_least: int | None = None, max_megapixels: float = 100.0) -> Image.Image:
    """Decode a picture to RGB: upright by its EXIF orientation, transparency on white, first frame of an animation.

    Args:
        source: a file, or a file's bytes.
        at_least: JPEG files may be decoded at a reduced scale, never below this many pixels on the shorter side
            (Pillow's draft mode: several times faster on camera pictures).
        max_megapixels: larger pictures are refused before any pixel is decoded. Decoding takes 8 to 18
            bytes a pixel, WebP the most; from 25 megapixels on one picture at a time.

    Raises:
        UnreadablePicture: missing, empty, cut off, too large, or not a picture.
    """
    sides = None if at_least is None else (at_least, at_least)
    return decode(source, sides=sides, max_megapixels=max_megapixels).picture


def decode(
    source: Path | bytes,
    *,
    name: Path | None = None,
    sides: tuple[int, int] | None = None,
    max_megapixels: float = 100.0,
) -> Decoded:
    """Decode a picture as `read_picture` does, and tell its full size.

    Args:
        source: a file, or a file's bytes.
        name: what messages call it; the file by default.
        sides: JPEG files may be decoded at a reduced scale, never below this many pixels on the shorter and on the
            longer side.
        max_megapixels: see `read_picture`.

    Raises:
        UnreadablePicture: missing, empty, cut off, too large, or not a picture.
    """
    named = name or (source if isinstance(source, Path) else None)
    said = "the picture" if named is None else str(named)
    try:
        if (source.stat().st_size if isinstance(source, Path) else len(source)) == 0:
            raise UnreadablePicture(f"{said}: the file is empty (0 bytes)")
        stream = source if isinstance(source, Path) else io.BytesIO(source)
        with warnings.catch_warnings():
            # The limit below is ours, stated and tested; Pillow's own warning would be a second one.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(stream, formats=readable_formats()) as picture:
                width, height = picture.size
                megapixels = width * height / 1e6
                if megapixels > max_megapixels:
                    raise UnreadablePicture(
                        f"{said}: {megapixels:.0f} megapixels, more than the limit of {max_megapixels:.0f}"
                    )
                if sides is not None:
                    picture.draft("RGB", _reduced(picture.size, sides))
                large = picture.width * picture.height / 1e6 > _LARGE
                with _one_large_at_a_time if large else nullcontext():
                    if picture.getexif().get(_ORIENTATION, 1) in _ON_ITS_SIDE:
                        width, height = height, width
                    ImageOps.exif_transpose(picture, in_place=True)
                    return Decoded(_on_white(picture), width, height)
    except UnreadablePicture:
        raise
    except Image.DecompressionBombError:
        raise UnreadablePicture(f"{said}: more megapixels than the limit of {max_megapixels:.0f}") from None
    except FileNotFoundError:
        raise UnreadablePicture(f"{said}: no such file") from None
    except IsADirectoryError:
        raise UnreadablePicture(f"{said}: a folder, not a picture") from None
    except UnidentifiedImageError:
        formats = readable_formats()
        if "HEIF" not in formats and named is not None and named.suffix.lower() in _HEIC_SUFFIXES:
            raise UnreadablePicture(f"{said}: HEIC is read by an extra: pip install 'inkseek[heic]'") from None
        raise UnreadablePicture(f"{said}: not a picture in a format that is read here ({', '.join(formats)})") from None
    except Exception as error:  # decoders raise whatever their format's parser trips over
        raise UnreadablePicture(f"{said}: cannot be decoded ({_reason(error)})") from None


def _reduced(size: tuple[int, int], sides: tuple[int, int]) -> tuple[int, int]:
    """Return the smallest size that a JPEG may be decoded at: with its shorter and longer side at least `sides`."""
    scales = (8, 4, 2)
    fits = (scale for scale in scales if min(size) >= scale * sides[0] and max(size) >= scale * sides[1])
    scale = next(fits, 1)
    return size[0] // scale, size[1] // scale


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16") or picture.mode in {"I", "F"}:
        # Pillow clips these to 255 instead of scaling them: a 16-bit scan would come out white.
        _, brightest = picture.getextrema()
        top = 65535.0 if cast(float, brightest) > 255.0 else 255.0
        return _by_bands(picture, lambda band: _scaled(band, 255.0 / top))
    if picture.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in picture.info:
        return _by_bands(picture, _composed)
    return picture.convert("RGB")


def _by_bands(picture: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Return the RGB picture that a conversion gives, converted a few rows at a time to spare memory."""
    whole = Image.new("RGB", picture.size)
    rows = max(1, _BAND // picture.width)
    for top in range(0, picture.height, rows):
        box = (0, top, picture.width, min(top + rows, picture.height))
        whole.paste(convert(picture.crop(box)), box)
    return whole


def _scaled(band: Image.Image, factor: float) -> Image.Image:
    values = np.asarray(band, dtype=np.float64) * factor
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).convert("RGB")


def _composed(band: Image.Image) -> Image.Image:
    layered = band.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")


def find_pictures(folder: Path, left_out: Callable[[Path, str], None] | None = None) -> Iterator[Path]:
    """Yield the picture files below a folder in sorted order, by suffix; hidden files and folders are passed over.

    Links to folders are followed, each real folder once, so a loop of links ends.

    Args:
        folder: where to look.
        left_out: told of each folder or link that cannot be entered, with the reason.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        below: list[Path] = []
        try:
            status = here.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(here) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if left_out is not None:
                left_out(here, error.strerror or str(error))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = here / entry.name
            try:
                if entry.is_dir():
                    below.append(path)
                elif path.suffix.lower() in PICTURE_SUFFIXES and entry.is_file():
                    yield path
            except OSError as error:
                # A link that leads to itself, for one.
                if left_out is not None:
                    left_out(path, error.strerror or str(error))
        waiting.extend(reversed(below))
