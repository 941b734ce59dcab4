"""A gallery that grows, told as it happens: server-sent events, from this process's writing or another's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from inkseek.errors import InkseekError
from inkseek.gallery.search import Gallery
from inkseek.server.messages import Problem

PAUSE = 0.5
"""Seconds between two looks at the gallery."""
QUIET = 3.0
"""Seconds without a change after which indexing counts as over."""
ALIVE = 15.0
"""Seconds without an event after which a comment keeps the connection open."""


class Status(BaseModel):
    """How many pictures there are, and whether they are becoming more or fewer just now."""

    count: int
    indexing: bool


async def events(gallery: Gallery, stopping: Callable[[], bool]) -> AsyncIterator[str]:
    """Yield the gallery's status as server-sent events: once at first, then whenever it has changed.

    Args:
        gallery: looked at every `PAUSE` seconds.
        stopping: whether the server is about to stop; the stream then ends.
    """
    clock = asyncio.get_running_loop().time
    seen: object = None
    told: Status | None = None
    count, changed, spoken = 0, -QUIET, clock()
    # How soon the browser is back after the connection was lost.
    yield "retry: 2000\n\n"
    while not stopping():
        try:
            revision = await run_in_threadpool(lambda: gallery.store.revision)
            if revision != seen:
                count = await run_in_threadpool(len, gallery)
        except InkseekError as error:
            yield _event(Problem(detail=str(error)), "problem")
            return
        if revision != seen:
            if seen is not None:
                changed = clock()
            seen = revision
        status = Status(count=count, indexing=clock() - changed < QUIET)
        if status != told:
            yield _event(status, "status")
            told, spoken = status, clock()
        elif clock() - spoken > ALIVE:
            yield ": still here\n\n"
            spoken = clock()
        await asyncio.sleep(PAUSE)


def _event(data: BaseModel, kind: str) -> str:
    return f"event: {kind}\ndata: {data.model_dump_json()}\n\n"
