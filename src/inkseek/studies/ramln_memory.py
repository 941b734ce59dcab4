"""What RAMLN's memory is: none, prototypes of classes, or slots that are used least, read sharply or flatly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from inkseek.studies import drawing
from inkseek.studies.claims import Better
from inkseek.studies.measures import logged
from inkseek.studies.outcome import Outcome
from inkseek.studies.ramln_grounds import FIXED, NOTE, RECIPES, RELATION, row
from inkseek.studies.study import Study

_NONE = "no memory"
_MEMORIES: Mapping[str, Mapping[str, Any] | None] = {
    _NONE: None,
    "class": {"kind": "class"},
    "class, temperature 1": {"kind": "class", "temperature": 1},
    "class, kept 0.5 a step": {"kind": "class", "keep": 0.5},
    "LRUA": {"kind": "lrua"},
    "LRUA, temperature 1": {"kind": "lrua", "temperature": 1},
    "LRUA, 64 slots": {"kind": "lrua", "slots": 64},
    "LRUA, 512 slots": {"kind": "lrua", "slots": 512},
    "LRUA, written to one slot": {"kind": "lrua", "gate": 0},
}
_COMPARED = "LRUA, compared with what is read"
_METRICS = ("mAP@all", "quadruplet.margin, last", "quadruplet.margin.min, last", "quadruplet.margin.max, last")


def _draw(outcome: Outcome) -> Figure:
    panels = (
        ("mAP@all", "On unseen classes", 100.0),
        ("quadruplet.margin, last", "Mean margin of the last batch", 1.0),
    )
    return drawing.bar_panels(outcome, panels, width=11.0, above=0.6, each=0.35)


_CLAIMS = tuple(
    Better(f"A memory ({name}) is better than none", name, _NONE, "mAP@all")
    for name in (*_MEMORIES, _COMPARED)
    if name != _NONE
)

STUDY = Study(
    name="ramln-memory",
    title="RAMLN's memory: which, and how it is read",
    says="An external memory improves the margins that the relation network learns.",
    rows={
        scale: (
            row(FIXED, recipe),
            *(row(name, recipe, {**RELATION, "memory": memory}) for name, memory in _MEMORIES.items()),
            row(_COMPARED, recipe, {**RELATION, "compared": True}),
        )
        for scale, recipe in RECIPES.items()
    },
    claims={"small": _CLAIMS, "full": _CLAIMS},
    draw=_draw,
    metrics={"small": _METRICS, "full": _METRICS},
    measures=(logged("quadruplet.margin", "quadruplet.margin.min", "quadruplet.margin.max"),),
    notes={
        "small": (
            NOTE,
            "All memories are read by attention, softmax(cos / temperature): 0.1 unless a row says otherwise. "
            "*Compared*: the network also sees the distance by coordinate and the cosine of an embedding and what it "
            "reads.",
        ),
    },
)
