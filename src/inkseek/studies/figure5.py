"""Figure 5: accuracy of each unseen class, of Table 4's strategies."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from inkseek.studies import drawing
from inkseek.studies.grounds import PAIRS_NOTES, TRIALS, pairs_rows, published_pairs_rows
from inkseek.studies.measures import by_class
from inkseek.studies.outcome import Outcome
from inkseek.studies.study import Study
from inkseek.studies.table5 import ACCURACY, BY_CLASS, CLAIMS


def _draw(outcome: Outcome) -> Figure:
    found = {row: outcome.mean_series(row, BY_CLASS) for row in outcome.finished()}
    last = list(found.values())[-1] if found else {}
    names = sorted((name for name in last if all(name in of for of in found.values())), key=lambda name: -last[name])
    with drawing.style():
        figure, (axes,) = drawing.canvas(10.0, 3.6)
        width = 0.8 / max(1, len(found))
        for place, (row, values) in enumerate(found.items()):
            axes.bar(
                np.arange(len(names)) + (place - (len(found) - 1) / 2) * width,
                [100 * values[name] for name in names],
                width,
                color=drawing.PALETTE[place],
                hatch=("", "///", "...")[place],
                edgecolor="white",
                linewidth=0,
                label=row,
            )
        axes.set_xticks(np.arange(len(names)), names, rotation=40, ha="right", parse_math=False)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel(f"{ACCURACY}, %")
        axes.set_title("Accuracy of each unseen class, mean over seeds")
        if found:
            axes.legend()
        return figure


STUDY = Study(
    name="fig5",
    title="Figure 5: accuracy of each unseen class",
    says="PK with RDVC is best in nearly every unseen class.",
    rows={"small": pairs_rows(), "full": published_pairs_rows()},
    claims={"small": CLAIMS[1:], "full": CLAIMS[1:]},
    draw=_draw,
    metrics={"small": (ACCURACY,), "full": (ACCURACY,)},
    measures=(by_class(ACCURACY),),
    notes={"small": PAIRS_NOTES},
    budget=TRIALS,
)
