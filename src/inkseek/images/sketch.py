"""A sketch as a model sees it: black ink on white, cropped to the ink, centred in a square."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from inkseek.errors import InkseekError

# A pixel is ink when it differs from the paper by more than this share of the sketch's own contrast, so that pale
# pencil counts as ink and paper grain does not.
_INK = 0.25
# Below this contrast (of 255) there is nothing but paper, compression noise included.
_LEAST_CONTRAST = 24
_MARGIN = 0.06


class BlankSketch(InkseekError):
    """A sketch without a single stroke: it has no place in an embedding and no answer in a search."""


def prepare_sketch(picture: Image.Image, size: int) -> Image.Image:
    """Return the sketch as size x size RGB: the ink's bounding box plus a margin, padded white to a square.

    Position and scale of the drawing on its paper carry nothing, so both are removed; the aspect ratio stays. Light ink
    on dark paper is turned round first, and the paper becomes white.

    Raises:
        BlankSketch: nothing is drawn.
    """
    grey = np.asarray(picture.convert("L"), dtype=np.uint8)
    if _border_median(grey) < 128:
        grey = 255 - grey
    paper = _border_median(grey)
    contrast = paper - float(grey.min(initial=255))
    if contrast < _LEAST_CONTRAST:
        raise BlankSketch("the sketch is blank: draw at least one stroke")
    ink = grey < paper - _INK * contrast
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    side = max(bottom - top, right - left)
    side += 2 * max(1, round(side * _MARGIN))
    # Stretch paper to white and the darkest ink to black, so that pencil and pen look alike.
    levels = np.clip((grey.astype(np.float32) - (paper - contrast)) * (255.0 / contrast), 0, 255).astype(np.uint8)
    square = Image.new("L", (side, side), 255)
    crop = Image.fromarray(levels[top:bottom, left:right])
    square.paste(crop, ((side - crop.width) // 2, (side - crop.height) // 2))
    return square.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0).convert("RGB")


def _border_median(grey: npt.NDArray[np.uint8]) -> float:
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return float(np.median(border))
