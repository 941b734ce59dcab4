"""What a learned margin costs and gains with the number of classes that are trained on."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from inkseek.studies import drawing
from inkseek.studies.claims import Better
from inkseek.studies.measures import PACE, pace
from inkseek.studies.outcome import Outcome
from inkseek.studies.ramln_grounds import FIXED, LEARNED, NOTE, RECIPES, RELATION, row
from inkseek.studies.study import Row, Scale, Study

_COUNTS: Mapping[Scale, tuple[int, ...]] = {"small": (16, 24, 32, 40), "full": (25, 50, 75, 100)}
_METRICS = ("mAP@all", "P@100 (min)", PACE)
_MARGINS = {FIXED: 0.3, LEARNED: RELATION}


def _name(of: str, classes: int) -> str:
    return f"{of}, {classes} classes"


def _rows(scale: Scale) -> tuple[Row, ...]:
    return tuple(
        row(_name(name, classes), RECIPES[scale], margin, f"data.classes={classes}")
        for classes in _COUNTS[scale]
        for name, margin in _MARGINS.items()
    )


def _claims(scale: Scale) -> tuple[Better, ...]:
    fewest, *_, most = _COUNTS[scale]
    return (
        *(
            Better(
                f"A learned margin is better than a fixed one with {classes} classes",
                _name(LEARNED, classes),
                _name(FIXED, classes),
                "mAP@all",
            )
            for classes in _COUNTS[scale]
        ),
        *(
            Better(
                f"{most} classes are better than {fewest} ({name})", _name(name, most), _name(name, fewest), "mAP@all"
            )
            for name in _MARGINS
        ),
    )


def _draw(outcome: Outcome) -> Figure:
    panels = (("mAP@all", "mAP@all on unseen classes, %", 100.0), (PACE, "pictures a second, median of a run", 1.0))
    with drawing.style():
        figure, axes = drawing.canvas(9.0, 3.2, columns=2)
        for at, (name, label, scale) in zip(axes, panels, strict=True):
            of = {
                margin: {
                    int(row.rpartition(", ")[2].partition(" ")[0]): outcome.values(row, name)
                    for row in outcome.finished()
                    if row.startswith(margin)
                }
                for margin in _MARGINS
            }
            drawing.against(at, of, scale=scale)
            at.set_xlabel("classes trained on; bands: 95 % intervals over seeds")
            at.set_ylabel(label)
        return figure


STUDY = Study(
    name="ramln-classes",
    title="RAMLN's learned margin and the number of classes",
    says="One of the paper's open questions: what a learned margin costs and is worth as classes become more.",
    rows={"small": _rows("small"), "full": _rows("full")},
    claims={"small": _claims("small"), "full": _claims("full")},
    draw=_draw,
    metrics={"small": _METRICS, "full": _METRICS},
    measures=(pace,),
    notes={
        "small": (
            NOTE,
            "Classes are spread evenly over the list of the seen ones; batches have 16 of them. With a head alone a "
            "step is short, so that the bilevel step shows most; other work on the machine shows too.",
        ),
    },
)
