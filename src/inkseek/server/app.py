"""The HTTP API over one gallery, and the drawing page in front of it."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from starlette.concurrency import run_in_threadpool

from inkseek import __version__
from inkseek.errors import InkseekError
from inkseek.gallery.search import Gallery, Hit
from inkseek.gallery.store import Picture, Stamp
from inkseek.images.preprocessing import Domain
from inkseek.images.reading import UnreadablePicture, read_picture
from inkseek.images.sketch import BlankSketch
from inkseek.images.strokes import draw_strokes
from inkseek.server.security import Guard

STATIC = Path(__file__).parent / "static"
MOST_HITS = 200
MOST_STROKE_BYTES = 4 << 20
MOST_PICTURE_BYTES = 20 << 20
MOST_MEGAPIXELS = 50.0
UPLOAD_SECONDS = 30.0
_LONGEST_SHOWN = 2048
_PICTURE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/tiff")
# What browsers show as it is; every other format is shown as a JPEG.
_SHOWN_AS_IS = {
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}

K = Annotated[int, Query(ge=1, le=MOST_HITS)]
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]


class Drawing(BaseModel):
    """Strokes in QuickDraw's form: each is [xs, ys], in any unit, y down."""

    model_config = ConfigDict(extra="forbid")

    strokes: list[tuple[list[FiniteFloat], list[FiniteFloat]]] = Field(max_length=10_000)
    k: int = Field(40, ge=1, le=MOST_HITS)
    domain: Domain = "sketch"


class Found(BaseModel):
    """One picture of an answer; `score` is the cosine similarity to the query."""

    id: int
    name: str
    path: str
    score: float
    width: int
    height: int


class Answer(BaseModel):
    """The pictures most like the query, best first."""

    hits: list[Found]


class About(BaseModel):
    """What this gallery is: its file's name, its pictures, the model that made it, whose pictures they are."""

    name: str
    count: int
    model: str
    fingerprint: str
    attributions: list[str]


def create_app(gallery: Gallery, *, token: str | None = None, hosts: Iterable[str] = ()) -> FastAPI:
    """Return the application for one gallery.

    Args:
        gallery: searched with its own model, which stays loaded.
        token: if given, every request must carry it (see `security.Guard`).
        hosts: names beside localhost under which the server may be addressed.
    """
    app = FastAPI(title="Inkseek", version=__version__, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, token=token, hosts=tuple(hosts))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    turn = asyncio.Lock()

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": _first_problem(error.errors())}, 422)

    @app.exception_handler(InkseekError)
    async def failed(_request: Request, error: InkseekError) -> JSONResponse:
        # What is wrong with the query is the asker's (422), what is wrong with the gallery is not (503).
        asked = isinstance(error, BlankSketch | UnreadablePicture)
        return JSONResponse({"detail": str(error)}, 422 if asked else 503)

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/healthz")
    def health() -> dict[str, str]:
        """Whether the server is up."""
        return {"status": "ok"}

    @app.get("/api/gallery")
    def about() -> About:
        """What is searched."""
        record = gallery.record
        return About(
            name=_text(Path(gallery.path.name)),
            count=len(gallery),
            model=Path(record.path).name,
            fingerprint=record.fingerprint[:12],
            attributions=gallery.attributions,
        )

    body: dict[str, object] = {
        picture: {"schema": {"type": "string", "format": "binary"}} for picture in _PICTURE_TYPES
    }
    body["application/json"] = {"schema": Drawing.model_json_schema()}

    @app.post("/api/search", openapi_extra={"requestBody": {"required": True, "content": body}})
    async def search(request: Request, k: K = 40, domain: Domain = "sketch") -> Answer:
        """Find pictures by strokes (JSON, which brings its own k and domain) or by a picture (its bytes)."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            drawing = _parse(await _body(request, MOST_STROKE_BYTES))
            k, domain = drawing.k, drawing.domain
            query = await run_in_threadpool(_draw, drawing)
        elif kind in _PICTURE_TYPES:
            query = await run_in_threadpool(_decode, await _body(request, MOST_PICTURE_BYTES))
        else:
            raise HTTPException(415, f"send strokes as application/json or a picture as {', '.join(_PICTURE_TYPES)}")
        # While drawing, a new request overtakes the one before; what nobody waits for any more costs no forward pass.
        async with turn:
            if await request.is_disconnected():
                raise HTTPException(499, "the client has gone")
            return _answer(await run_in_threadpool(gallery.search, query, k, domain))

    @app.get("/api/pictures/{picture}/similar")
    def similar(picture: Id, k: K = 40) -> Answer:
        """Find the pictures most like one of the gallery's own."""
        _known(gallery, picture)
        return _answer(gallery.similar(picture, k))

    @app.get("/api/pictures/{picture}", response_class=Response)
    def show(picture: Id, request: Request) -> Response:
        """Return the picture itself, as long as its file is still the one that was indexed."""
        known = _known(gallery, picture)
        if _unchanged(request, known):
            return Response(status_code=304, headers=_etag(known))
        if not _is_as_indexed(known):
            raise HTTPException(410, "this file has been moved or changed since it was indexed; index again")
        kind = _SHOWN_AS_IS.get(known.path.suffix.lower())
        if kind is not None:
            return FileResponse(known.path, media_type=kind, headers=_etag(known))
        return Response(_as_jpeg(known.path), media_type="image/jpeg", headers=_etag(known))

    @app.get("/api/thumbnails/{picture}", response_class=Response)
    def thumbnail(picture: Id, request: Request) -> Response:
        """Return a small JPEG of the picture, from the gallery itself."""
        known = _known(gallery, picture)
        if _unchanged(request, known):
            return Response(status_code=304, headers=_etag(known))
        return Response(gallery.store.thumbnail(picture), media_type="image/jpeg", headers=_etag(known))

    return app


async def _body(request: Request, most: int) -> bytes:
    """Read a request's body, but no more than a limit and not for ever."""
    body = bytearray()
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise HTTPException(413, f"more than {most >> 20} MB; send a smaller drawing or picture")
    except TimeoutError:
        raise HTTPException(408, f"the upload took more than {UPLOAD_SECONDS:.0f} s") from None
    return bytes(body)


def _parse(body: bytes) -> Drawing:
    try:
        return Drawing.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(422, _first_problem(error.errors())) from None


def _draw(drawing: Drawing) -> Image.Image:
    try:
        return draw_strokes(drawing.strokes)
    except InkseekError as error:
        raise HTTPException(422, str(error)) from None


def _decode(body: bytes) -> Image.Image:
    return read_picture(body, max_megapixels=MOST_MEGAPIXELS)


def _first_problem(problems: Iterable[object]) -> str:
    """Say pydantic's first problem in a line: where, and what."""
    problem = next(iter(problems))
    assert isinstance(problem, dict)
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])


def _known(gallery: Gallery, picture: int) -> Picture:
    known = gallery.picture(picture)
    if known is None:
        raise HTTPException(404, f"no picture {picture} in this gallery")
    return known


def _answer(hits: Iterable[Hit]) -> Answer:
    return Answer(
        hits=[
            Found(
                id=hit.id,
                name=_text(Path(hit.path.name)),
                path=_text(hit.path),
                score=hit.score,
                width=hit.width,
                height=hit.height,
            )
            for hit in hits
        ]
    )


def _text(path: Path) -> str:
    """Return a path as text even where a file's name is not."""
    return os.fsencode(path).decode("utf-8", "replace")


def _etag(picture: Picture) -> dict[str, str]:
    # Kept by the browser but asked for again each time, as a gallery built anew at the same place gives out ids anew.
    return {"ETag": f'"{picture.sha256.hex()[:32]}"', "Cache-Control": "private, no-cache"}


def _unchanged(request: Request, picture: Picture) -> bool:
    return _etag(picture)["ETag"] in request.headers.get("if-none-match", "")


def _is_as_indexed(picture: Picture) -> bool:
    try:
        status = picture.path.stat()
    except OSError:
        return False
    return picture.stamp == Stamp(status.st_size, status.st_mtime_ns)


def _as_jpeg(path: Path) -> bytes:
    picture = read_picture(path)
    picture.thumbnail((_LONGEST_SHOWN, _LONGEST_SHOWN))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
