"""`inkseek copy`: a gallery from SQLite into Milvus, or back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from inkseek.cli.backends import CollectionOption, IndexOption, UriOption, place


def copy(
    gallery: Annotated[Path, typer.Option(help="The gallery's file.")] = Path("gallery.db"),
    to: Annotated[Literal["milvus"] | None, typer.Option("--to", help="Copy the file into Milvus.")] = None,
    origin: Annotated[
        Literal["milvus"] | None, typer.Option("--from", help="Copy from Milvus into the file, made when missing.")
    ] = None,
    uri: UriOption = None,
    collection: CollectionOption = None,
    kind: IndexOption = None,
) -> None:
    r"""Copy a gallery from its file into Milvus, or back.

    Vectors and thumbnails come along, so nothing is embedded again. What is there already stays; a copy that was
    interrupted is started again.

    \b
    Examples:
      inkseek copy --gallery photos.db --to milvus --uri http://milvus:19530 --index HNSW
      inkseek copy --gallery photos.db --from milvus --uri http://milvus:19530
    """
    from contextlib import closing

    from rich.console import Console

    from inkseek.cli.printable import printable
    from inkseek.cli.progress import bar
    from inkseek.errors import InkseekError
    from inkseek.gallery.copying import copy_gallery
    from inkseek.gallery.search import open_gallery

    if (to is None) == (origin is None):
        raise InkseekError("say the direction: --to milvus or --from milvus")
    file = place(gallery, "sqlite", None, None)
    milvus = place(gallery, "milvus", uri, collection, kind)
    console = Console(stderr=True, highlight=False)
    with (
        closing(open_gallery(file if to else milvus)) as source,
        closing(open_gallery(milvus if to else file)) as target,
        bar(console, "copying") as progress,
    ):
        copied = copy_gallery(source, target, progress)
        held = len(target)
    typer.echo(f"{printable(target.name)}: {held:,} pictures ({copied:,} copied)", err=True)
