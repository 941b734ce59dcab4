"""The page as people use it: a real browser draws, a real server with a real model answers."""

from __future__ import annotations

import base64
import json
import math
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from inkseek.gallery.search import Gallery, open_gallery
from inkseek.models.bundle import Model

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.browser

SERVER = """
import sys
from pathlib import Path
from inkseek.cli.serve import serve
serve(Path(sys.argv[1]), port=0, browse=False)
"""
Serving = Callable[..., AbstractContextManager[str]]
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
        sync_api.expect(self.page.locator("#grid li:not(.cut)").first.locator(".caption span").first).to_contain_text(
            shape
        )

    def tiles(self, count: int) -> None:
        sync_api.expect(self.page.locator("#grid li:not(.cut)")).to_have_count(count)

    def order(self) -> list[str]:
        """The names of the pictures found, once nothing is under way any more."""
        sync_api.expect(self.page.locator("#grid")).not_to_have_attribute("aria-busy", "true")
        return list(self.page.locator("#grid .caption span:first-child").all_inner_texts())

    def hand_over(self, how: str, name: str, content: bytes, kind: str) -> None:
        """Drop or paste a file as the browser does when a person lets it go over the page."""
        self.page.evaluate(
            """([how, name, content, kind]) => {
                const data = new DataTransfer();
                const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
                data.items.add(new File([bytes], name, { type: kind }));
                const shared = { bubbles: true, cancelable: true };
                if (how === "paste") {
                    document.body.dispatchEvent(new ClipboardEvent("paste", { ...shared, clipboardData: data }));
                } else {
                    document.body.dispatchEvent(new DragEvent("dragover", { ...shared, dataTransfer: data }));
                    if (document.getElementById("drop").hidden) throw new Error("nothing shows where to drop");
                    document.body.dispatchEvent(new DragEvent("drop", { ...shared, dataTransfer: data }));
                }
            }""",
            [how, name, base64.b64encode(content).decode(), kind],
        )

    def touch(self, steps: list[tuple[str, float, float, int, str]]) -> None:
        """Send pointer events (type, x, y, pointer, kind of pointer) to the canvas."""
        self.page.evaluate(
            """(steps) => {
                const canvas = document.getElementById("canvas");
                const box = canvas.getBoundingClientRect();
                canvas.setPointerCapture = () => {};
                for (const [type, x, y, pointerId, pointerType] of steps) {
                    canvas.dispatchEvent(new PointerEvent(type, {
                        pointerId, pointerType, isPrimary: true, bubbles: true, cancelable: true,
                        clientX: box.left + x * box.width, clientY: box.top + y * box.height,
                    }));
                }
            }""",
            steps,
        )

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
    """Return how many pixels of the canvas are inked, in 100,000ths."""
    page.mouse.move(1, 1)  # the eraser's ring is no ink
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
            return Math.round(100000 * inked / (canvas.width * canvas.height));
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
    assert ink(at.page) > 500
    for image in at.page.locator("#grid img").all()[:4]:
        sync_api.expect(image).to_have_js_property("complete", True)
        assert image.evaluate("(image) => image.naturalWidth") > 0

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
    at.page.locator("#grid .open").first.click()
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
    sync_api.expect(at.page.locator(f'#grid .open[title="{name}"]')).to_be_focused()

    at.page.locator(f'#grid .open[title="{name}"]').click()
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
    assert abs(ink(at.page) - before) <= 300
    at.page.emulate_media(color_scheme="dark")
    assert abs(ink(at.page) - before) <= 300
    assert at.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 27)"


def test_the_eraser_takes_away_what_it_touches(visit: Callable[..., Visit]) -> None:
    at = visit()
    at.draw([(0.2, 0.5), (0.5, 0.5), (0.8, 0.5)])
    at.strokes(1)
    whole = ink(at.page)
    at.page.keyboard.press("e")
    at.page.get_by_text("Parts").click()
    at.draw([(0.5, 0.4), (0.5, 0.6)])
    at.strokes(2)
    assert 0.8 * whole < ink(at.page) < whole
    at.page.keyboard.press("Control+z")
    at.strokes(1)
    at.draw([(0.1, 0.5), (0.5, 0.5), (0.9, 0.5)])
    at.strokes(0)
    assert ink(at.page) == 0
    at.page.keyboard.press("Control+z")
    at.draw([(0.1, 0.1), (0.9, 0.1)])
    at.strokes(1)
    assert ink(at.page) == whole


def test_the_pens_width(visit: Callable[..., Visit]) -> None:
    at = visit()
    sent: list[str] = []
    at.page.on("request", lambda request: sent.append(request.post_data or "") if "search" in request.url else None)
    areas = []
    for key, name in (("[", "Thin"), ("]", "Medium"), ("]", "Thick")):
        at.page.keyboard.press(key)
        sync_api.expect(at.page.get_by_role("radio", name=name)).to_be_checked()
        at.draw([(0.2, 0.5), (0.8, 0.5)])
        at.strokes(1)
        areas.append(ink(at.page))
        at.tiles(21)
        at.page.keyboard.press("Delete")
        at.tiles(0)
    assert areas[0] < areas[1] < areas[2]
    assert [json.loads(body)["examples"][0]["widths"] for body in (sent[0], sent[-1])] == [[0.5], [2]]


def test_drawing_with_the_keyboard_alone(visit: Callable[..., Visit]) -> None:
    at = visit()
    at.says("21 pictures")
    while at.page.evaluate("document.activeElement.id") != "canvas":
        at.page.keyboard.press("Tab")
    at.page.keyboard.press("Space")
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft"):
        for _ in range(8):
            at.page.keyboard.press(key)
    at.tiles(21)
    at.page.keyboard.press("Space")
    at.strokes(1)
    at.page.keyboard.press("Space")
    at.page.keyboard.press("ArrowUp")
    at.page.keyboard.press("Escape")
    at.strokes(1)
    at.page.keyboard.press("Control+z")
    at.strokes(0)


def test_a_picture_dropped_pasted_or_chosen(visit: Callable[..., Visit], shapes: Path) -> None:
    at = visit()
    at.draw(CIRCLE)
    at.best("circle")
    photo = (shapes / "cross-4.png").read_bytes()
    at.hand_over("drop", "holiday.png", photo, "image/png")
    sync_api.expect(at.page.locator("#title")).to_have_text("holiday.png")
    at.best("cross-4.png")
    assert at.order()[0] == "cross-4.png"
    as_photo = at.page.locator("#grid .score").first.inner_text()
    assert as_photo == "1.00"
    with at.page.expect_request(lambda request: "domain=sketch" in request.url):
        at.page.locator("#domains").get_by_text("Drawing").click()
    sync_api.expect(at.page.locator("#grid .score").first).not_to_have_text(as_photo)
    at.page.get_by_role("button", name="Back to the drawing").click()
    at.best("circle")
    at.strokes(1)

    at.hand_over("paste", "image.png", photo, "image/png")
    at.best("cross-4.png")
    sync_api.expect(at.page.locator("#domains")).to_be_visible()
    at.page.locator("#file").set_input_files(shapes / "scan.tif")
    at.best("scan.tif")
    at.draw(DOWN)
    sync_api.expect(at.page.locator("#title")).to_have_text("Pictures")


def test_a_dropped_file_that_is_no_picture_says_so(browser: Any, url: str) -> None:
    at = Visit(browser.new_page())
    at.page.goto(url)
    at.hand_over("drop", "letter.pdf", b"%PDF-1.4", "application/pdf")
    at.says("not a picture in a format that is read here")
    at.says("Try another picture, or go back to the drawing.")
    at.page.get_by_role("button", name="Back to the drawing").click()
    at.says("Pictures appear here while you draw")
    sync_api.expect(at.page.locator("#banner")).to_be_hidden()
    at.page.close()


def test_thumbs_move_the_order_and_can_be_forgotten(visit: Callable[..., Visit]) -> None:
    at = visit()
    at.draw(DOWN)
    at.draw(UP)
    at.best("cross")
    at.tiles(21)
    before = at.order()
    liked, disliked = before[9], before[0]
    at.page.get_by_role("button", name=f"Thumb up: {liked}").click()
    sync_api.expect(at.page.get_by_role("button", name=f"Thumb up: {liked}")).to_have_attribute("aria-pressed", "true")
    at.says("Forget the thumb")
    assert at.order().index(liked) < 9
    at.page.locator(f'#grid .open[title="{disliked}"]').click()
    at.page.get_by_role("button", name="Thumb down: find less like it").click()
    sync_api.expect(at.page.locator("#lightbox-down")).to_have_attribute("aria-pressed", "true")
    at.page.keyboard.press("Escape")
    at.says("Forget 2 thumbs")
    moved = at.order()
    assert moved.index(disliked) > 0
    at.page.get_by_role("button", name="Forget 2 thumbs").click()
    at.best(disliked)
    assert at.order() == before


def test_touch_on_a_phone_and_a_touch_that_is_taken_away(visit: Callable[..., Visit]) -> None:
    at = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert at.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for button in at.page.locator(".tools button, .options label:visible").all():
        box = button.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        assert box["height"] >= 34
    at.touch([("pointerdown", *CIRCLE[0], 5, "touch"), *[("pointermove", *point, 5, "touch") for point in CIRCLE]])
    at.touch([(kind, 0.9, 0.9, 6, "touch") for kind in ("pointerdown", "pointermove", "pointerup")])
    at.touch([("pointerup", *CIRCLE[-1], 5, "touch")])
    at.strokes(1)
    at.touch([("pointerdown", 0.1, 0.1, 7, "touch"), ("pointermove", 0.9, 0.1, 7, "touch")])
    at.touch([("pointercancel", 0.9, 0.1, 7, "touch")])
    at.strokes(1)
    at.best("circle")
    assert at.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_hand_that_holds_the_stylus_does_not_draw(visit: Callable[..., Visit]) -> None:
    at = visit(has_touch=True)
    # The palm comes down first; the stylus takes over and the palm's stroke never was.
    at.touch([("pointerdown", 0.9, 0.9, 1, "touch"), ("pointermove", 0.8, 0.9, 1, "touch")])
    at.touch([("pointerdown", *CIRCLE[0], 2, "pen"), *[("pointermove", *point, 2, "pen") for point in CIRCLE]])
    at.touch([("pointermove", 0.7, 0.9, 1, "touch"), ("pointerup", 0.7, 0.9, 1, "touch")])
    at.touch([("pointerup", *CIRCLE[-1], 2, "pen")])
    at.strokes(1)
    at.best("circle")
    # It stays down between strokes, and comes again.
    at.touch(
        [(kind, x, 0.9, 3, "touch") for kind, x in (("pointerdown", 0.1), ("pointermove", 0.9), ("pointerup", 0.9))]
    )
    at.strokes(1)


def test_one_folder_of_several(
    browser: Any, serving: Serving, shapes: Path, frozen_model: Model, tmp_path: Path
) -> None:
    for name, shape in (("holiday", "cross"), ("work", "circle")):
        (tmp_path / "own" / name).mkdir(parents=True)
        for i in range(1, 4):
            shutil.copyfile(shapes / f"{shape}-{i}.png", tmp_path / "own" / name / f"{shape}-{i}.png")
    own = open_gallery(tmp_path / "own.db")
    own.add(tmp_path / "own", frozen_model)
    at = Visit(browser.new_page())
    at.watch()
    with serving(own) as address:
        at.page.goto(address)
        at.draw(CIRCLE)
        at.tiles(6)
        at.best("circle")
        at.page.get_by_label("Folder").select_option("own/holiday (3)")
        at.tiles(3)
        at.best("cross")
        at.page.get_by_label("Folder").select_option("All folders")
        at.best("circle")
        at.page.close()
    assert at.problems == []


def test_a_name_of_a_file_stays_a_name(visit: Callable[..., Visit]) -> None:
    at = visit()
    at.draw(CIRCLE)
    at.tiles(21)
    sync_api.expect(at.page.locator("#grid").get_by_text("circle <img src=x onerror=alert(1)>.png")).to_have_count(1)
    assert at.page.locator("img[src='x']").count() == 0


def test_a_lost_connection_is_said_and_found_again(browser: Any, serving: Serving, gallery: Gallery) -> None:
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


def test_an_empty_gallery_says_how_to_fill_it(
    browser: Any, serving: Serving, shapes: Path, frozen_model: Model, tmp_path: Path
) -> None:
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
        # Another connection writes; nobody touches the page.
        other = open_gallery(tmp_path / "own.db")
        other.add(shapes, frozen_model)
        at.tiles(21)
        at.best("circle")
        at.says("own.db · 21 pictures")
        at.page.close()
