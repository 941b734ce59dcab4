"""How pictures become rows of Milvus and back, and filters become its language."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from PIL import Image

from inkseek.gallery.filters import Filter
from inkseek.gallery.store import Content, Entry, Picture, Stamp

PICTURE_FIELDS = ["id", "path", "size", "mtime_ns", "sha256", "width", "height"]
"""Of a row of the pictures, all but its vector."""

MOST_TEXT = 65_535
"""Bytes of a VARCHAR."""

_MOST_JPEG = MOST_TEXT // 4 * 3 - 3

Row = dict[str, Any]


def text_of(path: Path) -> str:
    """Return a path as in URLs: every byte beyond letters and digits as %XX."""
    return quote_from_bytes(os.fsencode(path), safe="/")


def path_of(text: str) -> Path:
    """Return the path that `text_of` has written."""
    return Path(os.fsdecode(unquote_to_bytes(text)))


def slots_of(text: str) -> list[int]:
    """Return the ids that a path may have: the first, and others for when another path has it."""
    digest = hashlib.sha256(text.encode()).digest()
    return [int.from_bytes(digest[8 * n : 8 * n + 8], "big") >> 11 or 1 for n in range(4)]


def picture_row(key: int, entry: Entry, content: Content) -> Row:
    """Return the row of a file: its id, and what is known of it."""
    return {
        "id": key,
        "path": text_of(entry.path),
        "size": entry.stamp.size,
        "mtime_ns": entry.stamp.mtime_ns,
        "sha256": entry.sha256.hex(),
        "width": content.width,
        "height": content.height,
        "vector": content.vector,
    }


def content_row(sha256: bytes, content: Content) -> Row:
    """Return the row of what is in all files with a hash."""
    return {
        "sha256": sha256.hex(),
        "width": content.width,
        "height": content.height,
        "thumbnail": base64.b64encode(_small_enough(content.thumbnail)).decode("ascii"),
        "vector": content.vector,
    }


def _small_enough(jpeg: bytes) -> bytes:
    """Return a thumbnail that fits into a field: one of pure noise is compressed harder."""
    quality = 75
    while len(jpeg) > _MOST_JPEG:
        buffer = io.BytesIO()
        Image.open(io.BytesIO(jpeg)).save(buffer, "JPEG", quality=quality)
        jpeg, quality = buffer.getvalue(), quality - 25
    return jpeg


def picture_of(row: Row) -> Picture:
    """Return the picture that a row stands for."""
    stamp = Stamp(row["size"], row["mtime_ns"])
    return Picture(row["id"], path_of(row["path"]), stamp, bytes.fromhex(row["sha256"]), row["width"], row["height"])


def below(folder: Path) -> str:
    """Return the filter of what lies below a folder."""
    # What lies below a folder starts with "FOLDER/", and "/" is followed by "0".
    start = text_of(folder).rstrip("/")
    return f'path >= "{start}/" and path < "{start}0"'


def where(only: Filter | None) -> str:
    """Return a filter in Milvus's language."""
    if only is None:
        return ""
    clauses: list[str] = []
    if only.folder is not None:
        clauses.append(below(only.folder))
    if only.from_ns is not None:
        clauses.append(f"mtime_ns >= {only.from_ns}")
    if only.until_ns is not None:
        clauses.append(f"mtime_ns < {only.until_ns}")
    if only.min_side is not None:
        clauses.append(f"width >= {only.min_side} and height >= {only.min_side}")
    return " and ".join(clauses)
