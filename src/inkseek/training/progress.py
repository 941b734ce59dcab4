"""What a person sees of a training run: its plan, a bar with time left, each validation."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from inkseek.datasets.dataset import listed
from inkseek.training.plan import Plan

# Where no bar can move (a log file, a batch job), a line says now and then how far the run is.
_LINE_EVERY = 50
# Figures of the whole step; what else has no dot in its name is a term of the objective.
_NO_TERM = frozenset({"loss", "images/s", "gradient", "lr"})


class RichReporter:
    """Prints to a console; a context manager, so that the bar is gone whatever happens.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("[bold]training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> RichReporter:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def started(self, plan: Plan, step: int) -> None:
        """Print the plan and start the bar."""
        self._console.print(summary(plan))
        if missing := plan.dataset.missing:
            self._console.print(f"classes of {plan.dataset.name} that are missing: {listed(missing)}", markup=False)
        for note in plan.dataset.notes:
            self._console.print(note, markup=False)
        if step:
            self._console.print(f"going on after step {step}")
        self._task = self._bar.add_task("training", total=plan.recipe.optim.steps, completed=step, figures="")

    def stepped(self, step: int, figures: Mapping[str, float]) -> None:
        """Move the bar, and show the loss terms when there are new ones."""
        self._bar.update(self._task, completed=step)
        if figures:
            said = _say(figures)
            self._bar.update(self._task, figures=said)
            if not self._console.is_terminal and step % _LINE_EVERY == 0:
                self._console.print(f"step {step}: {said}")

    def validated(self, step: int, metric: str, value: float, best: bool) -> None:
        """Print one line."""
        self._console.print(f"step {step}: validation {metric} {value:.4f}{'  (best so far)' if best else ''}")

    def warned(self, step: int, advice: str) -> None:
        """Print the advice where it stays."""
        self._console.print(f"step {step}: {advice}", style="yellow", highlight=False, markup=False)


class WarningsOnly:
    """What the processes but the first say: which pictures of their share cannot be read.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def started(self, plan: Plan, step: int) -> None:
        """Say nothing."""

    def stepped(self, step: int, figures: Mapping[str, float]) -> None:
        """Say nothing."""

    def validated(self, step: int, metric: str, value: float, best: bool) -> None:
        """Say nothing."""

    def warned(self, step: int, advice: str) -> None:
        """Print the advice."""
        self._console.print(f"step {step}: {advice}", style="yellow", highlight=False, markup=False)


def _say(figures: Mapping[str, float]) -> str:
    """The figures of a logging step in a line: speed, loss and its terms, active share, relative distance."""
    parts = [f"{figures['images/s']:.0f} images/s", f"loss {figures['loss']:.3f}"]
    terms = [name for name in figures if "." not in name and name not in _NO_TERM]
    if len(terms) > 1:
        parts.append(f"of {', '.join(f'{name} {figures[name]:.3f}' for name in terms)}")
    base = next((name.removesuffix(".variance") for name in figures if name.endswith(".variance")), None)
    if base is not None:
        if f"{base}.active" in figures:
            parts.append(f"{figures[f'{base}.active']:.0%} active")
        parts.append(f"D {figures[f'{base}.mean']:+.2f} (variance {figures[f'{base}.variance']:.3f})")
    return ", ".join(parts)


def summary(plan: Plan) -> Table:
    """Return the plan as a table: data, model, batch, objective, steps."""
    recipe, items = plan.recipe, plan.training
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    sketches, photos = len(items.of(domain="sketch")), len(items.of(domain="photo"))
    held = len(plan.dataset.pseudo_unseen) if recipe.validate_.on == "pseudo-unseen" else 0
    unseen = len(plan.dataset.unseen)
    classes = len(plan.dataset.seen) - held
    pictures = f"{photos} photos" if plan.dataset.one_domain else f"{sketches} sketches, {photos} photos"
    table.add_row("data", f"{plan.dataset.name}: {classes} classes, {pictures}")
    table.add_row("", f"{held} seen classes held out for validation, {unseen} unseen classes untouched")
    crop = f", cut out of {recipe.data.resize}" if recipe.data.resize else ""
    table.add_row(
        "model",
        f"{recipe.model.backbone} at {recipe.data.image_size} px{crop}, {plan.model.embedder.dim} numbers an "
        f"embedding, {plan.trained_parameters:,} of {plan.parameters:,} parameters learn ({recipe.model.tune}, "
        f"BatchNorm {recipe.model.batchnorm})"
        + (", head dropped after training" if recipe.model.head == "dropped" else ""),
    )
    parts = f", in {recipe.batch.parts} parts" if recipe.batch.parts > 1 else ""
    table.add_row("batch", f"{recipe.batch} ({plan.batches.size} pictures{parts})")
    table.add_row("objective", ", ".join(f"{name} {options or {}}" for name, options in recipe.objective.items()))
    kept = "the best is kept" if held else "the last is kept"
    table.add_row(
        "steps", f"{recipe.optim.steps}, a checkpoint every {recipe.validate_.every}, {kept}; seed {recipe.seed}"
    )
    return table
