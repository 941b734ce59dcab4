"""Table 4: what PK sampling adds to random pairs, and RDVC to both."""

from __future__ import annotations

from matplotlib.figure import Figure

from inkseek.studies import drawing, published
from inkseek.studies.claims import Better
from inkseek.studies.grounds import PAIRS_NOTES, TRIALS, pairs_rows, published_pairs_rows
from inkseek.studies.measures import by_class
from inkseek.studies.outcome import Outcome
from inkseek.studies.study import Study

_ACCURACIES = tuple(f"Acc@{k} (class gallery)" for k in (1, 5, 10))
CLAIMS = tuple(
    Better(says, better, than, figure)
    for figure in _ACCURACIES[:2]
    for says, better, than in (
        ("RDVC improves PK batches", "PK + RDVC", "PK"),
        ("PK batches with RDVC are better than random ones", "PK + RDVC", "random"),
    )
)
_SHOWN = (*_ACCURACIES, "Acc@1 (joint gallery)", "Acc@5 (joint gallery)", "mAP@all")


def _draw(outcome: Outcome) -> Figure:
    with drawing.style():
        figure, axes = drawing.canvas(10.0, 2.2, columns=3)
        for at, metric in zip(axes, _ACCURACIES, strict=True):
            drawing.bars(at, outcome, outcome.rows, metric)
            at.set_title(metric)
            at.set_xlabel("%: mean, 95 % interval, each seed")
        for at in axes[1:]:
            at.set_yticklabels([])
        return figure


STUDY = Study(
    name="table4",
    title="Table 4: random batches, PK batches, PK batches with RDVC",
    says="PK batches alone do not help fine-grained retrieval, PK batches with RDVC do.",
    rows={"small": pairs_rows(), "full": published_pairs_rows()},
    claims={"small": CLAIMS, "full": CLAIMS},
    draw=_draw,
    metrics={"small": _SHOWN, "full": _SHOWN},
    measures=(by_class(_ACCURACIES[0]),),
    published=published.TABLE4,
    notes={"small": PAIRS_NOTES},
    budget=TRIALS,
)
