"""`inkseek reproduce`: run a table or figure of a paper, judge its claim, write its page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def reproduce(
    name: Annotated[str | None, typer.Argument(help="A study; without one, they are listed.")] = None,
    scale: Annotated[
        str, typer.Option(help="small: data and networks for a laptop; full: the paper's data, networks and steps.")
    ] = "small",
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Runs of every row.")] = 5,
    data: Annotated[
        Path | None,
        typer.Option(envvar="INKSEEK_DATA", help="Holds the data sets' folders; else where the recipes say they are."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the study's folder of CSVs, figures and page is written.")] = Path(
        "results/studies"
    ),
    runs: Annotated[Path, typer.Option(help="Where runs are made and kept; studies share them.")] = Path(
        "runs/studies"
    ),
    row: Annotated[list[str] | None, typer.Option(help="Run this row alone; may be repeated.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one key of every recipe.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on; what the CSVs hold is not run again, and the page is made anew.")
    ] = False,
) -> None:
    r"""Run a table or figure of a paper: its rows under several seeds, then verdicts, figure and page.

    Settings are chosen on pseudo-unseen classes first, with as many trials for baselines as for ours.

    \b
    Examples:
      inkseek reproduce
      inkseek reproduce table1 --data datasets
      inkseek reproduce fig6b --seeds 3 --resume
      inkseek reproduce table1 --scale full --seeds 1 --set model.weights=bn_inception-52deb4733.pth
    """
    from typing import get_args

    from rich.console import Console

    from inkseek.errors import InkseekError, nearest
    from inkseek.studies.catalogue import STUDIES, study
    from inkseek.studies.reproduce import reproduce as run_study
    from inkseek.studies.runs import Bench
    from inkseek.studies.study import Scale
    from inkseek.training.progress import WarningsOnly

    if name is None:
        width = max(map(len, STUDIES)) + 2
        for known in STUDIES.values():
            typer.echo(f"{known.name:<{width}}{known.title}")
        return
    scales: dict[str, Scale] = {known: known for known in get_args(Scale)}
    if scale not in scales:
        raise InkseekError(f"--scale {scale}: it is {' or '.join(scales)}{nearest(scale, scales)}")
    console = Console(stderr=True)
    page = run_study(
        study(name),
        scales[scale],
        seeds=seeds,
        folder=out,
        bench=Bench(runs, data, tuple(set_ or ()), WarningsOnly(console)),
        resume=resume,
        only=row or (),
        tell=lambda line: console.print(line, highlight=False, markup=False),
    )
    console.print(f"page: {page}", highlight=False, markup=False)
