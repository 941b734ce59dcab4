"""What is asked: drawings, pictures, or pictures of the gallery itself, each with a weight, as one vector."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from inkseek.errors import InkseekError
from inkseek.images.preprocessing import Domain
from inkseek.images.reading import read_picture
from inkseek.images.strokes import Stroke, draw_strokes

Query = str | os.PathLike[str] | Image.Image | Sequence[Stroke]

# Below this length a sum of unit vectors points nowhere: what is left is rounding.
_NOTHING = 1e-3


@dataclass(frozen=True)
class Example:
    """One of the things that a search is about.

    Attributes:
        query: a picture's file, a picture, strokes [(xs, ys), ...], or the id of one of the gallery's own pictures.
        weight: how much it counts; a minus example, what is not wanted, has a weight below zero.
        domain: `sketch` for a drawing, `photo` for "more like this"; of no account for an id.
    """

    query: Query | int
    weight: float = 1.0
    domain: Domain = "sketch"


def picture_of(query: Query) -> Image.Image:
    """Return a query as a picture.

    Raises:
        InkseekError: no such file or unreadable; strokes that are blank or broken.
    """
    if isinstance(query, str | os.PathLike):
        return read_picture(Path(query).expanduser())
    return query if isinstance(query, Image.Image) else draw_strokes(query)


def combine(vectors: npt.NDArray[np.float32], weights: Sequence[float]) -> npt.NDArray[np.float32]:
    """Return the direction of several examples: sum_i w_i v_i at unit length (Rocchio, 1971, both signs in one sum).

    Args:
        vectors: unit vectors [N, dim].
        weights: [N]; below zero for what is not wanted.

    Raises:
        InkseekError: a weight that is no number, none above or below zero, or examples that cancel each other out.
    """
    if not all(map(math.isfinite, weights)):
        raise InkseekError("the weight of an example must be a finite number")
    largest = max(map(abs, weights), default=0.0)
    if largest == 0:
        raise InkseekError("no example has a weight; give at least one a weight other than 0")
    # Only the ratios of the weights matter; scaled by the largest, their size cannot overflow.
    total = np.asarray([weight / largest for weight in weights]) @ vectors.astype(np.float64)
    length = float(np.linalg.norm(total))
    if length < _NOTHING:
        raise InkseekError("the examples cancel each other out; change a weight or leave one out")
    return (total / length).astype(np.float32)
