"""What a study's CSVs hold: figures and series of every finished run, by row and seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inkseek.datasets.protocol import Protocol

Floats = npt.NDArray[np.float64]
Point = tuple[str, float]


@dataclass(frozen=True, eq=False)
class Finished:
    """One finished run.

    Attributes:
        row: its row's name.
        seed: of the run.
        figures: name -> number.
        series: name -> points; x is text as the CSV has it.
    """

    row: str
    seed: int
    figures: Mapping[str, float]
    series: Mapping[str, Sequence[Point]]


@dataclass(frozen=True, eq=False)
class Outcome:
    """All finished runs of a study at one scale.

    Attributes:
        rows: names of the study's rows, in its order; some may have no run yet.
        runs: the runs.
        protocol: opens what a row was measured on, for figures that show pictures.
    """

    rows: tuple[str, ...]
    runs: tuple[Finished, ...]
    protocol: Callable[[str], Protocol] | None = None

    def of(self, row: str) -> list[Finished]:
        """Return a row's runs in the order of their seeds."""
        return sorted((run for run in self.runs if run.row == row), key=lambda run: run.seed)

    def values(self, row: str, figure: str) -> dict[int, float]:
        """Return seed -> a figure of a row, of runs that have it."""
        return {run.seed: run.figures[figure] for run in self.of(row) if figure in run.figures}

    def paired(self, a: str, b: str, figure: str) -> tuple[Floats, Floats]:
        """Return a figure of two rows under the seeds that both have, in one order."""
        of_a, of_b = self.values(a, figure), self.values(b, figure)
        seeds = sorted(set(of_a) & set(of_b))
        return np.array([of_a[seed] for seed in seeds]), np.array([of_b[seed] for seed in seeds])

    def finished(self, rows: Iterable[str] | None = None) -> list[str]:
        """Return those rows, of all or of the given ones, that have a run."""
        return [row for row in (self.rows if rows is None else rows) if self.of(row)]

    def curves(self, row: str, series: str) -> list[tuple[Floats, Floats]]:
        """Return (x, y) of a series of numbers, one for each seed that has it."""
        return [
            (np.array([float(x) for x, _ in points]), np.array([y for _, y in points]))
            for run in self.of(row)
            if (points := run.series.get(series))
        ]

    def mean_series(self, row: str, series: str) -> dict[str, float]:
        """Return x -> the mean of y over seeds, for x that every seed has."""
        found = [dict(run.series[series]) for run in self.of(row) if series in run.series]
        if not found:
            return {}
        return {x: float(np.mean([of[x] for of in found])) for x in found[0] if all(x in of for of in found)}
