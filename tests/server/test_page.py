"""The page as people use it: a real browser draws, a real server with a real model answers."""

from __future__ import annotations

import math
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn

from inkseek.gallery.search import Gallery, open_gallery
from inkseek.models.bundle import Model
from inkseek.server.app import create_app
from inkseek.server.serving import listen, url_of

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.browser

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SERVER = """
import sys
from pathlib import Path
from inkseek.cli.serve import serve
serve(Path(sys.argv[1]), port=0, browse=False)
"""
Point = tuple[float, float]
CIRCLE: list[Point] = [(0.5 + 0.3 * math.cos(t / 5), 0.5 + 0.3 * math.sin(t / 5)) for t in range(33)]
DOWN: list[Point] = [(0.2, 0.2), (0.5, 0.5), (0.8, 0.8)]
UP: list[Point] = [(0.2, 0.8), (0.5, 0.5), (0.8, 0.2)]


@pytest.fixture(scope="module")
def url(gallery_path: Path) -> Iterator[str]:
    """Run `inkseek serve` in a process of its own and return the page's address."""
    command = [sys.executable, "-c", SERVER, str(gallery_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("Draw at ").strip()
        if sys.platform == "win32":
            process.terminate()
            return
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "Stopped." in told


@contextmanager
def serving(gallery: Gallery, port: int = 0) -> Iterator[str]:
    """Serve a gallery from a thread, for tests that stop the server on the way; give the page's address."""
    with listen("127.0.0.1", port) as listener:
        server = uvicorn.Server(uvicorn.Config(create_app(gallery), log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield url_of(listener, "127.0.0.1")
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium found: install chromium, chromium-browser or google-chrome")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield launched
        launched.close()


@dataclass
class Visit:
    """One visitor's page, with everything that went wrong on it."""

    page: Any
    problems: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", lambda m: self.problems.append(m.text) if m.type in {"error", "warning"} else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"data", "blob"} and parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
            self.foreign.append(url)

    def draw(self, points: list[Point]) -> None:
        box = self.page.locator("#canvas").bounding_box()
        on_page = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        self.page.mouse.move(*on_page[0])
        self.page.mouse.down()
        for x, y in on_page[1:]:
            self.page.mouse.move(x, y, steps=3)
        self.page.mouse.up()

    def strokes(self, count: int) -> None:
        name = "empty" if count == 0 else f"{count} stroke" + "s" * (count > 1)
        sync_api.expect(self.page.locator("#canvas")).to_have_attribute("aria-label", f"Drawing area, {name}")

    def best(self, shape: str) -> None:
        sync_api.expect(self.page.locator("#grid li").first.locator(".caption span").first).to_contain_text(shape)

    def tiles(self, count: int) -> None:
        sync_api.expect(self.page.locator("#grid li")).to_have_count(count)

    def says(self, text: str) -> None:
        sync_api.expect(self.page.get_by_text(text)).to_be_visible()


@pytest.fixture
def visit(browser: Any, url: str) -> Iterator[Callable[..., Visit]]:
    """Return a function that opens the page; at the end nothing may have gone wrong on any."""
    visits: list[Visit] = []

    def open_page(**options: Any) -> Visit:
        opened = Visit(browser.new_context(**options).new_page())
        opened.watch()
        visits.append(opened)
        opened.page.goto(url)
        return opened

    yield open_page
    for opened in visits:
        opened.page.context.close()
        assert opened.problems == []
        assert opened.foreign == []


def ink(page: Any) -> int:
    """Return how many pixels of the canvas are inked, in thousandths."""
    counted = page.evaluate(
        """async () => {
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
            const canvas = document.getElementById("canvas");
            const scratch = new OffscreenCanvas(canvas.width, canvas.height);
            const copy = scratch.getContext("2d", { willReadFrequently: true });
            copy.drawImage(canvas, 0, 0);
            const pixels = copy.getImageData(0, 0, canvas.width, canvas.height).data;
            let inked = 0;
            for (let i = 3; i < pixels.length; i += 4) inked += pixels[i] > 127;
            return Math.round(1000 * inked / (canvas.width * canvas.height));
        }"""
    )
    return int(counted)


def test_draw_see_draw_something_else(visit: Callable[..., Visit]) -> None:
    at = visit(viewport={"width": 1280, "height": 800})
    at.says("Draw what you are looking for")
    at.says("Pictures appear here while you draw")
    at.says("shapes.db · 21 pictures")
    at.says("Shapes by Ann, CC BY 4.0")
    at.tiles(0)

    at.draw(CIRCLE)
    at.strokes(1)
    at.best("circle")
    at.tiles(21)
    assert ink(at.page) > 5
    at.page.wait_for_function(
        "[...document.querySelectorAll('#grid img')].slice(0, 4).every((img) => img.naturalWidth > 0)"
    )

    at.page.keyboard.press("Delete")
    at.strokes(0)
    at.tiles(0)
    assert ink(at.page) == 0
    at.draw(DOWN)
    at.draw(UP)
    at.strokes(2)
    at.best("cross")

    at.page.keyboard.press("Control+z")
    at.strokes(1)
    at.page.get_by_role("button", name="Redo").click()
    at.strokes(2)
    at.best("cross")

    at.page.keyboard.press("e")
    sync_api.expect(at.page.get_by_role("button", name="Eraser")).to_have_attribute("aria-pressed", "true")
    at.draw([(0.7, 0.6), (0.7, 0.8)])
    at.strokes(1)
    at.draw([(0.05, 0.5), (0.1, 0.5)])
    at.strokes(1)
    at.page.get_by_role("button", name="Undo").click()
    at.strokes(2)
    at.draw([(0.5, 0.3), (0.5, 0.7)])
    at.strokes(0)
    at.tiles(0)
    at.says("Pictures appear here while you draw")
    at.page.get_by_role("button", name="Undo").click()
    at.best("cross")
    at.page.get_by_role("button", name="Clear").click()
    at.tiles(0)


def test_results_come_while_the_stroke_is_drawn(visit: Callable[..., Visit]) -> None:
    at = visit()
    box = at.page.locator("#canvas").bounding_box()
    at.page.mouse.move(box["x"] + 100, box["y"] + 100)
    at.page.mouse.down()
    at.page.mouse.move(box["x"] + 200, box["y"] + 200, steps=5)
    at.tiles(21)
    at.page.mouse.up()
    at.strokes(1)


def test_a_picture_large_and_more_like_it(visit: Callable[..., Visit], shapes: Path) -> None:
    at = visit(permissions=["clipboard-read", "clipboard-write"])
    at.draw(DOWN)
    at.draw(UP)
    at.best("cross")
    at.page.locator("#grid button").first.click()
    dialog = at.page.get_by_role("dialog")
    sync_api.expect(dialog).to_be_visible()
    name = at.page.locator("#lightbox-name").inner_text()
    sync_api.expect(at.page.locator("#lightbox-path")).to_have_text(str(shapes / name))
    sync_api.expect(at.page.locator("#lightbox-facts")).to_contain_text("220 pixels")
    sync_api.expect(at.page.locator("#lightbox-picture")).to_have_attribute("src", re.compile("/api/pictures/"))
    at.page.get_by_role("button", name="Copy path").click()
    sync_api.expect(at.page.locator("#copy")).to_have_text("Copied")
    assert at.page.evaluate("navigator.clipboard.readText()") == str(shapes / name)
    at.page.keyboard.press("ArrowRight")
    sync_api.expect(at.page.locator("#lightbox-name")).not_to_have_text(name)
    at.page.keyboard.press("ArrowLeft")
    sync_api.expect(at.page.locator("#lightbox-name")).to_have_text(name)
    at.page.keyboard.press("Escape")
    sync_api.expect(dialog).to_be_hidden()
    sync_api.expect(at.page.locator("#grid button").first).to_be_focused()

    at.page.locator("#grid button").first.click()
    at.page.get_by_role("button", name="More like this").click()
    at.says(f"More like {name}")
    at.tiles(20)
    sync_api.expect(at.page.locator("#grid").get_by_text(name, exact=True)).to_have_count(0)
    at.page.get_by_role("button", name="Back to the drawing").click()
    at.tiles(21)
    at.strokes(2)


def test_the_drawing_survives_resizing_and_turns_with_the_colours(visit: Callable[..., Visit]) -> None:
    at = visit(viewport={"width": 1280, "height": 800})
    at.draw(CIRCLE)
    at.strokes(1)
    before = ink(at.page)
    at.page.set_viewport_size({"width": 600, "height": 900})
    at.page.set_viewport_size({"width": 900, "height": 600})
    at.strokes(1)
    assert abs(ink(at.page) - before) <= 3
    at.page.emulate_media(color_scheme="dark")
    assert abs(ink(at.page) - before) <= 3
    assert at.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 27)"


def test_touch_on_a_phone_and_a_touch_that_is_taken_away(visit: Callable[..., Visit]) -> None:
    at = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert at.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    at.page.evaluate(
        """(points) => {
            const canvas = document.getElementById("canvas");
            const box = canvas.getBoundingClientRect();
            canvas.setPointerCapture = () => {};
            const send = (type, [x, y], id) => canvas.dispatchEvent(new PointerEvent(type, {
                pointerId: id, pointerType: "touch", isPrimary: true, bubbles: true, cancelable: true,
                clientX: box.left + x * box.width, clientY: box.top + y * box.height,
            }));
            send("pointerdown", points[0], 5);
            for (const point of points) send("pointermove", point, 5);
            send("pointerdown", [0.9, 0.9], 6);
            send("pointermove", [0.1, 0.9], 6);
            send("pointerup", [0.1, 0.9], 6);
            send("pointerup", points.at(-1), 5);
            send("pointerdown", [0.1, 0.1], 7);
            send("pointermove", [0.9, 0.1], 7);
            send("pointercancel", [0.9, 0.1], 7);
        }""",
        CIRCLE,
    )
    at.strokes(1)
    at.best("circle")


def test_a_name_of_a_file_stays_a_name(visit: Callable[..., Visit]) -> None:
    at = visit()
    at.draw(CIRCLE)
    at.tiles(21)
    sync_api.expect(at.page.locator("#grid").get_by_text("circle <img src=x onerror=alert(1)>.png")).to_have_count(1)
    assert at.page.locator("img[src='x']").count() == 0


def test_a_lost_connection_is_said_and_found_again(browser: Any, gallery: Gallery) -> None:
    at = Visit(browser.new_page())
    with serving(gallery) as address:
        at.page.goto(address)
        at.says("21 pictures")
    at.draw(CIRCLE)
    at.says("No connection to the server")
    with serving(gallery, urlsplit(address).port or 0):
        sync_api.expect(at.page.locator("#banner")).to_be_hidden(timeout=20_000)
        at.best("circle")
        at.page.close()


def test_an_empty_gallery_says_how_to_fill_it(browser: Any, shapes: Path, frozen_model: Model, tmp_path: Path) -> None:
    own = open_gallery(tmp_path / "own.db")
    own.add(shapes, frozen_model)
    store = own.store
    store.remove([picture.path for picture in store.pictures(store.ids().tolist())])
    at = Visit(browser.new_page())
    with serving(own) as address:
        at.page.goto(address)
        at.says("This gallery is empty")
        at.says("inkseek index FOLDER --gallery own.db")
        at.draw(CIRCLE)
        at.strokes(1)
        at.says("This gallery is empty")
        at.page.close()
