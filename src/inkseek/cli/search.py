"""`inkseek search`: the pictures most like drawings or pictures."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from inkseek.cli.backends import BackendOption, CollectionOption, RuntimeOption, UriOption, place

if TYPE_CHECKING:
    from inkseek.gallery.cutoff import Cutoff
    from inkseek.gallery.search import Hit

_DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]


def search(
    queries: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[QUERY]...",
            help="A picture's file, a drawing FILE.ndjson#NUMBER of QuickDraw's, or id:ID, a picture of the gallery. "
            "Several become one query; `2:` before one doubles its weight, `photo:` or `sketch:` says what it is.",
        ),
    ] = None,
    minus: Annotated[
        list[str] | None, typer.Option(help="Not like this: a QUERY that is subtracted; may be given again.")
    ] = None,
    gallery: Annotated[Path, typer.Option(help="The gallery's file.")] = Path("gallery.db"),
    k: Annotated[int, typer.Option("-k", min=1, help="How many pictures.")] = 20,
    domain: Annotated[
        Literal["sketch", "photo"],
        typer.Option("--as", help="What a query is: a sketch, or a photo (more like this)."),
    ] = "sketch",
    folder: Annotated[Path | None, typer.Option(help="Only pictures in this folder or below.")] = None,
    newer: Annotated[
        datetime | None, typer.Option(formats=_DATES, help="Only files last changed on this day or later.")
    ] = None,
    older: Annotated[
        datetime | None, typer.Option(formats=_DATES, help="Only files last changed before this day.")
    ] = None,
    min_side: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="Only pictures whose shorter side has this many pixels.")
    ] = None,
    collapse: Annotated[
        bool, typer.Option("--collapse", help="Show only the best of each group of near-duplicates.")
    ] = False,
    cutoff: Annotated[
        str | None,
        typer.Option(
            metavar="DISTANCE|margin|auto",
            help="Leave out what is this much farther away than the best picture, in Euclidean distance of unit "
            "vectors; `margin` takes what the model has learned, `auto` that or half way to what is usual.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    paths: Annotated[bool, typer.Option("--paths", help="Print the files' paths alone, one a line.")] = False,
    null: Annotated[
        bool, typer.Option("-0", "--null", help="With --paths: a NUL after each path, for `xargs -0`.")
    ] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with the pictures.")] = None,
    backend: BackendOption = "sqlite",
    uri: UriOption = None,
    collection: CollectionOption = None,
    runtime: RuntimeOption = "torch",
) -> None:
    r"""Find the pictures most like a drawing.

    The score is the cosine similarity of the embeddings. Examples are added as unit vectors times their weights.

    \b
    Examples:
      inkseek search doodle.png --gallery photos.db -k 10
      inkseek search beach.jpg --gallery photos.db --as photo --json
      inkseek search 2:doodle.png photo:beach.jpg --minus id:17 --folder ~/Pictures/2023
      inkseek search cat.ndjson#3 --collapse --cutoff 0.2 --paths -0 | xargs -0 cp -t found
    """
    from inkseek.cli.printable import printable
    from inkseek.cli.queries import example
    from inkseek.errors import InkseekError
    from inkseek.gallery.filters import Filter
    from inkseek.gallery.page_of_hits import page_of_hits
    from inkseek.gallery.search import open_gallery

    if as_json + paths + (html is not None) > 1:
        raise InkseekError("--json, --paths and --html are ways to show the same; give one of them")
    if null and not paths:
        raise InkseekError("-0 says how --paths ends a path; give --paths too")
    examples = [example(typed, domain) for typed in queries or ()]
    examples += [example(typed, domain, sign=-1) for typed in minus or ()]
    if not examples:
        raise InkseekError("nothing to search for; give a picture's file, FILE.ndjson#NUMBER or id:ID")
    only = Filter(folder, newer, older, min_side)
    opened = open_gallery(place(gallery, backend, uri, collection), runtime=runtime)
    try:
        hits = opened.search(examples, k, only=only, collapse=collapse, cutoff=_cutoff(cutoff))
        if not hits and only == Filter():
            raise InkseekError(
                f"{printable(opened.name)} holds no pictures; fill it with `inkseek index DIR {opened.place.options}`"
            )
        page = "" if html is None else page_of_hits(opened, hits, " ".join(queries or ()) or "Not like an example")
    finally:
        opened.close()
    if not hits:
        typer.echo("no picture passes --folder, --newer, --older and --min-side; ask for less", err=True)
    if html is not None:
        try:
            html.write_text(page, encoding="utf-8", errors="replace")
        except OSError as error:
            raise InkseekError(f"{printable(html)}: cannot be written ({error.strerror or error})") from None
        typer.echo(f"{printable(html)}: {len(hits)} pictures", err=True)
    elif paths:
        _print_paths(hits, b"\0" if null else b"\n")
    elif as_json:
        _print_json(hits)
    elif hits:
        _print_table(hits)


def _cutoff(typed: str | None) -> Cutoff | None:
    from inkseek.errors import InkseekError

    if typed is None:
        return None
    if typed in ("margin", "auto"):
        return cast("Cutoff", typed)
    try:
        return float(typed)
    except ValueError:
        raise InkseekError(f"--cutoff takes a distance such as 0.2, or margin, or auto, not {typed!r}") from None


def _print_paths(hits: list[Hit], end: bytes) -> None:
    import os

    from inkseek.gallery.sources import address_of

    # Bytes, so that a file's name that is no text survives.
    out = typer.get_binary_stream("stdout")
    out.write(b"".join(os.fsencode(address_of(hit.path)) + end for hit in hits))
    out.flush()


def _print_json(hits: list[Hit]) -> None:
    import json

    from inkseek.gallery.sources import address_of

    rows = [
        {
            "rank": rank,
            "path": address_of(hit.path),
            "score": hit.score,
            "distance": hit.distance,
            "id": hit.id,
            "width": hit.width,
            "height": hit.height,
            "duplicates": hit.duplicates,
        }
        for rank, hit in enumerate(hits, 1)
    ]
    # Escaped to ASCII, so that a file's name that is no text survives as well.
    typer.echo(json.dumps(rows, indent=2))


def _print_table(hits: list[Hit]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from inkseek.cli.printable import printable
    from inkseek.gallery.sources import address_of

    folded = any(hit.duplicates for hit in hits)
    table = Table(box=None, pad_edge=False)
    for column in ("rank", "score", "id", "size", *(["alike"] if folded else ())):
        table.add_column(column, justify="right")
    table.add_column("path", overflow="fold")
    for rank, hit in enumerate(hits, 1):
        alike = [f"+{len(hit.duplicates)}" if hit.duplicates else ""] if folded else []
        size = f"{hit.width}x{hit.height}"
        table.add_row(str(rank), f"{hit.score:.3f}", str(hit.id), size, *alike, Text(printable(address_of(hit.path))))
    Console(highlight=False).print(table)
