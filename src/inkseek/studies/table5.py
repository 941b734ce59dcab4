"""Table 5: paired tests over the unseen classes, of Table 4's strategies."""

from __future__ import annotations

from matplotlib.figure import Figure

from inkseek.evaluation.plots import INK
from inkseek.studies import drawing, published
from inkseek.studies.claims import BetterByClass
from inkseek.studies.grounds import PAIRS_NOTES, TRIALS, pairs_rows, published_pairs_rows
from inkseek.studies.measures import by_class
from inkseek.studies.outcome import Outcome
from inkseek.studies.study import Study

ACCURACY = "Acc@1 (class gallery)"
BY_CLASS = f"{ACCURACY} by class"
_PAIRS = (("random", "PK"), ("random", "PK + RDVC"), ("PK", "PK + RDVC"))
CLAIMS = tuple(
    BetterByClass(
        f"{better} is better than {than}, class by class{'' if 'RDVC' in better else ' (in the paper it is not)'}",
        better,
        than,
        BY_CLASS,
    )
    for than, better in _PAIRS
)


def _draw(outcome: Outcome) -> Figure:
    with drawing.style():
        figure, axes = drawing.canvas(10.0, 3.2, columns=3)
        for at, (than, better) in zip(axes, _PAIRS, strict=True):
            a, b = outcome.mean_series(than, BY_CLASS), outcome.mean_series(better, BY_CLASS)
            x, y = [100 * a[name] for name in a if name in b], [100 * b[name] for name in a if name in b]
            top = 1.05 * max([1.0, *x, *y])
            at.plot([0, top], [0, top], "-", color=INK, linewidth=0.8)
            at.plot(x, y, "o", color=drawing.PALETTE[0], markersize=5, alpha=0.7)
            at.set_xlabel(f"{than}, Acc@1 of a class, %")
            at.set_ylabel(f"{better}, Acc@1 of a class, %")
            at.set_title(f"{sum(v > u for u, v in zip(x, y, strict=True))} of {len(x)} classes above the line")
            at.set_aspect("equal")
        return figure


STUDY = Study(
    name="table5",
    title="Table 5: paired tests over unseen classes",
    says="By a paired t-test over the classes' accuracies PK with RDVC differs from PK and from random batches, and "
    "these two do not differ.",
    rows={"small": pairs_rows(), "full": published_pairs_rows()},
    claims={"small": CLAIMS, "full": CLAIMS},
    draw=_draw,
    metrics={"small": (ACCURACY,), "full": (ACCURACY,)},
    measures=(by_class(ACCURACY),),
    published=published.TABLE5,
    notes={
        "small": (
            *PAIRS_NOTES,
            "A class's accuracy is the mean over the seeds.",
        ),
        "full": ("Accuracies of a class are means over the seeds, where the paper has one run.",),
    },
    budget=TRIALS,
)
