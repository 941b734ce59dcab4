"""The README's picture of the page: a cat drawn over the emoji set, whose art is attributed on the page.

`make screenshot` takes it anew, over the demo's own gallery; otherwise the emoji of animals are enough.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inkseek.datasets.emoji import open_emoji
from inkseek.gallery.search import Gallery, open_gallery
from inkseek.models.bundle import Model

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.browser

Point = tuple[float, float]
DEMO = Path("runs/demo/gallery.db")
CAPTURE = os.environ.get("INKSEEK_SCREENSHOT")


def ellipse(x: float, y: float, width: float, height: float) -> list[Point]:
    angles = [t / 32 * 2 * math.pi for t in range(33)]
    return [(x + width * math.cos(angle), y + height * math.sin(angle)) for angle in angles]


CAT: list[list[Point]] = [
    ellipse(0.5, 0.55, 0.28, 0.24),
    [(0.26, 0.42), (0.25, 0.3), (0.25, 0.17), (0.33, 0.24), (0.42, 0.32)],
    [(0.58, 0.32), (0.67, 0.24), (0.75, 0.17), (0.75, 0.3), (0.74, 0.42)],
    ellipse(0.4, 0.5, 0.03, 0.03),
    ellipse(0.6, 0.5, 0.03, 0.03),
    [(0.46, 0.6), (0.54, 0.6), (0.5, 0.65), (0.46, 0.6)],
    [(0.5, 0.65), (0.47, 0.69), (0.43, 0.69), (0.41, 0.66)],
    [(0.5, 0.65), (0.53, 0.69), (0.57, 0.69), (0.59, 0.66)],
    [(0.12, 0.57), (0.35, 0.62)],
    [(0.12, 0.7), (0.35, 0.66)],
    [(0.65, 0.62), (0.88, 0.57)],
    [(0.65, 0.66), (0.88, 0.7)],
]


@pytest.fixture
def emoji_gallery(emoji_root: Path, frozen_model: Model, tmp_path: Path) -> Gallery:
    """The demo's gallery where the picture is for the README; else one of the emoji of mammals."""
    if CAPTURE:
        return open_gallery(DEMO)
    photos = open_emoji(emoji_root, None).root / "photo"
    (tmp_path / "own").mkdir()
    for folder in photos.glob("*/animal-mammal"):
        shutil.copytree(folder, tmp_path / "own" / folder.parent.name)
    shutil.copyfile(next(photos.parent.rglob("ATTRIBUTION.txt")), tmp_path / "own" / "ATTRIBUTION.txt")
    gallery = open_gallery(tmp_path / "emoji.db")
    gallery.add(tmp_path / "own", frozen_model)
    return gallery


def test_a_cat_is_drawn(
    emoji_gallery: Gallery,
    serving: Callable[..., AbstractContextManager[str]],
    browser: Any,
    tmp_path: Path,
) -> None:
    target = Path(CAPTURE) if CAPTURE else tmp_path / "page.png"
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    with serving(emoji_gallery) as address:
        page.goto(address)
        sync_api.expect(page.get_by_text("CC BY-SA 4.0")).to_be_visible()
        box = page.locator("#canvas").bounding_box()
        for stroke in CAT:
            (x, y), *rest = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
            page.mouse.move(x, y)
            page.mouse.down()
            for x, y in rest:
                page.mouse.move(x, y)
            page.mouse.up()
        page.mouse.move(1, 1)
        sync_api.expect(page.locator("#grid li:not(.cut)")).to_have_count(40, timeout=20_000)
        sync_api.expect(page.locator("#grid")).not_to_have_attribute("aria-busy", "true")
        for image in page.locator("#grid img").all()[:12]:
            sync_api.expect(image).to_have_js_property("complete", True)
        page.wait_for_timeout(400)  # tiles fade in
        page.screenshot(path=target)
        page.close()
    colours = np.asarray(Image.open(target).convert("RGB"))
    drawing, found = colours[80:600, 40:570], colours[100:780, 620:1240]
    assert (drawing.max(axis=2) < 90).mean() > 0.01  # ink
    assert (np.ptp(found.astype(int), axis=2) > 60).mean() > 0.05  # colourful pictures
