"""A CSV of results that several processes may append to: rows are whole, and none is lost."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from inkseek.cache import cache_folder
from inkseek.errors import InkseekError

COLUMNS = ("command", "recipe", "protocol", "seed", "commit", "hardware", "versions")
"""The columns of a CSV of results that stand before its metrics."""


def append_row(path: Path, row: Mapping[str, str]) -> None:
    """Append a row; the file is made where there is none.

    Where the row has columns that the file lacks, the file is rewritten with the union of both, whole or not at all.
    Processes of one user wait for each other at a lock in the cache folder, so that nothing stays beside the file.

    Args:
        path: the file.
        row: column -> cell; `COLUMNS` among them.

    Raises:
        InkseekError: the file is not a CSV of results, or ends in the middle of a row; it is left as it is. Or it
            cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_lock_of(path)):
            before = _read(path)
            if before is not None and set(row) <= set(before[0]):
                # One write of a whole line: a kill leaves all of it or nothing.
                with path.open("ab", buffering=0) as file:
                    file.write(_lines([[row.get(name, "") for name in before[0]]]))
                return
            header, rows = before or (list(COLUMNS), [])
            header = [*header, *(name for name in row if name not in header)]
            rows = [[*old, *[""] * (len(header) - len(old))] for old in rows]
            _replace(path, _lines([header, *rows, [row.get(name, "") for name in header]]))
    except OSError as error:
        raise InkseekError(f"{path}: results cannot be written ({error.strerror})") from None


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV of results, column -> cell; none where there is no file.

    Raises:
        InkseekError: the file is not a CSV of results, or ends in the middle of a row.
    """
    try:
        header, rows = _read(path) or ([], [])
    except OSError as error:
        raise InkseekError(f"{path}: cannot be read ({error.strerror})") from None
    return [dict(zip(header, cells, strict=True)) for cells in rows]


def _lock_of(path: Path) -> Path:
    folder = cache_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{hashlib.sha256(str(path.resolve()).encode('utf-8', 'surrogateescape')).hexdigest()[:24]}.lock"


def _read(path: Path) -> tuple[list[str], list[list[str]]] | None:
    """Return header and rows of a CSV of results, or None where there is no file or an empty one."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if not content:
        return None
    try:
        table = list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        table = []
    if not table or tuple(table[0][: len(COLUMNS)]) != COLUMNS or len(set(table[0])) != len(table[0]):
        raise InkseekError(f"{path}: not a CSV of results (its columns begin {', '.join(COLUMNS)}); give another file")
    header, rows = table[0], table[1:]
    torn = [n for n, cells in enumerate(rows, start=2) if len(cells) != len(header)]
    if torn or not content.endswith(b"\n"):
        line = torn[0] if torn else len(table)
        raise InkseekError(f"{path}: row {line} is not whole; repair or remove it, and the row can be added")
    return header, rows


def _lines(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files for the owner alone; results are read by others.
        beside.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
