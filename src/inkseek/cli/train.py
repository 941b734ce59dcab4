"""`inkseek train`: run a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a YAML file.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one key; may be repeated.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Where the data set's pictures are (data.root).")] = None,
    run: Annotated[Path | None, typer.Option(help="The run's folder; runs/<recipe> by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done and how long it would take; write nothing.")
    ] = False,
) -> None:
    r"""Train a model by a recipe.

    The model ends up in the run's folder, ready for evaluate, index and search.

    \b
    Examples:
      inkseek train quickdraw-rdvc --root datasets/quickdraw_photo
      inkseek train quickdraw-rdvc --set objective.rdvc.weight=0.5 --set seed=1 --run runs/seed1
      inkseek train my-recipe.yaml --resume
      inkseek train my-recipe.yaml --dry-run
      torchrun --nproc-per-node 4 -m -- inkseek train my-recipe.yaml
    """
    import os

    from rich.console import Console

    from inkseek.models.tuning import describe_tuning
    from inkseek.training.progress import RichReporter, WarningsOnly, summary
    from inkseek.training.recipe import load_recipe
    from inkseek.training.rehearsal import rehearse
    from inkseek.training.trainer import train as run_training

    overrides = [*(set_ or []), *([f"data.root={root}"] if root else [])]
    resolved = load_recipe(recipe, overrides)
    name = Path(recipe).stem
    folder = run or Path("runs") / name
    console = Console(stderr=True)
    if dry_run:
        typer.echo(resolved.to_yaml(), nl=False)
        rehearsal = rehearse(resolved, name)
        console.print(summary(rehearsal.plan))
        if resolved.model.tune != "full":  # all of a network is a list that nobody reads
            console.print(str(describe_tuning(rehearsal.plan.model.embedder)), highlight=False, markup=False)
        if learns := rehearsal.plan.objective_learns:
            console.print(f"the objective learns {sum(learns.values()):,} numbers, in {len(learns)} tensors")
            for parameter, size in learns.items():
                console.print(f"  {parameter:<{max(map(len, learns))}}  {size:>12,}", highlight=False, markup=False)
        console.print(str(rehearsal), highlight=False, markup=False)
        return
    if int(os.environ.get("RANK", 0)) > 0:
        run_training(resolved, folder, name=name, resume=resume, reporter=WarningsOnly(console))
        return
    with RichReporter(console) as reporter:
        model = run_training(resolved, folder, name=name, resume=resume, reporter=reporter)
    console.print(f"kept: step {model.card.step}; the model is in {folder}")
    console.print(f"next: inkseek evaluate {folder}")
