"""`inkseek index`: make a folder of pictures searchable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inkseek.cli.backends import BackendOption, CollectionOption, IndexOption, RuntimeOption, UriOption, place

if TYPE_CHECKING:
    from inkseek.gallery.indexing import Report
    from inkseek.gallery.ray_engine import RayEngine


def index(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE", help="The folder of pictures, with all its subfolders; with ray, an address too."
        ),
    ],
    gallery: Annotated[Path, typer.Option(help="The gallery's file; made when missing.")] = Path("gallery.db"),
    model: Annotated[
        str | None,
        typer.Option(help="A run's or a bundle's folder; may be left out when the gallery has a model."),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Embed everything again when the model is another one.")
    ] = False,
    watching: Annotated[
        bool, typer.Option("--watch", help="Go on, and index what changes below the folder until Ctrl-C.")
    ] = False,
    every: Annotated[
        float | None,
        typer.Option(
            min=1, metavar="SECONDS", help="With --watch: look this often, for network drives that tell of no changes."
        ),
    ] = None,
    backend: BackendOption = "sqlite",
    uri: UriOption = None,
    collection: CollectionOption = None,
    runtime: RuntimeOption = "torch",
    kind: IndexOption = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="What reads and embeds: this process, or Ray Data, on this machine or a cluster."),
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="With ray: a cluster's, HOST:6379 or auto; left out, Ray runs on this machine.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="With ray: models at work; one for each CPU or GPU by default.")
    ] = None,
    gpus: Annotated[bool, typer.Option("--gpus", help="With ray: give each worker a GPU.")] = False,
    parquet: Annotated[
        str | None,
        typer.Option(
            metavar="ID,IMAGE", help="With ray: SOURCE is Parquet; the columns of names and of pictures' bytes."
        ),
    ] = None,
) -> None:
    r"""Make a folder of pictures searchable.

    A gallery that is there is brought up to date: only new content is embedded; moved and deleted files are followed.
    It can be stopped at any time: the next run goes on. Pictures stay where they are.

    \b
    Examples:
      inkseek index ~/Pictures --gallery photos.db --model runs/quickdraw-rdvc
      inkseek index ~/Pictures --gallery photos.db
      inkseek index ~/Pictures --gallery photos.db --watch
      inkseek index ~/Pictures --backend milvus --uri http://milvus:19530 --index HNSW --model runs/quickdraw-rdvc
      inkseek index s3://archive/photos --engine ray --address auto --backend milvus --uri http://milvus:19530
    """
    import threading

    from rich.console import Console

    from inkseek.cli.printable import printable
    from inkseek.cli.progress import bar
    from inkseek.errors import InkseekError
    from inkseek.gallery.search import open_gallery
    from inkseek.gallery.watching import watch

    if every is not None and not watching:
        raise InkseekError("--every says how often --watch looks; give --watch too")
    by = _engine(engine, address, workers, gpus, parquet)
    if by is not None and watching:
        raise InkseekError("--watch follows a folder of this machine; leave --engine ray out")
    console = Console(stderr=True, highlight=False)
    opened = open_gallery(place(gallery, backend, uri, collection, kind), runtime=runtime)
    report: Report | None = None
    try:
        with bar(console, "indexing") as progress:
            report = opened.add(folder, model, rebuild=rebuild, progress=progress, engine=by)
        _tell(opened.name, len(opened), report)
        if not len(opened) and not watching:
            raise InkseekError(f"none of the {report.found} picture files below {printable(folder)} can be read")
        if watching:
            typer.echo(f"watching {printable(folder)}; end with Ctrl-C", err=True)
            watch(
                opened,
                folder,
                before=report,
                stop=threading.Event(),
                every=every,
                indexed=lambda later: _tell(opened.name, len(opened), later),
                failed=lambda error: typer.echo(f"inkseek: {printable(error)}", err=True),
            )
    except KeyboardInterrupt:
        if report is None:
            raise
    finally:
        opened.close()


def _engine(engine: str, address: str | None, workers: int | None, gpus: bool, parquet: str | None) -> RayEngine | None:
    from inkseek.errors import InkseekError
    from inkseek.gallery.ray_engine import RayEngine
    from inkseek.gallery.sources import Columns

    if engine == "local":
        for option, given in (("--address", address), ("--workers", workers), ("--gpus", gpus), ("--parquet", parquet)):
            if given:
                raise InkseekError(f"{option} is for Ray; give --engine ray too")
        return None
    columns = None
    if parquet is not None:
        name, comma, image = parquet.partition(",")
        if not (name and comma and image):
            raise InkseekError(f"--parquet takes two columns, of names and of pictures' bytes: id,image, not {parquet}")
        columns = Columns(name, image)
    return RayEngine(address, workers, gpus, columns)


def _tell(gallery: str, held: int, report: Report) -> None:
    from inkseek.cli.printable import printable

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
