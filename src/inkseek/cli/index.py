"""`inkseek index`: make a folder of pictures searchable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def index(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of pictures, with all its subfolders.")],
    gallery: Annotated[Path, typer.Option(help="The gallery's file; made when missing.")] = Path("gallery.db"),
    model: Annotated[
        str | None,
        typer.Option(help="A run's or a bundle's folder; may be left out when the gallery has a model."),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Embed everything again when the model is another one.")
    ] = False,
) -> None:
    r"""Make a folder of pictures searchable.

    A gallery that is there is brought up to date: only new content is embedded; moved and deleted files are followed.
    It can be stopped at any time: the next run goes on. Pictures stay where they are.

    \b
    Examples:
      inkseek index ~/Pictures --gallery photos.db --model runs/quickdraw-rdvc
      inkseek index ~/Pictures --gallery photos.db
    """
    from rich.console import Console

    from inkseek.cli.printable import printable
    from inkseek.cli.progress import bar
    from inkseek.errors import InkseekError
    from inkseek.gallery.search import open_gallery

    console = Console(stderr=True, highlight=False)
    opened = open_gallery(gallery)
    try:
        with bar(console, "indexing") as progress:
            report = opened.add(folder, model, rebuild=rebuild, progress=progress)
        held = len(opened)
    finally:
        opened.close()
    for file in report.unreadable:
        typer.echo(f"left out: {printable(file.path)}: {printable(file.reason)}", err=True)
    parts = [
        (report.embedded, "embedded"),
        (report.reused, "moved or copied"),
        (report.unchanged, "unchanged"),
        (report.removed, "removed"),
        (len(report.unreadable), "unreadable"),
    ]
    done = ", ".join(f"{count:,} {what}" for count, what in parts if count)
    typer.echo(f"{printable(gallery)}: {held:,} pictures ({done}) in {report.seconds:.1f} s", err=True)
    if not held:
        raise InkseekError(f"none of the {report.found} picture files below {printable(folder)} can be read")
