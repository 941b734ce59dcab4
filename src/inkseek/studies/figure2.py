"""Figure 2: how four losses spread relative distances, and whether that goes with worse clusters."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from inkseek.studies import drawing
from inkseek.studies.claims import FallsWith
from inkseek.studies.grounds import BASES, TRIALS, table1_rows
from inkseek.studies.measures import BATCH_VARIANCE, VARIANCE, variances
from inkseek.studies.outcome import Outcome
from inkseek.studies.study import Row, Study

_BASES = tuple(base.name for base in BASES)


def _claims(rows: tuple[Row, ...]) -> tuple[FallsWith, ...]:
    names = tuple(row.name for row in rows)
    alone = tuple(name for name in names if name.rpartition(": ")[2] in _BASES)
    return tuple(
        FallsWith(f"{metric} falls as the variance of relative distances rises, {says}", of, metric, VARIANCE)
        for says, of in (("over the four losses", alone), ("over all rows of Table 1", names))
        for metric in ("NMI", "F1")
    )


def _draw(outcome: Outcome) -> Figure:
    alone = [row for row in outcome.finished() if row.rpartition(": ")[2] in _BASES]
    with drawing.style():
        figure, axes = drawing.canvas(11.0, 3.4, columns=3)
        drawing.densities(axes[0], outcome, alone, "a")
        drawing.batch_variances(axes[1], outcome, alone, "b")
        widest = max([*(v for row in outcome.rows for v in outcome.values(row, VARIANCE).values()), 1e-9])
        for row in outcome.finished():
            figures = {name: list(outcome.values(row, name).values()) for name in ("NMI", "F1", VARIANCE)}
            nmi, f1, variance = (float(np.mean(values)) for values in figures.values())
            base = row.rpartition(": ")[2].partition(" + ")[0]
            axes[2].scatter(
                100 * nmi,
                100 * f1,
                s=20 + 280 * variance / widest,
                color=drawing.PALETTE[_BASES.index(base)],
                marker=drawing.MARKS[_BASES.index(base)],
                alpha=0.9 if row in alone else 0.35,
            )
        axes[2].set_title("c  Clusters; size: variance")
        axes[2].set_xlabel("NMI, %; pale: rows with SEC, RDVC or both")
        axes[2].set_ylabel("F1, %")
        if alone:
            axes[0].legend(loc="upper left", fontsize=7)
        return figure


_SMALL, _FULL = table1_rows(None), table1_rows("cub")
_METRICS = (VARIANCE, BATCH_VARIANCE, "NMI", "F1", "R@1")

STUDY = Study(
    name="fig2",
    title="Figure 2: the variance of relative distances, and clusters",
    says="The larger the variance of the relative distances that a loss leaves, the worse its clusters (NMI, F1).",
    rows={"small": _SMALL, "full": _FULL},
    claims={"small": _claims(_SMALL), "full": _claims(_FULL)},
    draw=_draw,
    metrics={"small": _METRICS, "full": _METRICS},
    measures=(variances,),
    notes={
        "small": (
            "The rows of Table 1's study at small scale (flowers, a head on frozen features), and the very same runs.",
            "Over four rows a correlation of one seed is one of few values; the one over all rows says more.",
        ),
        "full": ("A correlation says nothing of causes: losses differ in more than in the variance that they leave.",),
    },
    budget=TRIALS,
)
