"""What a study is: rows to run, claims to judge, a figure to draw, and what was published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from matplotlib.figure import Figure

from inkseek.evaluation.evaluate import Evaluation
from inkseek.models.bundle import Model
from inkseek.studies.claims import Claim
from inkseek.studies.outcome import Outcome

Scale = Literal["small", "full"]


@dataclass(frozen=True)
class Row:
    """One row of a study: a recipe, run under every seed.

    Attributes:
        name: as tables and figures call it.
        recipe: a shipped recipe's name.
        set: overrides, `key.key=value`.
        grid: settings that are chosen on pseudo-unseen classes before: override's key -> values.
        like: the row whose chosen settings this one takes; its own grid comes on top.
        measured_on: a recipe of another data set: the row is measured on those classes of it that it has not trained
            on, in the place of its own data set's unseen ones.
    """

    name: str
    recipe: str
    set: tuple[str, ...] = ()
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    like: str | None = None
    measured_on: str | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """A finished run, as measures see it.

    Attributes:
        evaluation: of the kept model on the unseen classes of the row's data set.
        log: what the run logged, a row a step or validation.
        seed: of the run.
        model: the kept model.
    """

    evaluation: Evaluation
    log: Sequence[Mapping[str, float]]
    seed: int
    model: Model


@dataclass(frozen=True)
class Measure:
    """What a study takes from a run beyond the protocol's metrics.

    Attributes:
        figures: name -> number, columns of the CSV of runs.
        series: name -> (x, y) pairs, rows of the CSV of series; x may be a word, such as a class.
    """

    figures: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, Sequence[tuple[float | str, float]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Published:
    """What a paper prints.

    Attributes:
        about: where it was printed, and on what it was measured.
        columns: names of its figures.
        rows: row -> figures, NaN where the paper has none.
    """

    about: str
    columns: tuple[str, ...]
    rows: Mapping[str, Sequence[float]]


@dataclass(frozen=True, eq=False)
class Study:
    """A table or a figure.

    Attributes:
        name: what `inkseek reproduce` is given.
        title: one line.
        says: what the paper claims here, in one sentence.
        rows: the rows at each scale.
        claims: what is judged at each scale.
        draw: makes the figure of what was found.
        metrics: which figures the page's table shows, by scale.
        tune_metric: what settings are chosen by, by scale.
        measures: what is taken from each run beyond the protocol's metrics.
        published: what the page shows beside.
        notes: what a reader must know, by scale.
        budget: trials of a row whose settings are chosen, baselines' like ours.
    """

    name: str
    title: str
    says: str
    rows: Mapping[Scale, tuple[Row, ...]]
    claims: Mapping[Scale, tuple[Claim, ...]]
    draw: Callable[[Outcome], Figure]
    metrics: Mapping[Scale, tuple[str, ...]]
    measures: tuple[Callable[[Measured], Measure], ...] = ()
    published: tuple[Published, ...] = ()
    notes: Mapping[Scale, tuple[str, ...]] = field(default_factory=dict)
    budget: int = 12
