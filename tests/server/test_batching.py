from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from fastapi.testclient import TestClient

from inkseek.gallery.search import Gallery
from inkseek.models.bundle import Model
from inkseek.server import app as app_module
from inkseek.server.app import create_app
from inkseek.server.batching import Batcher, Busy, Gate, Gone

Pixels = npt.NDArray[np.uint8]


class Watched:
    """A real model that notes the size of each forward pass and, on request, holds the first one back."""

    def __init__(self, model: Model, *, hold: bool = False) -> None:
        self._model = model
        self.passes: list[int] = []
        self.started = threading.Event()
        self.go_on = threading.Event()
        if not hold:
            self.go_on.set()

    def embed_pixels(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        self.passes.append(len(pixels))
        self.started.set()
        assert self.go_on.wait(20)
        return self._model.embed_pixels(pixels)


def pixels_of(model: Model, count: int) -> Pixels:
    size = model.image_size
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


async def here() -> bool:
    return False


async def away() -> bool:
    return True


def test_what_comes_during_a_pass_shares_the_next(frozen_model: Model) -> None:
    watched = Watched(frozen_model, hold=True)
    pixels = pixels_of(frozen_model, 12)

    async def ask() -> list[npt.NDArray[np.float32]]:
        batcher = Batcher(largest=8)
        first = asyncio.create_task(batcher.embed(watched, pixels[:1], here))  # type: ignore[arg-type]
        await asyncio.to_thread(watched.started.wait, 20)
        rest = [
            asyncio.create_task(batcher.embed(watched, part, here))  # type: ignore[arg-type]
            for part in (pixels[1:4], pixels[4:6], pixels[6:11], pixels[11:])
        ]
        await asyncio.sleep(0)
        watched.go_on.set()
        return [await task for task in (first, *rest)]

    vectors = np.concatenate(asyncio.run(ask()))
    assert watched.passes == [1, 5, 6]
    np.testing.assert_allclose(vectors, frozen_model.embed_pixels(pixels), atol=1e-5)


def test_models_do_not_share_a_pass_and_who_is_gone_costs_none(frozen_model: Model) -> None:
    old, new = Watched(frozen_model, hold=True), Watched(frozen_model)
    pixels = pixels_of(frozen_model, 1)

    async def ask() -> None:
        batcher = Batcher()
        first = asyncio.create_task(batcher.embed(old, pixels, here))  # type: ignore[arg-type]
        await asyncio.to_thread(old.started.wait, 20)
        rest = [
            asyncio.create_task(batcher.embed(model, pixels, is_gone))  # type: ignore[arg-type]
            for model, is_gone in ((old, away), (old, here), (new, here), (new, away))
        ]
        await asyncio.sleep(0)
        old.go_on.set()
        await first
        outcomes = await asyncio.gather(*rest, return_exceptions=True)
        assert [isinstance(outcome, Gone) for outcome in outcomes] == [True, False, False, True]

    asyncio.run(ask())
    assert (old.passes, new.passes) == ([1, 1], [1])


def test_a_pass_that_fails_fails_those_in_it_and_no_others(frozen_model: Model) -> None:
    pixels = pixels_of(frozen_model, 1)

    async def ask() -> None:
        batcher = Batcher()
        with pytest.raises(ValueError, match="could not be broadcast"):
            await batcher.embed(Broken(), pixels, here)  # type: ignore[arg-type]
        assert (await batcher.embed(frozen_model, pixels, here)).shape == (1, frozen_model.dim)

    class Broken:
        def embed_pixels(self, _pixels: Pixels) -> npt.NDArray[np.float32]:
            raise ValueError("could not be broadcast")

    asyncio.run(ask())


def test_a_gate_lets_only_so_many_in() -> None:
    gate = Gate(2)
    with gate.enter(), gate.enter(), pytest.raises(Busy), gate.enter():
        pass
    with gate.enter():
        pass


@pytest.mark.parametrize("path", ["/api/search", "/api/feedback", "/api/status"])
def test_too_many_at_once_are_told_when_to_come_back(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(app_module, "MOST_SEARCHES", 0)
    monkeypatch.setattr(app_module, "MOST_WATCHERS", 0)
    client = TestClient(create_app(gallery), base_url="http://localhost")
    ask: Callable[..., object] = client.get if path == "/api/status" else client.post
    answer = ask(path)
    assert answer.status_code == 503  # type: ignore[attr-defined]
    assert answer.headers["retry-after"] == "1"  # type: ignore[attr-defined]
    assert "try again" in answer.json()["detail"]  # type: ignore[attr-defined]
    assert client.get("/healthz").status_code == 200
