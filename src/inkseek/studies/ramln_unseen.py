"""Which margins RAMLN's relation network gives to classes that it has never seen."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from inkseek.studies import drawing
from inkseek.studies.claims import Above
from inkseek.studies.measures import MARGIN_AND_MAP, MARGIN_OF_CLASS, MARGIN_SPREAD, margins_of_classes
from inkseek.studies.outcome import Outcome
from inkseek.studies.ramln_grounds import LEARNED, NOTE, RECIPES, RELATION, row
from inkseek.studies.study import Study

_SLOW, _NARROW = "R, LRUA memory, slower", "R, LRUA memory, margins from 0.2"
_METRICS = ("mAP@all", MARGIN_SPREAD, MARGIN_AND_MAP)


def _draw(outcome: Outcome) -> Figure:
    """Each row's mean margins, classes in the order of the first row's."""
    with drawing.style():
        figure, axes = drawing.canvas(11.0, 3.8, columns=len(outcome.rows))
        for at, row_name in zip(axes, outcome.rows, strict=True):
            if not outcome.of(row_name):
                drawing.nothing(at)
                continue
            for place, domain in enumerate(("sketch", "photo")):
                means = outcome.mean_series(row_name, f"{MARGIN_OF_CLASS}, {domain}")
                colour, mark = drawing.PALETTE[place], drawing.MARKS[place]
                at.plot(list(means.values()), np.arange(len(means)), mark, color=colour, label=domain, alpha=0.8)
                at.set_yticks(np.arange(len(means)), list(means), parse_math=False)
            at.set_title(row_name)
            at.set_xlabel("learned margin, mean over items and seeds")
            at.legend(fontsize=7)
        for at in axes[1:]:
            at.set_yticklabels([])
        return figure


_ROWS = (LEARNED, _SLOW, _NARROW)
_CLAIMS = (
    *(Above(f"Margins of unseen classes differ ({name})", name, MARGIN_SPREAD, 0.01, least=0.01) for name in _ROWS),
    *(
        Above(f"Unseen classes that are found worse have larger margins ({name})", name, MARGIN_AND_MAP, 0.0, least=0.1)
        for name in _ROWS
    ),
)

STUDY = Study(
    name="ramln-unseen",
    title="RAMLN's margins of unseen classes",
    says="The relation network gives classes that it has not seen margins of their own, by what its memory knows of "
    "their like.",
    rows={
        scale: (
            row(LEARNED, recipe, RELATION),
            row(_SLOW, recipe, RELATION, meta="{inner_rate: 5, lr: 0.0001}"),
            row(_NARROW, recipe, {**RELATION, "smallest": 0.2}),
        )
        for scale, recipe in RECIPES.items()
    },
    claims={"small": _CLAIMS, "full": _CLAIMS},
    draw=_draw,
    metrics={"small": _METRICS, "full": _METRICS},
    measures=(margins_of_classes,),
    notes={
        "small": (
            NOTE,
            f"*{MARGIN_SPREAD}*: standard deviation of the sketches' mean margins over unseen classes; margins lie "
            f"between 0.05 (0.2) and 1. *{MARGIN_AND_MAP}*: minus Spearman's correlation of a class's mean margin with "
            "its mAP@all. *Slower*: Adam at 1e-4 in place of 1e-3.",
        ),
    },
)
