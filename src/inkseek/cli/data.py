"""`inkseek data`: what data sets there are, whether a copy is whole, and a smaller copy of what was downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from inkseek.datasets.checking import Check


def list_(
    name: Annotated[str | None, typer.Argument(help="One data set: its classes and its protocols with counts.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    r"""Say what data sets and protocols there are, and where the pictures come from.

    Nothing is downloaded: the pictures are their makers', who ask for them to be fetched from their own pages.

    \b
    Examples:
      inkseek data list
      inkseek data list sketchy-ext/split2
      inkseek data list --json
    """
    from rich.console import Console

    from inkseek.datasets.records import DATASET_RECORDS, names_of

    names = list(DATASET_RECORDS) if name is None else names_of(name)
    if as_json:
        typer.echo(json.dumps({known: _described(known) for known in names}, indent=2))
        return
    console = Console(markup=False, highlight=False, soft_wrap=True)
    for known in names:
        _show_record(console, known, whole=name is not None)
    if name is None:
        console.print("A data set's name alone means its /unseen. Where it comes from: inkseek data list NAME")


def check(
    name: Annotated[str, typer.Argument(help="A data set; `sketchy-ext` means all four of its forms.")],
    root: Annotated[Path | None, typer.Option(help="Where its pictures are.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    r"""Hold the counts of a data set on disk against its record.

    Ends with exit code 0 where all is as the protocols say, 1 where something is NON-STANDARD, 2 where the data set
    cannot be opened.

    \b
    Examples:
      inkseek data check quickdraw-photo --root datasets/quickdraw_photo
      inkseek data check sketchy-ext --root datasets/Sketchy
      inkseek data check cub-200-2011 --root datasets/CUB_200_2011 --json
    """
    from rich.console import Console

    from inkseek.datasets import checking
    from inkseek.datasets.records import names_of

    found = [checking.check(known, root) for known in names_of(name)]
    if as_json:
        typer.echo(json.dumps({one.name: _as_json(one) for one in found}, indent=2))
    else:
        console = Console(markup=False, highlight=False, soft_wrap=True)
        for one in found:
            _show(console, one)
    if not all(one.standard for one in found):
        raise typer.Exit(1)


def prepare(
    name: Annotated[str, typer.Argument(help="What is prepared; its copy is checked in the end.")],
    root: Annotated[Path, typer.Option(help="What was downloaded: archives, or the pictures themselves.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="The new folder for the smaller copy.")],
    size: Annotated[int, typer.Option(min=16, max=4096, help="Pixels of a picture's shorter side.")] = 256,
) -> None:
    r"""Unpack what was downloaded and make its pictures smaller, in a folder of their own.

    Originals are only read. It can be stopped at any time: the next run goes on. Pictures that cannot be read are
    listed and left out.

    \b
    Examples:
      inkseek data prepare cub-200-2011 --root downloads/cub --to datasets/CUB_200_2011
      inkseek data prepare tu-berlin-ext --root downloads/TUBerlin --to datasets/TUBerlin --size 224
    """
    from rich.console import Console

    from inkseek.cli.printable import printable
    from inkseek.cli.progress import bar
    from inkseek.datasets import checking, preparing
    from inkseek.datasets.records import names_of
    from inkseek.errors import InkseekError

    names = names_of(name)
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    with bar(console, "preparing, MB") as progress:
        done = preparing.prepare(
            root.expanduser(), to.expanduser(), size=size, progress=lambda read, of: progress(read >> 20, of >> 20)
        )
    for file in done.left_out:
        typer.echo(f"left out: {printable(file.path)}: {printable(file.reason)}", err=True)
    counts = [
        (done.written, "files written"),
        (done.kept, "were there"),
        (len(done.left_out), "left out"),
    ]
    said = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    typer.echo(f"{printable(to)}: {said or 'nothing to do'}", err=True)
    for known in names:
        try:
            _show(console, checking.check(known, to.expanduser()))
        except InkseekError as error:
            console.print(f"{known} cannot be opened yet: {printable(error)}")


def _show_record(console: Console, name: str, *, whole: bool) -> None:
    from inkseek.datasets.protocol import say
    from inkseek.datasets.records import DATASET_RECORDS

    record = DATASET_RECORDS[name]
    console.print(f"{name}: {record.title}")
    if whole:
        for what in ("domains", "relevance", "origin", "licence", "counted"):
            console.print(f"  {what}: {getattr(record, what)}")
        for what, classes in (("seen", record.seen), ("unseen", record.unseen)):
            if classes:
                console.print(f"  {len(classes)} {what}: {', '.join(classes)}")
    for split, of in record.protocols.items():
        counts = ((of.classes, "classes"), (of.queries, "queries"), (of.gallery, "gallery pictures"))
        said = ", ".join(f"{say(count)} {what}" for count, what in counts if count is not None)
        console.print(f"  {name}/{split}: {said or 'whatever is there'}")
        if whole and of.metrics:
            console.print(f"    prints {', '.join(of.metrics)}{', clustering figures' if of.clustering else ''}")


def _described(name: str) -> dict[str, object]:
    from dataclasses import asdict

    from inkseek.datasets.records import DATASET_RECORDS

    record = DATASET_RECORDS[name]
    said = ("title", "domains", "relevance", "origin", "licence", "counted", "seen_sketches", "seen_photos")
    return {
        **{what: getattr(record, what) for what in said},
        "seen": record.seen,
        "unseen": record.unseen,
        "protocols": {f"{name}/{split}": asdict(of) for split, of in record.protocols.items()},
    }


def _as_json(found: Check) -> dict[str, object]:
    counts = {
        split: {count.what: {"expected": count.expected, "found": count.found} for count in of}
        for split, of in found.counts.items()
    }
    return {
        "root": str(found.root),
        "layout": found.layout,
        "standard": found.standard,
        "counts": counts,
        "missing": found.missing,
        "notes": found.notes,
    }


def _show(console: Console, found: Check) -> None:
    from rich.table import Table

    from inkseek.cli.printable import printable
    from inkseek.datasets.protocol import say

    console.print(f"{found.name} at {printable(found.root)}, by {printable(found.layout)}")
    table = Table("split", "what", "expected", "found", "", box=None, pad_edge=False)
    for split, of in found.counts.items():
        for number, count in enumerate(of):
            differs = "" if count.standard else "differs"
            table.add_row("" if number else split, count.what, say(count.expected), say(count.found), differs)
    console.print(table)
    if found.missing:
        console.print(f"missing classes: {', '.join(map(printable, found.missing))}")
    for note in found.notes:
        console.print(printable(note))
    if not found.standard:
        console.print("NON-STANDARD: what differs is marked above")
    else:
        console.print("as the protocol says" if found.stated else "no counts are stated to hold it against")
