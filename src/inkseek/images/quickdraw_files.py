"""One drawing of a QuickDraw file: a line of JSON each, with the strokes in its field `drawing`."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

from inkseek.errors import InkseekError
from inkseek.images.strokes import Stroke

_LONGEST_LINE = 4 << 20


def read_drawing(path: Path, number: int = 1) -> list[Stroke]:
    """Return the strokes [(xs, ys), ...] of a drawing in an .ndjson file, simplified or raw (times are left out).

    Args:
        path: QuickDraw's file of a category.
        number: which drawing, from 1.

    Raises:
        InkseekError: no such file, no such drawing, or a line that is none.
    """
    if number < 1:
        raise InkseekError(f"{path}: drawings are counted from 1, not {number}")
    try:
        with path.open("rb") as file:
            lines = iter(lambda: file.readline(_LONGEST_LINE), b"")
            line = next(islice((line for line in lines if line.strip()), number - 1, None), None)
    except OSError as error:
        raise InkseekError(f"{path}: {error.strerror or error}") from None
    if line is None:
        raise InkseekError(f"{path}: has no drawing {number}; the first is 1")
    try:
        drawing = json.loads(line)["drawing"]
        strokes: list[Stroke] = [(list(map(float, xs)), list(map(float, ys))) for xs, ys, *_ in drawing]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise InkseekError(
            f"{path}: line {number} is no drawing; expected QuickDraw's JSON with a list of [xs, ys] under 'drawing'"
        ) from None
    return strokes
