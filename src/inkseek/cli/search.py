"""`inkseek search`: the pictures most like a drawing or a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def search(
    query: Annotated[Path, typer.Argument(metavar="QUERY", help="A picture's file.")],
    gallery: Annotated[Path, typer.Option(help="The gallery's file.")] = Path("gallery.db"),
    k: Annotated[int, typer.Option("-k", min=1, help="How many pictures.")] = 20,
    domain: Annotated[
        Literal["sketch", "photo"],
        typer.Option("--as", help="What the query is: a sketch, or a photo (more like this)."),
    ] = "sketch",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    r"""Find the pictures most like a drawing.

    The score is the cosine similarity of the embeddings.

    \b
    Examples:
      inkseek search doodle.png --gallery photos.db -k 10
      inkseek search beach.jpg --gallery photos.db --as photo --json
    """
    import json

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from inkseek.cli.printable import printable
    from inkseek.errors import InkseekError
    from inkseek.gallery.search import open_gallery

    opened = open_gallery(gallery)
    try:
        hits = opened.search(query, k, domain)
    finally:
        opened.close()
    if not hits:
        raise InkseekError(f"{printable(gallery)} holds no pictures; fill it with `inkseek index DIR --gallery ...`")
    if as_json:
        rows = [
            {
                "rank": rank,
                "path": str(hit.path),
                "score": hit.score,
                "id": hit.id,
                "width": hit.width,
                "height": hit.height,
            }
            for rank, hit in enumerate(hits, 1)
        ]
        # Escaped to ASCII, so that a file's name that is no text survives as well.
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("rank", justify="right")
    table.add_column("score", justify="right")
    table.add_column("size", justify="right")
    table.add_column("path", overflow="fold")
    for rank, hit in enumerate(hits, 1):
        table.add_row(str(rank), f"{hit.score:.3f}", f"{hit.width}x{hit.height}", Text(printable(hit.path)))
    Console(highlight=False).print(table)
