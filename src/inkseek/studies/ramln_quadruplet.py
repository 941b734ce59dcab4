"""RAMLN's quadruplet loss, one setting at a time: weight and domains of the negatives, the margin."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from matplotlib.figure import Figure

from inkseek.studies import drawing
from inkseek.studies.claims import Better
from inkseek.studies.outcome import Outcome
from inkseek.studies.ramln_grounds import LEARNED, MARGIN, NOTE, RECIPES, RELATION, row
from inkseek.studies.study import Row, Scale, Study

_METRICS = ("mAP@all", "P@100 (min)", "mAP@200 strict (VOC)")
_WEIGHTS = (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)
_MARGINS = (0.02, 0.1, 0.2, 0.3, 0.45, 0.6, 1.0, 1.5)
_CROSS, _INTRA = "strong negative: the other domain's", "strong negative: the anchor's domain's"


def _draw(outcome: Outcome) -> Figure:
    return drawing.bar_panels(outcome, [("mAP@all", "On unseen classes", 100.0)], width=7.5, above=0.8, each=0.35)


def _study(
    name: str, title: str, says: str, rows: Callable[[str], tuple[Row, ...]], claims: tuple[Better, ...]
) -> Study:
    return Study(
        name=name,
        title=title,
        says=says,
        rows={scale: rows(RECIPES[scale]) for scale in get_args(Scale)},
        claims={"small": claims, "full": claims},
        draw=_draw,
        metrics={"small": _METRICS, "full": _METRICS},
        notes={"small": (NOTE,)},
    )


def _weight(value: float) -> str:
    return f"lambda {value:g}"


def _margin(value: float) -> str:
    return f"margin {value:g}"


WEIGHT = _study(
    "ramln-lambda",
    "RAMLN's lambda: how much the second negative weighs",
    "A second negative, of the anchor's own domain, improves the triplet loss (lambda 0) that the quadruplet loss is "
    "without it.",
    lambda recipe: tuple(row(_weight(value), recipe, weak=value) for value in _WEIGHTS),
    tuple(
        Better(f"A second negative of weight {value:g} is better than none", _weight(value), _weight(0), "mAP@all")
        for value in _WEIGHTS[1:]
    ),
)
NEGATIVES = _study(
    "ramln-negatives",
    "RAMLN's negatives: which domain the strong push is from",
    "The strong negative should be of the domain that is searched, as the quadruplet loss has it.",
    lambda recipe: tuple(
        row(f"{name}{says}", recipe, margin, strong_negative=of)
        for says, margin in (("", MARGIN), (", learned margin", RELATION))
        for name, of in ((_CROSS, "cross"), (_INTRA, "intra"))
    ),
    tuple(
        Better(f"A strong negative of the other domain is better{says}", _CROSS + says, _INTRA + says, "mAP@all")
        for says in ("", ", learned margin")
    ),
)
SWEEP = _study(
    "ramln-mu",
    "RAMLN's margin: every fixed one beside the learned one",
    "A margin that is learned is better than every fixed one.",
    lambda recipe: (*(row(_margin(value), recipe, value) for value in _MARGINS), row(LEARNED, recipe, RELATION)),
    tuple(
        Better(f"A learned margin is better than a fixed one of {value:g}", LEARNED, _margin(value), "mAP@all")
        for value in _MARGINS
    ),
)
