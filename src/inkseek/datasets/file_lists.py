"""Text files that list a data set's pictures, hostile until checked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inkseek.errors import InkseekError

# The longest official list (QuickDraw-Extended's seen sketches) is about 10 MB.
_LARGEST = 64 * 2**20


def read_lines(path: Path) -> list[str]:
    """Return a list's lines without blank ones.

    Raises:
        InkseekError: missing, larger than any list, or not UTF-8 text.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise InkseekError(f"{path}: larger than {_LARGEST >> 20} MB, which no list of pictures is")
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InkseekError(f"{path}: no such file") from None
    except OSError as error:
        raise InkseekError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InkseekError(f"{path}: not a text file in UTF-8") from None
    if "\0" in text:
        raise InkseekError(f"{path}: not a text file (it holds zero bytes)")
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_rows(path: Path, columns: Sequence[str], *, skip: int = 0) -> list[tuple[str, ...]]:
    """Return a list's lines split at blanks; the column `path` may hold blanks itself.

    Args:
        path: the list.
        columns: what a line holds, in order. Columns that begin with a number sign are whole numbers.
        skip: lines of heading.

    Raises:
        InkseekError: what `read_lines` finds wrong, no line at all, or a line that does not fit (the first is named).
    """
    lines = read_lines(path)[skip:]
    after = len(columns) - 1 - columns.index("path") if "path" in columns else 0
    before = len(columns) - 1 - after
    rows: list[tuple[str, ...]] = []
    for number, line in enumerate(lines, start=1 + skip):
        head = line.split(None, before)
        values = (*head[:-1], *head[-1].rsplit(None, after))
        fits = len(values) == len(columns) and all(
            value.isdecimal() for column, value in zip(columns, values, strict=False) if column.startswith("#")
        )
        if not fits:
            wanted = " ".join(f"<{column}>" for column in columns)
            raise InkseekError(f"{path}: line {number} is {line[:80]!r}, expected {wanted}")
        rows.append(values)
    if not rows:
        raise InkseekError(f"{path}: lists nothing")
    return rows


def relative_path(text: str, where: Path | str) -> str:
    """Return a listed path with forward slashes.

    Raises:
        InkseekError: it is absolute or climbs out of its folder with `..`.
    """
    parts = text.replace("\\", "/").split("/")
    if not parts[0] or ":" in parts[0] or ".." in parts or "\0" in text:
        raise InkseekError(f"{where}: {text[:80]!r} leads out of the data set's folder; write it relative to it")
    return "/".join(part for part in parts if part != ".")


def present(root: Path, names: Sequence[str], listed_in: str) -> tuple[npt.NDArray[np.bool_], tuple[str, ...]]:
    """Say which of the listed files are below the root, and a note where some are not.

    Every folder is read once, which is much faster than asking for 100,000 files one by one.
    """
    folders: dict[str, set[str]] = {}
    found = np.zeros(len(names), dtype=bool)
    for i, name in enumerate(names):
        folder, _, file = name.rpartition("/")
        if folder not in folders:
            folders[folder] = set()
            with contextlib.suppress(OSError), os.scandir(root / folder) as entries:
                folders[folder].update(entry.name for entry in entries)
        found[i] = file in folders[folder]
    missing = np.flatnonzero(~found)
    if not len(missing):
        return found, ()
    what = f"{len(missing):,} of the {len(names):,} files that {listed_in} lists are missing"
    return found, (f"{what}, the first {names[missing[0]]}",)
