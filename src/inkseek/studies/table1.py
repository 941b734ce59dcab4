"""Table 1: four losses, each with SEC, with RDVC, with both, on fine-grained photos."""

from __future__ import annotations

from matplotlib.figure import Figure

from inkseek.studies import drawing, published
from inkseek.studies.grounds import TRIALS, rdvc_helps, table1_rows
from inkseek.studies.outcome import Outcome
from inkseek.studies.study import Study

_METRICS = ("R@1", "R@2", "R@4", "R@8", "NMI", "F1")


def _draw(outcome: Outcome) -> Figure:
    panels = [(metric, f"{metric} on unseen classes", 100.0) for metric in ("R@1", "NMI")]
    return drawing.bar_panels(outcome, panels, width=11.0, above=0.6, each=0.3)


STUDY = Study(
    name="table1",
    title="Table 1: what RDVC adds to four losses, with and without SEC",
    says="Adding RDVC improves triplet, semi-hard, N-pair and multi-similarity losses, with SEC and without, on every "
    "metric.",
    rows={"small": table1_rows(None), "full": table1_rows("cub") + table1_rows("cars")},
    claims={
        "small": rdvc_helps("", ("R@1", "NMI")),
        "full": rdvc_helps("CUB: ", ("R@1", "NMI")) + rdvc_helps("Cars: ", ("R@1", "NMI")),
    },
    draw=_draw,
    metrics={"small": _METRICS, "full": _METRICS},
    published=published.TABLE1,
    notes={
        "small": (
            "Flowers take the place of CUB and Cars, a head on a frozen EfficientNet-Lite0 that of BN-Inception "
            "trained whole, 200 steps that of 8,000. All seen classes are trained on, and the last step is measured.",
            "RDVC's weight is a ratio of gradients (`weight: {ratio: r}`), not a number, so that one grid serves all "
            "four losses.",
            "Rows with more to choose spread the same number of trials over more settings.",
        ),
        "full": ("The papers' constants, chosen by their authors with the test classes in view; nothing is tuned.",),
    },
    budget=TRIALS,
)
