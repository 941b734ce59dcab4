"""Figure 6a: how much RDVC's weight matters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inkseek.metrics.significance import t_interval
from inkseek.studies import drawing
from inkseek.studies.claims import Better
from inkseek.studies.grounds import MARGINS, PAIRS_NOTES, PAIRS_RATES, TRIALS, objective
from inkseek.studies.outcome import Outcome
from inkseek.studies.study import Row, Scale, Study

_WEIGHTS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
_SMALLER = (0.005, 0.02)
_ACCURACY = "Acc@1 (class gallery)"
_SHOWN = (_ACCURACY, "Acc@5 (class gallery)", "Acc@10 (class gallery)", "Acc@1 (joint gallery)", "mAP@all")


def _name(weight: float) -> str:
    return f"weight {weight:g}"


def _terms(weight: float, margin: float | None) -> str:
    base = {"level": "instance"} if margin is None else {"margin": margin, "level": "instance"}
    return objective({"triplet": base, **({"rdvc": {"weight": weight}} if weight else {})})


def _small() -> tuple[Row, ...]:
    none = Row(
        _name(0),
        "studies/emoji-head",
        (_terms(0, None),),
        {"objective.triplet.margin": MARGINS, "optim.lr.head": PAIRS_RATES},
    )
    weights = sorted({*_WEIGHTS, *_SMALLER} - {0.0})
    return none, *(Row(_name(of), "studies/emoji-head", (_terms(of, None),), like=_name(0)) for of in weights)


def _full() -> tuple[Row, ...]:
    return tuple(Row(_name(of), "table3/inception-v3", (_terms(of, 0.3),)) for of in _WEIGHTS)


_CLAIMS = tuple(
    Better(f"A weight of {weight:g} is better than none", _name(weight), _name(0), _ACCURACY)
    for weight in _WEIGHTS
    if weight
)


def _draw(outcome: Outcome) -> Figure:
    with drawing.style():
        figure, axes = drawing.canvas(8.0, 3.2, columns=2)
        for at, metric in zip(axes, (_ACCURACY, "Acc@1 (joint gallery)"), strict=True):
            _panel(at, outcome, metric)
        return figure


def _panel(axes: Axes, outcome: Outcome, metric: str) -> None:
    found = {float(row.removeprefix("weight ")): outcome.values(row, metric) for row in outcome.finished()}
    colour, place = drawing.PALETTE[0], np.arange(len(found))
    for x, values in zip(place, found.values(), strict=True):
        y = 100 * np.array(list(values.values()))
        low, high = t_interval(y) if len(y) > 1 else (y.mean(), y.mean())
        axes.errorbar(x, y.mean(), [[y.mean() - low], [high - y.mean()]], fmt="o", capsize=3, color=colour)
        axes.plot(np.full(len(y), x), y, ".", color=colour, alpha=0.4)
    axes.plot(place, [100 * np.mean(list(values.values())) for values in found.values()], color=colour, linewidth=1)
    inside = [x for x, weight in zip(place, found, strict=True) if 0.5 <= weight <= 2]
    if inside:
        span = min(inside) - 0.3, max(inside) + 0.3
        axes.axvspan(*span, color=drawing.PALETTE[4], alpha=0.15, label="where the paper finds no difference")
        axes.legend(loc="lower left", fontsize=7)
    axes.set_xticks(place, [f"{weight:g}" for weight in found])
    axes.set_xlabel("weight of RDVC")
    axes.set_ylabel(f"{metric}, %")
    axes.set_title("Mean, 95 % interval, each seed")


_METRICS: Mapping[Scale, tuple[str, ...]] = {"small": _SHOWN, "full": _SHOWN[:4]}

STUDY = Study(
    name="fig6a",
    title="Figure 6a: the weight of RDVC",
    says="Any weight from 0.5 to 2 improves fine-grained retrieval, all of them about equally.",
    rows={"small": _small(), "full": _full()},
    claims={"small": _CLAIMS, "full": _CLAIMS},
    draw=_draw,
    metrics=_METRICS,
    notes={
        "small": (
            *PAIRS_NOTES,
            "Margin and rate are those chosen for the triplet loss alone. The paper has no weights of 0.005 and 0.02.",
        ),
    },
    budget=TRIALS,
)
