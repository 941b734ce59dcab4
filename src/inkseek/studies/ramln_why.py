"""Why RAMLN's learned margin is what it is: one setting at a time, from where all of its rows ended."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from inkseek.studies import drawing
from inkseek.studies.claims import Better
from inkseek.studies.measures import logged
from inkseek.studies.outcome import Outcome
from inkseek.studies.ramln_grounds import LEARNED, MARGIN, RECIPES, RELATION, row
from inkseek.studies.study import Row, Study

_FIXED, _PLAIN = f"fixed margin {MARGIN:g}", LEARNED
_METRICS = ("mAP@all", "quadruplet.margin, last", "quadruplet.margin.min, last", "quadruplet.margin.max, last")
_SETTINGS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "inner rate 0.1": ("{inner_rate: 0.1}", {}, {}),
    "inner rate 20": ("{inner_rate: 20}", {}, {}),
    "inner step normalised": ("{inner_rate: 5, inner_normalise: true}", {}, {}),
    "half of the classes held out": ("{inner_rate: 5, held_out: 0.5}", {}, {}),
    "slower: Adam at 1e-4": ("{inner_rate: 5, lr: 0.0001}", {}, {}),
    "sharpness 5": ("{inner_rate: 5}", {}, {"sharpness": 5}),
    "sharpness 30": ("{inner_rate: 5}", {}, {"sharpness": 30}),
    "margins from 0.2": ("{inner_rate: 5}", {"smallest": 0.2}, {}),
    "memory temperature 1": ("{inner_rate: 5}", {"memory": {"kind": "lrua", "temperature": 1}}, {}),
    "a margin for each sample": ("{inner_rate: 5}", {"granularity": "sample"}, {}),
    "prototypes alone weigh 10": ("{inner_rate: 5, prototypes: 10}", {}, {}),
}


def _rows(recipe: str) -> tuple[Row, ...]:
    return (
        row(_FIXED, recipe),
        row(_PLAIN, recipe, RELATION),
        *(
            row(name, recipe, {**RELATION, **margin}, meta=meta, **more)
            for name, (meta, margin, more) in _SETTINGS.items()
        ),
    )


def _draw(outcome: Outcome) -> Figure:
    panels = (
        ("mAP@all", "On unseen classes", 100.0),
        ("quadruplet.margin, last", "Mean margin of the last batch", 1.0),
    )
    return drawing.bar_panels(outcome, panels, width=11.0, above=0.6, each=0.35)


_CLAIMS = (
    Better("A learned margin is better than the fixed one", _PLAIN, _FIXED, "mAP@all"),
    *(Better(f"A learned margin, {name}, is better than the fixed one", name, _FIXED, "mAP@all") for name in _SETTINGS),
)

STUDY = Study(
    name="ramln-why",
    title="RAMLN's learned margin, one setting at a time",
    says="A margin that the bilevel step teaches is better than a fixed one, whatever the settings that the paper "
    "leaves open.",
    rows={scale: _rows(recipe) for scale, recipe in RECIPES.items()},
    claims={"small": _CLAIMS, "full": _CLAIMS},
    draw=_draw,
    metrics={"small": _METRICS, "full": _METRICS},
    measures=(logged("quadruplet.margin", "quadruplet.margin.min", "quadruplet.margin.max", "meta.hypergradient"),),
    notes={
        "small": (
            "A head on frozen features of quickdraw-photo, 300 steps. Learning rate and weight of classification are "
            "those that `ramln-margin` chose for most rows on pseudo-unseen classes; so is the fixed margin.",
        ),
    },
)
