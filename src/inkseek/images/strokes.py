"""Strokes, kept as points, to pixels: QuickDraw's files and the drawing page meet the model through here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from inkseek.errors import InkseekError
from inkseek.images.sketch import BlankSketch

Stroke = tuple[Sequence[float], Sequence[float]]

# Pen width as a share of the drawing's longer side: about what QuickDraw's own renderings have.
PEN = 0.024
_OVERSAMPLE = 4
_MARGIN = 0.06
_MOST_POINTS = 200_000
_WIDEST = 4.0


def draw_strokes(strokes: Sequence[Stroke], size: int = 256, *, widths: Sequence[float] | None = None) -> Image.Image:
    """Draw strokes black on white, fitted to a size x size square with their aspect ratio kept.

    Args:
        strokes: each stroke is (xs, ys), as in the `drawing` field of QuickDraw's simplified files; any unit, y down.
        size: the square's side in pixels. The pen's width follows the drawing's size, not its coordinates.
        widths: each stroke's width as a multiple of the usual pen's, in (0, 4]; the usual pen throughout if left out.

    Raises:
        BlankSketch: no stroke holds a point.
        InkseekError: a stroke's xs and ys differ in length, a coordinate is not finite, there are too many points, or
            the widths are not one for each stroke.
    """
    widths = [1.0] * len(strokes) if widths is None else widths
    if len(widths) != len(strokes):
        raise InkseekError(f"there are {len(widths)} widths for {len(strokes)} strokes; give each stroke one, or none")
    if not all(0 < width <= _WIDEST for width in widths):
        raise InkseekError(f"a stroke's width must be above 0 and at most {_WIDEST:.0f} times the usual pen's")
    points = [list(zip(map(float, xs), map(float, ys), strict=False)) for xs, ys in strokes]
    if any(len(xs) != len(ys) for xs, ys in strokes):
        raise InkseekError("a stroke needs as many x as y coordinates")
    flat = [point for stroke in points for point in stroke]
    if not flat:
        raise BlankSketch("the sketch is blank: draw at least one stroke")
    if len(flat) > _MOST_POINTS:
        raise InkseekError(f"the drawing has {len(flat)} points, more than {_MOST_POINTS}")
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in flat):
        raise InkseekError("a stroke's coordinates must be finite numbers")
    left, right = min(x for x, _ in flat), max(x for x, _ in flat)
    top, bottom = min(y for _, y in flat), max(y for _, y in flat)
    canvas = size * _OVERSAMPLE
    inner = canvas * (1 - 2 * _MARGIN)
    extent = max(right - left, bottom - top)
    # A single dot has no extent: it is drawn as a dot in the middle.
    scale = inner / extent if extent > 0 else 0.0
    if not math.isfinite(extent) or not math.isfinite(scale):
        raise InkseekError("a stroke's coordinates are too far apart or too close together to draw")
    dx = (canvas - (right - left) * scale) / 2
    dy = (canvas - (bottom - top) * scale) / 2
    image = Image.new("L", (canvas, canvas), 255)
    pen = ImageDraw.Draw(image)
    for stroke, multiple in zip(points, widths, strict=True):
        width = max(_OVERSAMPLE, round(inner * PEN * multiple))
        radius = width / 2
        placed = [(dx + (x - left) * scale, dy + (y - top) * scale) for x, y in stroke]
        if len(placed) > 1:
            pen.line(placed, fill=0, width=width, joint="curve")
        for x, y in placed[:1] + placed[-1:]:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    return image.resize((size, size), Image.Resampling.BOX).convert("RGB")
