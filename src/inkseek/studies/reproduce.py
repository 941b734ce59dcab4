"""A study run from its first trial to its page; what its CSVs hold already is never run again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inkseek.errors import InkseekError
from inkseek.evaluation.results_csv import COLUMNS, append_row, read_rows
from inkseek.models.bundle import load
from inkseek.studies import drawing, page
from inkseek.studies.outcome import Finished, Outcome
from inkseek.studies.runs import Bench, digest, environment, measure
from inkseek.studies.series_csv import read_series, write_series
from inkseek.studies.study import Measured, Row, Scale, Study
from inkseek.studies.tuning import SEED, choose
from inkseek.training.log import read_log
from inkseek.training.recipe import Recipe

KEYS = ("scale", "row", "settings", "digest")
"""The columns that say which run a line of a study's CSV is, with `COLUMNS`' seed."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Folder:
    """A study's folder at one scale: `runs.csv`, `tuning.csv`, `series.csv`, `verdicts.csv`, figures and page.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def runs(self) -> Path:
        """A line a finished run."""
        return self.path / "runs.csv"

    @property
    def tuning(self) -> Path:
        """A line a trial."""
        return self.path / "tuning.csv"

    @property
    def series(self) -> Path:
        """A line a point."""
        return self.path / "series.csv"


def reproduce(
    study: Study,
    scale: Scale,
    *,
    seeds: int,
    folder: Path,
    bench: Bench,
    resume: bool,
    only: Sequence[str] = (),
    tell: Tell = lambda _: None,
) -> Path:
    """Run a study and write its CSVs, its figure and its page.

    Args:
        study: what to run.
        scale: `small` or `full`.
        seeds: of every row, 0 to `seeds` - 1.
        folder: where results go; the study's are in `<name>-<scale>/` below it.
        bench: where runs are made.
        resume: go on with what the folder holds; what is finished is not run again.
        only: rows to run; all when empty.
        tell: is given a line for each finished run.

    Returns:
        The page.

    Raises:
        InkseekError: the folder holds the study already and `resume` is false, no such row, or what a run refuses.
        Interrupted: asked to stop in the middle of a run; what is finished stands.
    """
    own = Folder(folder / f"{study.name}-{scale}")
    rows = study.rows[scale]
    if own.runs.exists() and not resume:
        raise InkseekError(f"{own.path}: holds {study.name} already; go on with --resume, or choose another --out")
    names = [row.name for row in rows]
    if unknown := [name for name in only if name not in names]:
        raise InkseekError(f"{study.name} has no row {unknown[0]!r}; it has {', '.join(names)}")
    command = f"inkseek reproduce {study.name} --scale {scale} --seeds {seeds}"
    desk = _Desk(study, scale, own, bench, command, tell)
    chosen: dict[str, tuple[str, ...]] = {}
    for row in rows:
        if not only or row.name in only or any(of.like == row.name for of in rows if of.name in only):
            chosen[row.name] = desk.settings(row, chosen)
    # Seed by seed, so that a study cut short has every row under fewer seeds.
    for seed in range(seeds):
        for row in rows:
            if not only or row.name in only:
                desk.run(row, chosen[row.name], seed)
    return write(study, scale, folder, bench)


def write(study: Study, scale: Scale, folder: Path, bench: Bench) -> Path:
    """Judge, draw and describe what a study's CSVs hold; return the page."""
    own = Folder(folder / f"{study.name}-{scale}")
    outcome = read_outcome(study, scale, own, bench)
    judgements = [claim.judge(outcome) for claim in study.claims[scale]]
    page.write_verdicts(own.path / "verdicts.csv", judgements)
    drawing.save(study.draw(outcome), own.path / "figure")
    written = own.path / "README.md"
    text = page.page(study, scale, outcome, judgements, runs=read_rows(own.runs), trials=read_rows(own.tuning))
    written.write_text(text, encoding="utf-8")
    return written


def read_outcome(study: Study, scale: Scale, own: Folder, bench: Bench) -> Outcome:
    """Read what a study's CSVs hold of its rows."""
    series = read_series(own.series)
    rows = {row.name: row for row in study.rows[scale]}
    # A recipe that has changed since has a run of its own: the last line of a row and seed counts.
    latest = {(row["row"], row["seed"]): row for row in read_rows(own.runs)}
    runs = [
        Finished(
            row["row"],
            int(row["seed"]),
            {name: float(value) for name, value in row.items() if value and name not in (*COLUMNS, *KEYS)},
            series.get((row["row"], row["seed"], row["digest"]), {}),
        )
        for row in latest.values()
        if row["row"] in rows
    ]
    return Outcome(tuple(rows), tuple(runs), lambda row: bench.protocol(rows[row], bench.recipe(rows[row], ())))


class _Desk:
    """One study at one scale at work: what its CSVs hold, and what is added to them."""

    def __init__(self, study: Study, scale: Scale, own: Folder, bench: Bench, command: str, tell: Tell) -> None:
        self.study, self.scale, self.own, self.bench = study, scale, own, bench
        self.command, self.tell = command, tell
        self.trials = {row["digest"]: row for row in read_rows(own.tuning)}
        self.finished = {(row["row"], row["seed"], row["digest"]) for row in read_rows(own.runs)}

    def settings(self, row: Row, chosen: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        """Choose a row's settings on pseudo-unseen classes."""
        under = () if row.like is None else chosen[row.like]
        return under + choose(row.grid, self.study.budget, lambda settings: self._trial(row, under, settings))

    def _trial(self, row: Row, under: tuple[str, ...], settings: tuple[str, ...]) -> float:
        plain = self.bench.recipe(row, (*under, *settings))
        every = f"validate.every={plain.optim.steps}"
        recipe = self.bench.recipe(row, (*under, *settings), "validate.on=pseudo-unseen", every, f"seed={SEED}")
        name, of = f"{recipe.validate_.metric} (pseudo-unseen)", digest(recipe)
        if of not in self.trials:
            value = self.bench.figure(recipe)
            folder, protocol = self.bench.folder_of(recipe), f"{recipe.data.name}/pseudo-unseen"
            about = self._about(row, recipe, folder, protocol, (*under, *settings))
            self.trials[of] = about | {name: f"{value:.6f}"}
            append_row(self.own.tuning, self.trials[of])
            self.tell(f"{self.study.name}: trial of {row.name}: {' '.join(settings)}: {name} {value:.4f}")
        return float(self.trials[of][name])

    def run(self, row: Row, settings: tuple[str, ...], seed: int) -> None:
        """Run a row under a seed, unless its line is there."""
        recipe = self.bench.recipe(row, settings, f"seed={seed}")
        key = (row.name, str(seed), digest(recipe))
        if key in self.finished:
            return
        began = time.monotonic()
        folder = self.bench.model(recipe)
        model = load(folder)
        evaluation = measure(model, recipe, self.bench.protocol(row, recipe))
        measured = Measured(evaluation, read_log(folder / "log.jsonl"), seed, model)
        more = [of(measured) for of in self.study.measures]
        figures = {**evaluation.results.metrics, **{name: v for of in more for name, v in of.figures.items()}}
        results = evaluation.results
        protocol = results.protocol if results.standard else f"{results.protocol} NON-STANDARD"
        # First the series: a run is finished when its line is among the runs.
        write_series(self.own.series, key, {name: points for of in more for name, points in of.series.items()})
        about = self._about(row, recipe, folder, protocol, settings)
        append_row(self.own.runs, about | {name: f"{value:.6f}" for name, value in figures.items()})
        self.finished.add(key)
        first = self.study.metrics[self.scale][0]
        said = f"{first} {figures[first]:.4f}" if first in figures else "done"
        self.tell(f"{self.study.name}: {row.name}, seed {seed}: {said} ({time.monotonic() - began:.0f} s)")

    def _about(
        self, row: Row, recipe: Recipe, folder: Path, protocol: str, settings: tuple[str, ...]
    ) -> dict[str, str]:
        made = environment(folder)
        return {
            "command": self.command,
            "recipe": row.recipe,
            "protocol": protocol,
            "seed": str(recipe.seed),
            **made,
            "scale": self.scale,
            "row": row.name,
            "settings": " ".join(settings),
            "digest": digest(recipe),
        }
