"""Figure 4: what RDVC does to the relative distances of a triplet loss."""

from __future__ import annotations

from matplotlib.figure import Figure

from inkseek.studies import drawing
from inkseek.studies.claims import Lower
from inkseek.studies.grounds import BASES, TRIALS, full_row, small_row
from inkseek.studies.measures import BATCH_VARIANCE, VARIANCE, variances
from inkseek.studies.outcome import Outcome
from inkseek.studies.study import Row, Study


def _claims(rows: tuple[Row, Row]) -> tuple[Lower, ...]:
    alone, with_rdvc = (row.name for row in rows)
    return tuple(Lower(f"RDVC lowers the {figure}", with_rdvc, alone, figure) for figure in (VARIANCE, BATCH_VARIANCE))


def _draw(outcome: Outcome) -> Figure:
    with drawing.style():
        figure, axes = drawing.canvas(8.0, 3.2, columns=2)
        drawing.batch_variances(axes[0], outcome, outcome.finished(), "a")
        drawing.densities(axes[1], outcome, outcome.finished(), "b")
        if outcome.finished():
            axes[0].legend(fontsize=7)
        return figure


_SMALL = (small_row(BASES[0], ()), small_row(BASES[0], ("RDVC",)))
_FULL = (full_row("cub", BASES[0], ()), full_row("cub", BASES[0], ("RDVC",)))
_METRICS = (VARIANCE, BATCH_VARIANCE, "mean of D", "R@1", "NMI")

STUDY = Study(
    name="fig4",
    title="Figure 4: relative distances with and without RDVC",
    says="With RDVC a triplet loss leaves relative distances of a smaller variance, in batches and over the test set.",
    rows={"small": _SMALL, "full": _FULL},
    claims={"small": _claims(_SMALL), "full": _claims(_FULL)},
    draw=_draw,
    metrics={"small": _METRICS, "full": _METRICS},
    measures=(variances,),
    notes={
        "small": (
            "Two rows of Table 1's study at small scale (flowers, a head on frozen features), and the very same runs: "
            "margins and weight are those chosen for R@1, and need not be the same in both.",
        ),
    },
    budget=TRIALS,
)
