"""Table 2: multi-similarity with SEC and RDVC beside the competitors that run here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from inkseek.studies import drawing, published
from inkseek.studies.claims import Better
from inkseek.studies.grounds import BASES, RATES, TRIALS, objective, small_row, title
from inkseek.studies.outcome import Outcome
from inkseek.studies.study import Row, Scale, Study

_METRICS = ("R@1", "R@2", "R@4", "NMI")
_OURS = title("multi-similarity", ("SEC", "RDVC"))
_PROXY_RATES = (1e-3, 1e-2)
# Name -> (loss, the option that is tuned, its values, whether it has proxies with a rate of their own).
_RIVALS: Mapping[str, tuple[str, str, Sequence[float], bool]] = {
    "SoftTriple": ("soft_triple", "margin", (0.01, 0.1), True),
    "ranked list": ("ranked_list", "margin", (0.1, 0.2, 0.4, 0.8), False),
    "Circle": ("circle", "margin", (0.1, 0.25, 0.4, 0.55), False),
    "Proxy-Anchor": ("proxy_anchor", "margin", (0.1, 0.2), True),
}


def _small() -> tuple[Row, ...]:
    rows = [small_row(BASES[3], ()), small_row(BASES[3], ("SEC", "RDVC"))]
    for name, (loss, option, values, proxies) in _RIVALS.items():
        grid: dict[str, Sequence[Any]] = {f"objective.{loss}.{option}": values, "optim.lr.head": RATES}
        if proxies:
            grid["optim.lr.objective"] = _PROXY_RATES
        rows.append(Row(name, "studies/flowers-head", ("batch={classes: 24, photos: 5}", objective({loss: {}})), grid))
    return tuple(rows)


def _full() -> tuple[Row, ...]:
    rows = []
    for data, prefix in (("cub", "CUB"), ("cars", "Cars")):
        base = f"table1/{data}-multi-similarity"
        rows += [
            Row(f"{prefix}: multi-similarity", base),
            Row(f"{prefix}: {_OURS}", f"{base}-sec-rdvc"),
            *(
                Row(
                    f"{prefix}: {name}",
                    f"{base}-sec",
                    (objective({loss: {}}), *(("optim.lr.objective=0.001",) * proxies)),
                )
                for name, (loss, _, _, proxies) in _RIVALS.items()
            ),
        ]
    return tuple(rows)


def _claims(prefix: str) -> tuple[Better, ...]:
    return tuple(
        Better(f"{_OURS} is better than {rival}", prefix + _OURS, prefix + rival, "R@1")
        for rival in ("multi-similarity", *_RIVALS)
    )


def _draw(outcome: Outcome) -> Figure:
    panels = [(metric, f"{metric} on unseen classes", 100.0) for metric in ("R@1", "NMI")]
    return drawing.bar_panels(outcome, panels, width=10.0, above=0.9, each=0.35)


_SHOWN: Mapping[Scale, tuple[str, ...]] = {"small": _METRICS, "full": _METRICS}

STUDY = Study(
    name="table2",
    title="Table 2: multi-similarity with SEC and RDVC beside competitors",
    says="Multi-similarity with SEC and RDVC is better than the state of the art on CUB and Cars.",
    rows={"small": _small(), "full": _full()},
    claims={"small": _claims(""), "full": _claims("CUB: ") + _claims("Cars: ")},
    draw=_draw,
    metrics=_SHOWN,
    published=published.TABLE2,
    notes={
        "small": (
            "Flowers, a head on a frozen EfficientNet-Lite0, 200 steps, as in Table 1's study.",
            "The competitors are pytorch-metric-learning's, in batches of 24 x 5. Those that this project does not run "
            "(HTL, Group Loss, ProxyGML, DRML, HIST) are among the published figures alone.",
        ),
        "full": ("Competitors have their papers' constants, and the rates of multi-similarity with SEC.",),
    },
    budget=TRIALS,
)
