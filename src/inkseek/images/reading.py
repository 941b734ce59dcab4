"""Any picture file, or bytes that claim to be one, safely to upright RGB pixels."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from inkseek.errors import InkseekError

PICTURE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

# Pillow tries every decoder it knows on hostile bytes otherwise (PostScript, Photoshop, fonts, ...).
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


class UnreadablePicture(InkseekError):
    """A file that is not a picture, is cut off, or is larger than the limit; the message names it and the reason."""


def read_picture(source: Path | bytes, *, at_least: int | None = None, max_megapixels: float = 100.0) -> Image.Image:
    """Decode a picture to RGB: upright by its EXIF orientation, transparency on white, first frame of an animation.

    Args:
        source: a file, or a file's bytes.
        at_least: JPEG files may be decoded at a reduced scale, never below this many pixels on the shorter side
            (Pillow's draft mode: several times faster on camera pictures).
        max_megapixels: larger pictures are refused before any pixel is decoded.

    Raises:
        UnreadablePicture: missing, empty, cut off, too large, or not a picture.
    """
    name = str(source) if isinstance(source, Path) else "the picture"
    try:
        if isinstance(source, Path) and source.stat().st_size == 0:
            raise UnreadablePicture(f"{name}: the file is empty (0 bytes)")
        stream = source if isinstance(source, Path) else io.BytesIO(source)
        with warnings.catch_warnings():
            # The limit below is ours, stated and tested; Pillow's own warning would be a second one.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(stream, formats=_FORMATS) as picture:
                megapixels = picture.width * picture.height / 1e6
                if megapixels > max_megapixels:
                    raise UnreadablePicture(
                        f"{name}: {megapixels:.0f} megapixels, more than the limit of {max_megapixels:.0f}"
                    )
                if at_least is not None:
                    picture.draft("RGB", (at_least, at_least))
                upright = ImageOps.exif_transpose(picture)
                return _on_white(upright)
    except UnreadablePicture:
        raise
    except Image.DecompressionBombError:
        raise UnreadablePicture(f"{name}: more megapixels than the limit of {max_megapixels:.0f}") from None
    except FileNotFoundError:
        raise UnreadablePicture(f"{name}: no such file") from None
    except IsADirectoryError:
        raise UnreadablePicture(f"{name}: a folder, not a picture") from None
    except UnidentifiedImageError:
        raise UnreadablePicture(
            f"{name}: not a picture in a format that is read here ({', '.join(_FORMATS)})"
        ) from None
    except Exception as error:  # decoders raise whatever their format's parser trips over
        raise UnreadablePicture(f"{name}: cannot be decoded ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16") or picture.mode in {"I", "F"}:
        # Pillow clips these to 255 instead of scaling them: a 16-bit scan would come out white.
        values = np.asarray(picture, dtype=np.float64)
        top = 65535.0 if values.max(initial=0.0) > 255.0 else 255.0
        picture = Image.fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8))
    if picture.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        ground = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(ground, layered).convert("RGB")
    return picture.convert("RGB")


def find_pictures(folder: Path) -> Iterator[Path]:
    """Yield the picture files below a folder in sorted order, by suffix; hidden files and folders are passed over.

    Links to folders are followed, each real folder once, so a loop of links ends.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            status = here.stat()
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError:
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        below: list[Path] = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = here / entry.name
            if entry.is_dir():
                below.append(path)
            elif path.suffix.lower() in PICTURE_SUFFIXES and entry.is_file():
                yield path
        waiting.extend(reversed(below))
