"""A small real gallery: pictures of shapes, drawn here, embedded by the real frozen model."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from PIL import Image, ImageDraw

from inkseek.gallery.search import Gallery, open_gallery
from inkseek.models.bundle import Model
from inkseek.server.app import create_app
from inkseek.server.serving import listen, url_of

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 10 circles and 10 crosses of several sizes and colours, an odd name, and an attribution."""
    folder = tmp_path_factory.mktemp("shapes")
    for i in range(10):
        box = (20 + 5 * i, 20, 200, 200 - 3 * i)
        colour = (20 * i, 100, 200 - 15 * i)
        for shape in ("circle", "cross"):
            picture = Image.new("RGB", (240, 220), "white")
            pen = ImageDraw.Draw(picture)
            if shape == "circle":
                pen.ellipse(box, outline=colour, width=10)
            else:
                pen.line(box, fill=colour, width=10)
                pen.line((box[2], box[1], box[0], box[3]), fill=colour, width=10)
            picture.save(folder / f"{shape}-{i}.png")
    (folder / "circle-0.png").rename(folder / "circle <img src=x onerror=alert(1)>.png")
    Image.new("RGB", (60, 40), "teal").save(folder / "scan.tif")
    (folder / "ATTRIBUTION.txt").write_text("Shapes by Ann, CC BY 4.0\n")
    return folder.resolve()


@pytest.fixture(scope="session")
def gallery_path(shapes: Path, frozen_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of the shapes."""
    path = tmp_path_factory.mktemp("gallery") / "shapes.db"
    gallery = open_gallery(path)
    gallery.add(shapes, frozen_model)
    gallery.close()
    return path


@pytest.fixture(scope="session")
def gallery(gallery_path: Path) -> Gallery:
    """The gallery of the shapes, open."""
    return open_gallery(gallery_path)


@contextmanager
def _serving(gallery: Gallery, port: int = 0) -> Iterator[str]:
    """Serve a gallery from a thread, for tests that stop the server on the way; give the page's address."""
    with listen("127.0.0.1", port) as listener:
        app = create_app(gallery, stopping=lambda: server.should_exit)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield url_of(listener, "127.0.0.1")
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def serving() -> Callable[..., AbstractContextManager[str]]:
    """Return what serves a gallery from a thread for the time of a `with`, and gives the page's address."""
    return _serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium, for one module: its event loop would be in the way of others."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium found: install chromium, chromium-browser or google-chrome")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield launched
        launched.close()
