"""A picture's file, read once: its hash, the model's pixels, and what the gallery shows of it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from inkseek.errors import InkseekError
from inkseek.gallery.store import Stamp
from inkseek.images.preprocessing import Preparation
from inkseek.images.reading import decode

THUMBNAIL = 256
"""Pixels of a thumbnail's longer side, at most."""

# A file of more bytes is not held in memory, and so is read twice.
_MOST_HELD = 64 << 20

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Unreadable:
    """A file that could not be indexed, and why; `reached` tells whether its content was looked at."""

    path: Path
    reason: str
    reached: bool = True


@dataclass(frozen=True, eq=False)
class Fresh:
    """What is in a file that the gallery does not know yet: the model's pixels [S, S, 3] and what is shown of it."""

    pixels: Pixels
    width: int
    height: int
    thumbnail: bytes


@dataclass(frozen=True, eq=False)
class Read:
    """A file that was read; `fresh` is None when its content is known."""

    path: Path
    stamp: Stamp
    sha256: bytes
    fresh: Fresh | None


def stamp_of(path: Path) -> Stamp:
    """Return what tells that a file is still the same.

    Raises:
        OSError: it cannot be looked at.
    """
    status = path.stat()
    return Stamp(status.st_size, status.st_mtime_ns)


def read_file(path: Path, prepare: Preparation, known: Callable[[bytes], bool]) -> Read | Unreadable:
    """Read a file of this machine, and decode it unless its content's SHA-256 is known."""
    try:
        # The stamp is taken before the content: a file that changes meanwhile looks changed at the next run.
        stamp = stamp_of(path)
        with path.open("rb") as file:
            head = file.read(_MOST_HELD + 1)
            whole = len(head) <= _MOST_HELD
            file.seek(0)
            digest = hashlib.sha256(head) if whole else hashlib.file_digest(file, "sha256")
        sha256 = digest.digest()
        return Read(path, stamp, sha256, None if known(sha256) else examine(head if whole else path, path, prepare))
    except InkseekError as error:
        return Unreadable(path, str(error).removeprefix(f"{path}: "))
    except OSError as error:
        return Unreadable(path, error.strerror or str(error))


def examine(content: bytes | Path, name: Path, prepare: Preparation) -> Fresh:
    """Decode a picture once, at the smallest scale that serves both the model and the thumbnail.

    Raises:
        UnreadablePicture: see `decode`; the message calls it by `name`.
    """
    decoded = decode(content, name=name, sides=(prepare.at_least, max(prepare.at_least, THUMBNAIL)))
    pixels = prepare(decoded.picture, "photo")
    return Fresh(pixels, decoded.width, decoded.height, _thumbnail(decoded.picture))


def _thumbnail(picture: Image.Image) -> bytes:
    small, scale = picture, THUMBNAIL / max(picture.size)
    if scale < 1:
        # At least a pixel each way: a picture may be a thousand times as long as it is wide.
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        small = picture.resize(size, reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=82)
    return buffer.getvalue()
