"""Under load: waiting queries share a forward pass, and what would wait too long is sent away at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import anyio.to_thread
import numpy as np
import numpy.typing as npt
from anyio import CapacityLimiter

from inkseek.models.bundle import Model

Pixels = npt.NDArray[np.uint8]
Vectors = npt.NDArray[np.float32]

LARGEST_BATCH = 16


class Busy(Exception):
    """As much is under way as may be; the asker should come back a little later."""


class Gone(Exception):
    """The asker went away while waiting."""


class Gate:
    """Lets at most `most` in at once. It never waits: a queue that grows without end helps nobody."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Be inside.

        Raises:
            Busy: there are as many inside as may be.
        """
        if self._inside >= self._most:
            raise Busy
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1


@dataclass(frozen=True, eq=False)
class _Waiting:
    model: Model
    pixels: Pixels
    is_gone: Callable[[], Awaitable[bool]]
    vectors: asyncio.Future[Vectors]


class Batcher:
    """Embeds prepared pictures; whatever has come while one forward pass ran shares the next.

    Args:
        largest: pictures in one forward pass.
    """

    def __init__(self, largest: int = LARGEST_BATCH) -> None:
        self._largest = largest
        self._waiting: deque[_Waiting] = deque()
        self._running: asyncio.Task[None] | None = None
        # One forward pass at a time: two would only share the same cores.
        self._one = CapacityLimiter(1)

    async def embed(self, model: Model, pixels: Pixels, is_gone: Callable[[], Awaitable[bool]]) -> Vectors:
        """Return the unit vectors [N, dim] of pixels [N, size, size, 3].

        Args:
            model: embeds them; what is asked of another model goes into another pass.
            pixels: as `images.preprocessing.prepare` makes them.
            is_gone: tells, when the turn comes, whether the asker has gone; what nobody waits for costs nothing.

        Raises:
            Gone: the asker has gone.
        """
        waiting = _Waiting(model, pixels, is_gone, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await waiting.vectors

    async def _run(self) -> None:
        try:
            while batch := await self._next_batch():
                await self._embed(batch)
        finally:
            self._running = None

    async def _next_batch(self) -> list[_Waiting]:
        """Take from the queue what fits into one pass; empty when nothing is left."""
        batch: list[_Waiting] = []
        pictures = 0
        while self._waiting:
            first = self._waiting[0]
            full = pictures + len(first.pixels) > self._largest
            if batch and (full or first.model is not batch[0].model):
                break
            self._waiting.popleft()
            if first.vectors.cancelled():
                continue
            if await first.is_gone():
                first.vectors.set_exception(Gone())
                continue
            batch.append(first)
            pictures += len(first.pixels)
        return batch

    async def _embed(self, batch: Sequence[_Waiting]) -> None:
        pixels = np.concatenate([waiting.pixels for waiting in batch])
        try:
            call = partial(batch[0].model.embed_pixels, pixels)
            vectors = await anyio.to_thread.run_sync(call, limiter=self._one)
        except Exception as error:
            for waiting in batch:
                if not waiting.vectors.done():
                    waiting.vectors.set_exception(error)
            return
        parts = np.split(vectors, np.cumsum([len(waiting.pixels) for waiting in batch])[:-1])
        for waiting, part in zip(batch, parts, strict=True):
            if not waiting.vectors.done():
                waiting.vectors.set_result(part)
