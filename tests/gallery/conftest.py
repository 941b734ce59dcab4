"""Pictures to index: filled and outlined shapes, drawn here."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

Draw = Callable[[Path, int], list[Path]]


def draw_shape(path: Path, shape: str, seed: int) -> Path:
    """Write a picture of a circle, square or cross whose place, size and colour the seed decides."""
    chance = random.Random(seed)
    picture = Image.new("RGB", (300, 240), tuple(chance.randrange(225, 256) for _ in range(3)))
    pen = ImageDraw.Draw(picture)
    colour = tuple(chance.randrange(150) for _ in range(3))
    x, y, side = chance.randrange(20, 90), chance.randrange(10, 40), chance.randrange(120, 170)
    if shape == "circle":
        pen.ellipse((x, y, x + side, y + side), outline=colour, width=12)
    elif shape == "square":
        pen.rectangle((x, y, x + side, y + side), outline=colour, width=12)
    else:
        pen.line((x, y, x + side, y + side), fill=colour, width=12)
        pen.line((x + side, y, x, y + side), fill=colour, width=12)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


@pytest.fixture
def draw() -> Draw:
    """Return a function that fills a folder with n pictures of shapes, named after them."""

    def fill(folder: Path, n: int) -> list[Path]:
        shapes = ("circle", "square", "cross")
        return [draw_shape(folder / f"{shapes[i % 3]}-{i}.png", shapes[i % 3], i) for i in range(n)]

    return fill
