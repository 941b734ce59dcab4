"""`inkseek evaluate`: a model on a protocol."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    model: Annotated[str, typer.Argument(help="A run's folder, a bundle, or frozen:BACKBONE[@SIZE[/RESIZE]].")],
    protocol: Annotated[
        str | None, typer.Option(help="For example quickdraw-photo/unseen; the run's own data set's unseen classes.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Where the data set's pictures are; the run's own.")] = None,
    metrics: Annotated[
        list[str] | None, typer.Option(help="Names, several apart by commas; the protocol's when left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Append a row to this CSV of results.")] = None,
    report: Annotated[bool, typer.Option(help="Write report.html into the run's folder.")] = True,
) -> None:
    r"""Measure a model on a protocol's unseen classes.

    Every metric is named with its convention; a run also gets a report with curves and retrieval grids.

    \b
    Examples:
      inkseek evaluate runs/quickdraw-rdvc
      inkseek evaluate runs/quickdraw-rdvc --protocol quickdraw-photo/unseen --root datasets/quickdraw_photo --json
      inkseek evaluate frozen:tf_efficientnet_lite0 --protocol emoji/unseen --csv results/frozen.csv
      torchrun --nproc-per-node 2 -m inkseek evaluate runs/quickdraw-rdvc
    """
    from rich.console import Console

    from inkseek.cli.progress import bar
    from inkseek.datasets.protocol import open_protocol
    from inkseek.errors import InkseekError
    from inkseek.evaluation.evaluate import evaluate_items
    from inkseek.evaluation.margins import margins_by_class
    from inkseek.evaluation.processes import process_group
    from inkseek.evaluation.report import write_report
    from inkseek.models.bundle import frozen, load
    from inkseek.training.log import read_log
    from inkseek.training.recipe import Recipe, load_recipe

    with process_group() as writes:
        console = Console(stderr=True, quiet=not writes)
        loaded = load(model)
        run = Path(model)
        recipe: Recipe | None = load_recipe(str(run / "recipe.yaml")) if (run / "recipe.yaml").is_file() else None
        if protocol is None:
            if recipe is None:
                raise InkseekError(f"{model}: say on what to measure it, for example --protocol quickdraw-photo/unseen")
            protocol = f"{recipe.data.name}/unseen"
        if root is None and recipe is not None and protocol.startswith(f"{recipe.data.name}/"):
            root = recipe.data.root
        opened = open_protocol(protocol, root)
        wanted = None if metrics is None else [part.strip() for given in metrics for part in given.split(",")]
        with bar(console, "embedding") as progress:
            after = evaluate_items(loaded, opened, metrics=wanted, progress=progress)
        if writes:
            typer.echo(after.results.to_json() if as_json else str(after.results))
            if csv is not None:
                command = shlex.join(["inkseek", *sys.argv[1:]])
                name = loaded.card.recipe or after.results.model
                after.results.to_csv(csv, command=command, recipe=name, seed=recipe.seed if recipe else "")
                console.print(f"a row was added to {csv}")
        before = None
        if report and recipe is not None:
            baseline = frozen(
                loaded.card.backbone, loaded.card.image_size, recipe.model.weights, resize=loaded.card.resize
            )
            with bar(console, "embedding with the frozen backbone") as progress:
                before = evaluate_items(baseline, opened, metrics=wanted, progress=progress)
    if writes and before is not None and recipe is not None:
        write_report(
            run / "report.html",
            title=f"{loaded.card.recipe} on {opened.name}",
            before=before,
            after=after,
            log=read_log(run / "log.jsonl"),
            attribution=loaded.card.attribution,
            recipe=recipe.to_yaml(),
            margins=None if loaded.margin is None else margins_by_class(loaded, after),
        )
        console.print(f"report: {run / 'report.html'}")
