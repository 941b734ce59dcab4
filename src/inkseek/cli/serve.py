"""`inkseek serve`: draw in the browser, see the pictures."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from inkseek.cli.backends import BackendOption, CollectionOption, RuntimeOption, UriOption, place


def serve(
    gallery: Annotated[Path, typer.Option(help="The gallery's file.")] = Path("gallery.db"),
    host: Annotated[str, typer.Option(help="Where to listen; elsewhere than on this machine a token is needed.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765,
    token: Annotated[
        str | None, typer.Option(envvar="INKSEEK_TOKEN", help="A secret that every request must carry.")
    ] = None,
    browse: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    backend: BackendOption = "sqlite",
    uri: UriOption = None,
    collection: CollectionOption = None,
    runtime: RuntimeOption = "torch",
) -> None:
    r"""Serve a gallery's drawing page and HTTP API.

    It listens on this machine alone unless told otherwise.

    \b
    Examples:
      inkseek serve --gallery photos.db
      INKSEEK_TOKEN=... inkseek serve --gallery photos.db --host 0.0.0.0
    """
    from inkseek.errors import InkseekError
    from inkseek.gallery.search import open_gallery

    try:
        from inkseek.server import serving
    except ModuleNotFoundError as error:
        raise InkseekError(
            f"{error.name} is not installed; the server needs `pip install 'inkseek[server]'`"
        ) from error

    def ready(url: str) -> None:
        typer.echo(f"Draw at {url}\nCtrl+C stops the server.")
        if browse:
            serving.open_page(url)

    opened = open_gallery(place(gallery, backend, uri, collection), runtime=runtime)
    try:
        # uvicorn has finished what was under way and passes Ctrl+C on; stopping is what was asked for.
        with suppress(KeyboardInterrupt):
            serving.serve(opened, host, port, token=token, ready=ready)
        typer.echo("Stopped.")
    finally:
        opened.close()
