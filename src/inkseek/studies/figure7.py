"""Figure 7 and Appendix A.1: the variance of the difference, or those of both distances separately."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from inkseek.studies import drawing
from inkseek.studies.claims import Better
from inkseek.studies.grounds import MARGINS, SKETCH_RATES, TRIALS, objective
from inkseek.studies.measures import VARIANCE, variances
from inkseek.studies.outcome import Outcome
from inkseek.studies.study import Row, Study

_ALONE, _ALL, _SAMPLED = "triplet", "RDVC, all triplets", "RDVC, sampled"
_BETWEEN, _SEPARATE = "between anchors alone", "separate variances"
_TERMS: Mapping[str, Mapping[str, Any]] = {
    _ALL: {"rdvc": {"pairs": "all"}},
    _SAMPLED: {"rdvc": {"pairs": "sampled"}},
    _BETWEEN: {"variance_parts": {"part": "between"}},
    _SEPARATE: {"variance_parts": {"part": "separate"}},
}
_RATIOS = tuple({"ratio": of} for of in (0.02, 0.1, 0.3, 1.0))


def _small() -> tuple[Row, ...]:
    base = {"triplet": {"level": "category"}}
    alone = Row(
        _ALONE,
        "studies/quickdraw-head",
        (objective(base),),
        {"objective.triplet.margin": MARGINS, "optim.lr.head": SKETCH_RATES},
    )
    return alone, *(
        Row(
            name,
            "studies/quickdraw-head",
            (objective({**base, **terms}),),
            {f"objective.{next(iter(terms))}.weight": _RATIOS},
            like=_ALONE,
        )
        for name, terms in _TERMS.items()
    )


def _full() -> tuple[Row, ...]:
    base = {"triplet": {"margin": 1.0}}
    return (
        Row(_ALONE, "table1/cub-triplet"),
        *(
            Row(
                name,
                "table1/cub-triplet",
                (objective({**base, **{of: {**options, "weight": 2.0} for of, options in terms.items()}}),),
            )
            for name, terms in _TERMS.items()
        ),
    )


def _claims(figure: str) -> tuple[Better, ...]:
    return (
        Better("RDVC over all triplets is better than separate variances", _ALL, _SEPARATE, figure),
        Better("Separate variances hurt", _ALONE, _SEPARATE, figure),
        Better("RDVC over all triplets is better than none", _ALL, _ALONE, figure),
        Better("RDVC over sampled triplets is better than none", _SAMPLED, _ALONE, figure),
        Better("RDVC needs more than its spread between anchors", _ALL, _BETWEEN, figure),
    )


def _draw(outcome: Outcome) -> Figure:
    metric = "mAP@all" if any("mAP@all" in run.figures for run in outcome.runs) else "R@1"
    with drawing.style():
        figure, axes = drawing.canvas(9.0, 2.8, columns=2)
        drawing.bars(axes[0], outcome, outcome.rows, metric)
        axes[0].set_title(f"{metric} on unseen classes")
        drawing.bars(axes[1], outcome, outcome.rows, VARIANCE, scale=1)
        axes[1].set_title("Variance of the relative distance, cosine")
        axes[1].set_yticklabels([])
        return figure


STUDY = Study(
    name="fig7",
    title="Figure 7: RDVC, its parts, and separate variances",
    says="Constraining d(a,p) and d(a,n) separately hurts; constraining their difference helps (Appendix A.1).",
    rows={"small": _small(), "full": _full()},
    claims={"small": _claims("mAP@all"), "full": _claims("R@1")},
    draw=_draw,
    metrics={"small": ("mAP@all", "mAP@200 strict", "P@100", VARIANCE), "full": ("R@1", "NMI", "F1", VARIANCE)},
    measures=(variances,),
    notes={
        "small": (
            "QuickDraw's drawings to photos by category, 12 unseen classes; a head on a frozen EfficientNet-Lite0 "
            "learns at 128 pixels, 200 steps of 16 x (3 + 3).",
            "Margin and rate are those chosen for the triplet loss alone; each regulariser's weight, a ratio of "
            "gradients, is chosen from the same four.",
        ),
        "full": ("All regularisers have the weight that the paper gives RDVC, 2.",),
    },
    budget=TRIALS,
)
