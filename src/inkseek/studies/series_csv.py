"""A CSV of series, one line a point: what a run found that is not one number."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from inkseek.errors import InkseekError

HEADER = ("row", "seed", "digest", "series", "x", "y")
Key = tuple[str, str, str]
"""Row, seed and recipe digest of a run."""


def read_series(path: Path) -> dict[Key, dict[str, list[tuple[str, float]]]]:
    """Return run -> series' name -> points; nothing where there is no file.

    Raises:
        InkseekError: the file is not a CSV of series.
    """
    if not path.exists():
        return {}
    found: dict[Key, dict[str, list[tuple[str, float]]]] = {}
    try:
        header, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), strict=True)
        if tuple(header) != HEADER:
            raise ValueError("other columns")
        for row, seed, digest, series, x, y in rows:
            found.setdefault((row, seed, digest), {}).setdefault(series, []).append((x, float(y)))
    except (ValueError, csv.Error) as error:
        raise InkseekError(f"{path}: not a CSV of series ({error}); remove it, and its study's runs.csv") from None
    return found


def write_series(path: Path, key: Key, series: Mapping[str, Sequence[tuple[float | str, float]]]) -> None:
    """Put a run's series in the place of those that the file has of it; the file is replaced whole.

    Raises:
        InkseekError: the file is not a CSV of series, or cannot be written.
    """
    found = read_series(path)
    found.pop(key, None)
    if series:
        found[key] = {name: [(_text(x), y) for x, y in points] for name, points in series.items()}
    if not found:
        return
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(HEADER)
    for of, curves in found.items():
        for name, points in curves.items():
            lines.writerows((*of, name, x, f"{y:.6g}") for x, y in points)
    beside = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text.getvalue(), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise InkseekError(f"{path}: series cannot be written ({error.strerror})") from None


def _text(x: float | str) -> str:
    return x if isinstance(x, str) else f"{x:g}"
