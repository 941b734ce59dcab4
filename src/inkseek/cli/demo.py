"""`inkseek demo`: the whole of it, on pictures that come with the installation."""

from __future__ import annotations

import shlex
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from inkseek.evaluation.results import Results

RECIPE = "emoji-rdvc"


def demo(
    run: Annotated[Path, typer.Option(help="Where the trained model, the report and the gallery go.")] = Path(
        "runs/demo"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the training run.")] = 0,
    csv: Annotated[Path | None, typer.Option(help="Append the figures to this CSV of results.")] = None,
    serve: Annotated[bool, typer.Option(help="Serve the drawing page in the end.")] = True,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The page's port; 0 takes a free one.")] = 8765,
) -> None:
    r"""Learn, measure, report and draw on the embedded emoji set.

    It takes a few minutes on two cores and no network. What is there already is used again, so a second run starts the
    page within seconds.

    \b
    Examples:
      inkseek demo
      inkseek demo --no-serve --seed 1 --run runs/demo-seed1
    """
    from rich.console import Console

    from inkseek.cache import cache_folder
    from inkseek.cli.progress import bar
    from inkseek.datasets.emoji import open_emoji
    from inkseek.datasets.protocol import protocol_of
    from inkseek.evaluation.evaluate import evaluate_items
    from inkseek.evaluation.report import write_report
    from inkseek.gallery.search import open_gallery
    from inkseek.models.bundle import frozen
    from inkseek.training.log import read_log
    from inkseek.training.progress import RichReporter
    from inkseek.training.recipe import load_recipe
    from inkseek.training.trainer import train

    if serve:
        from inkseek.server import serving

        # A port in use should not be found out after minutes of training.
        serving.listen("127.0.0.1", port).close()
    console = Console(stderr=True, highlight=False)
    recipe = load_recipe(RECIPE, [f"seed={seed}"])

    console.rule("1. the emoji set")
    with bar(console, "rendering") as progress:
        dataset = open_emoji(cache_folder(), progress)
    protocol = protocol_of(dataset, "unseen")
    sketches = len(dataset.items.of(domain="sketch"))
    console.print(
        f"{sketches} line drawings with {len(dataset.items) - sketches} coloured pictures, "
        f"{len(dataset.items.classes)} subcategories; measured on {len(dataset.unseen)} that training never sees"
    )

    console.rule("2. training")
    with RichReporter(console) as reporter:
        model = train(recipe, run, name=RECIPE, resume=True, reporter=reporter)

    console.rule("3. measuring")
    evaluations = []
    for what, measured in (("frozen backbone", frozen(recipe.model.backbone, model.image_size)), ("trained", model)):
        with bar(console, what) as progress:
            evaluation = evaluate_items(measured, protocol, progress=progress)
        evaluations.append(evaluation)
        if csv is not None:
            name = RECIPE if measured is model else evaluation.results.model
            command = shlex.join(["inkseek", *sys.argv[1:]])
            evaluation.results.to_csv(csv, command=command, recipe=name, seed=seed if measured is model else "")
    before, after = evaluations
    console.print(_table(before.results, after.results))

    console.rule("4. report")
    report = run / "report.html"
    write_report(
        report,
        title="Inkseek demo: line art to emoji",
        before=before,
        after=after,
        log=read_log(run / "log.jsonl"),
        attribution=dataset.attribution,
        recipe=recipe.to_yaml(),
    )
    console.print(f"open {report} in a browser")

    console.rule("5. search by drawing")
    with closing(open_gallery(run / "gallery.db")) as gallery:
        with bar(console, "indexing") as progress:
            gallery.add(dataset.root / "photo", run, rebuild=True, progress=progress)
        console.print(f"{len(gallery)} pictures are searchable: inkseek serve --gallery {run / 'gallery.db'}")
        if serve:

            def ready(url: str) -> None:
                console.print(f"draw at {url} (Ctrl+C stops the server)")
                serving.open_page(url)

            # uvicorn has finished what was under way and passes Ctrl+C on; stopping is what was asked for.
            with suppress(KeyboardInterrupt):
                serving.serve(gallery, port=port, ready=ready)


def _table(before: Results, after: Results) -> Table:
    from rich.table import Table

    table = Table(title=f"{after.protocol}: {after.counts['queries']} drawings, {after.counts['gallery']} pictures")
    table.add_column("metric")
    for column in ("frozen", "trained", "ratio"):
        table.add_column(column, justify="right")
    for name, value in after.metrics.items():
        old = before.metrics.get(name, float("nan"))
        table.add_row(name, f"{old:.3f}", f"{value:.3f}", f"{value / old:.2f}x" if old > 0 else "")
    return table
