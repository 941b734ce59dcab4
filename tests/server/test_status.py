from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inkseek.gallery.search import Gallery, open_gallery
from inkseek.models.bundle import Model
from inkseek.server import status as status_module
from inkseek.server.status import events


async def next_of(stream: AsyncIterator[str], kind: str) -> dict[str, object]:
    """Return the data of the stream's next event of a kind."""
    async with asyncio.timeout(30):
        async for event in stream:
            if event.startswith(f"event: {kind}\n"):
                assert event.endswith("\n\n")
                data: dict[str, object] = json.loads(event.partition("data: ")[2])
                return data
    raise AssertionError(f"the stream ended without a {kind}")


def test_another_connections_writing_is_told_and_its_end_too(
    shapes: Path, frozen_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_module, "PAUSE", 0.02)
    monkeypatch.setattr(status_module, "QUIET", 0.2)
    (tmp_path / "own").mkdir()
    shutil.copyfile(shapes / "cross-1.png", tmp_path / "own" / "a.png")
    watched = open_gallery(tmp_path / "g.db")
    watched.add(tmp_path / "own", frozen_model)
    writer = open_gallery(tmp_path / "g.db")

    async def watch() -> None:
        stream = events(watched, lambda: False)
        assert await next_of(stream, "status") == {"count": 1, "indexing": False}
        shutil.copyfile(shapes / "cross-2.png", tmp_path / "own" / "b.png")
        await asyncio.to_thread(writer.add, tmp_path / "own")
        seen = await next_of(stream, "status")
        while seen["count"] == 1:
            seen = await next_of(stream, "status")
        assert seen == {"count": 2, "indexing": True}
        assert await next_of(stream, "status") == {"count": 2, "indexing": False}

    asyncio.run(watch())


def test_the_stream_stays_open_and_ends_with_the_server(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_module, "PAUSE", 0.01)
    monkeypatch.setattr(status_module, "ALIVE", 0.05)
    stopping: list[bool] = []

    async def watch() -> None:
        async with asyncio.timeout(30):
            async for event in events(gallery, lambda: bool(stopping)):
                if event.startswith(":"):
                    stopping.append(True)

    asyncio.run(watch())
    assert stopping


def test_a_gallery_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    async def watch() -> None:
        problem = await next_of(events(open_gallery(tmp_path / "none.db"), lambda: False), "problem")
        assert "inkseek index" in str(problem["detail"])

    asyncio.run(watch())
