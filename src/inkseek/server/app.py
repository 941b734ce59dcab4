"""The HTTP API over one gallery, and the drawing page in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import ValidationError
from pydantic.json_schema import models_json_schema
from starlette.types import Receive, Scope, Send

from inkseek import __version__
from inkseek.errors import InkseekError
from inkseek.gallery.feedback import rocchio
from inkseek.gallery.filters import Filter
from inkseek.gallery.search import Gallery, Hit
from inkseek.images.preprocessing import Domain
from inkseek.server.batching import Busy, Gate, Gone
from inkseek.server.folders import Folders
from inkseek.server.messages import About, Answer, Feedback, Folder, Found, Options, PictureOptions, Problem, Search
from inkseek.server.pictures import pictures_of, thumbnail_address
from inkseek.server.queries import BadQuery, NoSuchPicture, Queries, Vector, the_askers
from inkseek.server.security import Guard
from inkseek.server.status import Status, events
from inkseek.server.text import text_of

STATIC = Path(__file__).parent / "static"
MOST_STROKE_BYTES = 4 << 20
MOST_PICTURE_BYTES = 20 << 20
UPLOAD_SECONDS = 30.0
MOST_SEARCHES = 32
MOST_WATCHERS = 32
RETRY_AFTER = 1

M = TypeVar("M", bound=Search)


def create_app(
    gallery: Gallery,
    *,
    token: str | None = None,
    hosts: Iterable[str] = (),
    stopping: Callable[[], bool] = lambda: False,
) -> FastAPI:
    """Return the application for one gallery.

    Args:
        gallery: searched with its own model, which stays loaded.
        token: if given, every request must carry it (see `security.Guard`).
        hosts: names beside localhost under which the server may be addressed.
        stopping: tells event streams, which have no end of their own, that the server is about to stop.
    """
    app = FastAPI(title="Inkseek", version=__version__, docs_url=None, redoc_url=None, responses=_PROBLEMS)
    app.add_middleware(Guard, token=token, hosts=tuple(hosts))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.include_router(pictures_of(gallery))
    _answer_problems(app)
    queries = Queries(gallery)
    folders = Folders(gallery)
    searching = Gate(MOST_SEARCHES)
    watching = Gate(MOST_WATCHERS)
    finders = CapacityLimiter(2)

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
            name=text_of(Path(Path(gallery.name).name)),
            count=len(gallery),
            model=Path(record.path).name,
            fingerprint=record.fingerprint[:12],
            attributions=gallery.attributions,
        )

    @app.get("/api/folders")
    def list_folders() -> list[Folder]:
        """List the folders that a search can be narrowed to."""
        return folders.list()

    @app.get("/api/status", response_class=StreamingResponse, responses=_EVENTS)
    async def status() -> StreamingResponse:
        """Tell how many pictures there are whenever that changes, as server-sent events named `status`."""
        return _Stream(events(gallery, stopping), watching)

    def find(
        vector: Vector, options: Options, without: list[int], domain: Domain, asked: Vector | None = None
    ) -> Answer:
        hits = gallery.find(vector, options.k, only=filter_of(options), collapse=options.collapse, without=without)
        known = {picture.id: picture for picture in gallery.store.pictures([hit.id for hit in hits])}
        return Answer(
            hits=[_found(hit, thumbnail_address(known[hit.id])) for hit in hits if hit.id in known],
            within=len(gallery.cut(vector, hits, options.cutoff or "auto", domain)),
            query=queries.to_text(vector if asked is None else asked),
        )

    def filter_of(options: Options) -> Filter:
        folder = None if options.folder is None else folders.path(options.folder)
        if options.folder is not None and folder is None:
            raise HTTPException(404, f"no folder {options.folder} in this gallery; /api/folders lists them")
        with the_askers():
            return Filter(folder, options.newer, options.older, options.min_side)

    async def in_finder(call: Callable[[], Answer]) -> Answer:
        return await anyio.to_thread.run_sync(call, limiter=finders)

    @app.post("/api/search", openapi_extra=_body_of(Search, pictures=True))
    async def search(request: Request, options: Annotated[PictureOptions, Query()]) -> Answer:
        """Find pictures by examples (JSON, with options of its own), or by a picture (its file as the body)."""
        with searching.enter():
            if not _kind(request).startswith("image/"):
                asked = await _parse(request, Search)
                vector = await queries.of_examples(asked.examples, request.is_disconnected)
                return await in_finder(lambda: find(vector, asked, _own(asked), _domain_of(asked)))
            content = await _body(request, MOST_PICTURE_BYTES)
            vector = await queries.of_picture(content, options.domain, request.is_disconnected)
            return await in_finder(lambda: find(vector, options, [], options.domain))

    @app.post("/api/feedback", openapi_extra=_body_of(Feedback))
    async def feedback(request: Request) -> Answer:
        """Search again with thumbs up and down. Nothing is kept: each request brings all thumbs of its query."""
        with searching.enter():
            asked = await _parse(request, Feedback)
            vector = await queries.of_examples(asked.examples, request.is_disconnected)

            def moved() -> Answer:
                up, down = queries.of_known(asked.up), queries.of_known(asked.down)
                with the_askers():
                    towards = rocchio(vector, up, down)
                return find(towards, asked, _own(asked), _domain_of(asked), vector)

            return await in_finder(moved)

    _document(app)
    return app


class _Stream(StreamingResponse):
    """Server-sent events, of which only so many flow at once."""

    def __init__(self, events: AsyncIterator[str], gate: Gate) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._gate.enter():
            await super().__call__(scope, receive, send)


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No token, or a wrong one"},
    403: {"model": Problem, "description": "Another site's page asks"},
    404: {"model": Problem, "description": "No such thing in this gallery"},
    421: {"model": Problem, "description": "Not a name of this server"},
    422: {"model": Problem, "description": "Not a request as it should be"},
    503: {"model": Problem, "description": "Too much to do, or the gallery cannot be read; see Retry-After"},
}
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": f"Events with data {list(Status.model_fields)}"}
}


def _body_of(model: type[Search], *, pictures: bool = False) -> dict[str, Any]:
    """Describe a body that is read here and not by FastAPI, which would take one of any size."""
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
    if pictures:
        content["image/*"] = {"schema": {"type": "string", "format": "binary"}}
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    refusals = {408: "The upload took too long", 413: "The body is too large", 415: "Neither JSON nor a picture"}
    responses = {str(status): {"description": why, "content": problem} for status, why in refusals.items()}
    return {"requestBody": {"required": True, "content": content}, "responses": responses}


def _document(app: FastAPI) -> None:
    """Add the models of bodies that are read here to the OpenAPI document."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        _, models = models_json_schema(
            [(Search, "validation"), (Feedback, "validation")], ref_template="#/components/schemas/{model}"
        )
        document["components"]["schemas"].update(models["$defs"])
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _answer_problems(app: FastAPI) -> None:
    """Say everything that can go wrong in one line of JSON."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": _first_problem(error.errors())}, 422)

    @app.exception_handler(InkseekError)
    async def failed(_request: Request, error: InkseekError) -> JSONResponse:
        # What is wrong with the query is the asker's (4xx), what is wrong with the gallery is not (503).
        status = 404 if isinstance(error, NoSuchPicture) else 422 if isinstance(error, BadQuery) else 503
        return JSONResponse({"detail": str(error)}, status)

    @app.exception_handler(Busy)
    async def busy(_request: Request, _error: Busy) -> JSONResponse:
        detail = f"too many requests at once; try again in {RETRY_AFTER} s"
        return JSONResponse({"detail": detail}, 503, headers={"Retry-After": str(RETRY_AFTER)})

    @app.exception_handler(Gone)
    async def gone(_request: Request, _error: Gone) -> JSONResponse:
        return JSONResponse({"detail": "the client has gone"}, 499)


async def _parse(request: Request, model: type[M]) -> M:
    if _kind(request) != "application/json":
        raise HTTPException(415, "send JSON as application/json, or a picture to /api/search as image/png or its like")
    body = await _body(request, MOST_STROKE_BYTES)
    try:
        return await anyio.to_thread.run_sync(model.model_validate_json, body)
    except ValidationError as error:
        raise HTTPException(422, _first_problem(error.errors())) from None


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


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _first_problem(problems: Iterable[object]) -> str:
    """Say pydantic's first problem in a line: where, and what."""
    problem = next(iter(problems))
    assert isinstance(problem, dict)
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])


def _own(search: Search) -> list[int]:
    """Return the gallery's own pictures among the examples: who asks for more like them has them already."""
    return [example.picture for example in search.examples if example.picture is not None]


def _domain_of(search: Search) -> Domain:
    return "sketch" if search.examples[0].picture is None else "photo"


def _found(hit: Hit, thumbnail: str) -> Found:
    return Found(
        id=hit.id,
        name=text_of(Path(hit.path.name)),
        path=text_of(hit.path),
        score=hit.score,
        width=hit.width,
        height=hit.height,
        thumbnail=thumbnail,
        duplicates=list(hit.duplicates),
    )
