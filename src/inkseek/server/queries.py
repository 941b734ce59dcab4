"""From what was sent to the vector that is searched with."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import anyio.to_thread
import numpy as np
import numpy.typing as npt
from anyio import CapacityLimiter

from inkseek.errors import InkseekError
from inkseek.gallery.examples import combine
from inkseek.gallery.search import Gallery
from inkseek.images.preprocessing import Domain
from inkseek.images.reading import read_picture
from inkseek.images.strokes import draw_strokes
from inkseek.models.bundle import Model
from inkseek.server.batching import Batcher
from inkseek.server.messages import Example

MOST_MEGAPIXELS = 50.0
# Pictures decoded at once: each may take several bytes for every one of its pixels.
DECODERS = 2

Vector = npt.NDArray[np.float32]
IsGone = Callable[[], Awaitable[bool]]


class BadQuery(InkseekError):
    """What is wrong is what was asked, not the gallery."""


@contextmanager
def the_askers() -> Iterator[None]:
    """Turn every mistake into the asker's; a picture that is not there stays what it is."""
    try:
        yield
    except NoSuchPicture:
        raise
    except InkseekError as error:
        raise BadQuery(str(error)) from error


class NoSuchPicture(InkseekError):
    """The gallery holds no picture of this id."""


class Queries:
    """Turns examples into vectors; one for each application.

    Args:
        gallery: its model embeds, and its own pictures may be examples.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._batcher = Batcher()
        self._decoders = CapacityLimiter(DECODERS)

    async def of_picture(self, content: bytes, domain: Domain, is_gone: IsGone) -> Vector:
        """Return the unit vector [dim] of a picture's file.

        Raises:
            BadQuery: it cannot be decoded, is too large, or is a sketch and blank.
            Gone: the asker has gone.
        """
        model, pixels = await anyio.to_thread.run_sync(self._decode, content, domain, limiter=self._decoders)
        vectors = await self._batcher.embed(model, pixels[None], is_gone)
        return vectors.reshape(-1)

    async def of_examples(self, examples: Sequence[Example], is_gone: IsGone) -> Vector:
        """Return what examples ask for together, a unit vector [dim] (see `gallery.examples.combine`).

        Raises:
            NoSuchPicture: one that the gallery does not hold.
            BadQuery: blank or broken strokes, a query of another model, or examples that cancel each other out.
            Gone: the asker has gone.
        """
        model, drawn, known = await anyio.to_thread.run_sync(self._prepare, examples, limiter=self._decoders)
        embedded = iter(await self._batcher.embed(model, np.stack(drawn), is_gone) if drawn else ())
        vectors = [next(embedded) if vector is None else vector for vector in known]
        with the_askers():
            return combine(np.stack(vectors), [example.weight for example in examples])

    def of_known(self, pictures: Sequence[int]) -> Vector:
        """Return the vectors [N, dim] of the gallery's own pictures.

        Raises:
            NoSuchPicture: one of them is not there.
        """
        vectors = np.empty((len(pictures), self._gallery.record.dim), dtype=np.float32)
        for row, picture in zip(vectors, pictures, strict=True):
            vector = self._gallery.store.vector(picture)
            if vector is None:
                raise NoSuchPicture(f"no picture {picture} in this gallery")
            row[:] = vector
        return vectors

    def to_text(self, vector: Vector) -> str:
        """Return a vector as text that a later search can use as an example."""
        return self._mark() + base64.urlsafe_b64encode(vector.astype("<f4").tobytes()).decode()

    def _mark(self) -> str:
        return self._gallery.record.fingerprint[:12] + "."

    def _of_text(self, text: str) -> Vector:
        mark = self._mark()
        if not text.startswith(mark):
            raise BadQuery("this query was made with another model than the gallery's; ask with the picture again")
        try:
            vector = np.frombuffer(base64.b64decode(text[len(mark) :], altchars=b"-_", validate=True), dtype="<f4")
        except (binascii.Error, ValueError):
            vector = np.empty(0, dtype="<f4")
        length = float(np.linalg.norm(vector)) if np.isfinite(vector).all() else 0.0
        if len(vector) != self._gallery.record.dim or not 0.5 < length < 2.0:
            raise BadQuery("this is not a query as an answer gives it; ask with the picture again")
        return (vector / length).astype(np.float32)

    def _decode(self, content: bytes, domain: Domain) -> tuple[Model, npt.NDArray[np.uint8]]:
        model = self._gallery.model
        with the_askers():
            picture = read_picture(content, max_megapixels=MOST_MEGAPIXELS)
            return model, model.prepare(picture, domain)

    def _prepare(self, examples: Sequence[Example]) -> tuple[Model, list[npt.NDArray[np.uint8]], list[Vector | None]]:
        """Return the model, the pixels of what is drawn, and for each example its vector or None if it is drawn."""
        model = self._gallery.model
        drawn: list[npt.NDArray[np.uint8]] = []
        known: list[Vector | None] = []
        for example in examples:
            vector: Vector | None = None
            if example.strokes is not None:
                with the_askers():
                    picture = draw_strokes(example.strokes, widths=example.widths)
                    drawn.append(model.prepare(picture, "sketch"))
            elif example.query is not None:
                vector = self._of_text(example.query)
            else:
                assert example.picture is not None
                vector = self.of_known([example.picture])[0]
            known.append(vector)
        return model, drawn, known
