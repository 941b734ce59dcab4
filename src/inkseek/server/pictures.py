"""Pictures and thumbnails, by id alone."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from inkseek.gallery.search import Gallery
from inkseek.gallery.store import Picture, Stamp
from inkseek.images.reading import read_picture
from inkseek.server.batching import Gate
from inkseek.server.messages import Id, Problem

MOST_CONVERTING = 8
_LONGEST_SHOWN = 2048
# What browsers show as it is; every other format is shown as a JPEG.
_SHOWN_AS_IS = {
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
_Responses = dict[int | str, dict[str, Any]]
_PICTURE: _Responses = {200: {"content": {"image/*": {}}}, 304: {"description": "Not Modified"}}
_MISSING: _Responses = {404: {"model": Problem}}
_CHANGED: _Responses = {410: {"model": Problem}}


def version_of(picture: Picture) -> str:
    """Return what changes with a picture's content, short enough for an address."""
    return picture.sha256.hex()[:16]


def thumbnail_address(picture: Picture) -> str:
    """Return an address of a picture's thumbnail that never shows another."""
    return f"/api/thumbnails/{picture.id}?v={version_of(picture)}"


def pictures_of(gallery: Gallery) -> APIRouter:
    """Return the routes that show one gallery's pictures."""
    router = APIRouter(prefix="/api")
    converters = CapacityLimiter(1)
    converting = Gate(MOST_CONVERTING)

    def known(picture: int) -> Picture:
        found = gallery.picture(picture)
        if found is None:
            raise HTTPException(404, f"no picture {picture} in this gallery")
        return found

    @router.get("/pictures/{picture}", response_class=Response, responses={**_PICTURE, **_MISSING, **_CHANGED})
    async def show(picture: Id, request: Request) -> Response:
        """Return the picture itself, as long as its file is still the one that was indexed."""
        found = await run_in_threadpool(known, picture)
        headers = _headers(found)
        if _is_known_already(request, headers):
            return Response(status_code=304, headers=headers)
        if not await run_in_threadpool(_is_as_indexed, found):
            raise HTTPException(410, "this file has been moved or changed since it was indexed; index again")
        kind = _SHOWN_AS_IS.get(found.path.suffix.lower())
        if kind is not None:
            return FileResponse(found.path, media_type=kind, headers=headers)
        with converting.enter():
            jpeg = await anyio.to_thread.run_sync(_as_jpeg, found.path, limiter=converters)
        return Response(jpeg, media_type="image/jpeg", headers=headers)

    @router.get("/thumbnails/{picture}", response_class=Response, responses={**_PICTURE, **_MISSING})
    def thumbnail(
        picture: Id,
        request: Request,
        v: Annotated[str, Query(max_length=64, description="The version that an answer's address carries.")] = "",
    ) -> Response:
        """Return a small JPEG of the picture, from the gallery itself."""
        found = known(picture)
        headers = _headers(found, forever=v == version_of(found))
        if _is_known_already(request, headers):
            return Response(status_code=304, headers=headers)
        return Response(gallery.store.thumbnail(picture), media_type="image/jpeg", headers=headers)

    return router


def _headers(picture: Picture, *, forever: bool = False) -> dict[str, str]:
    # Without its version an address may show another picture one day, as a gallery built anew gives out ids anew: the
    # browser keeps what it got, but asks each time whether it still holds.
    lifetime = "max-age=31536000, immutable" if forever else "no-cache"
    return {"ETag": f'"{version_of(picture)}"', "Cache-Control": f"private, {lifetime}"}


def _is_known_already(request: Request, headers: dict[str, str]) -> bool:
    held = request.headers.get("if-none-match", "").split(",")
    return headers["ETag"] in {tag.strip().removeprefix("W/") for tag in held}


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
