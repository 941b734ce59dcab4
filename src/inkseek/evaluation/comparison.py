"""Whether models differ on one protocol: paired over classes, with intervals, tests, and a correction for many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from inkseek.errors import InkseekError
from inkseek.evaluation.results import Results
from inkseek.metrics import averages
from inkseek.metrics.significance import Paired, bootstrap_interval, holm, paired


@dataclass(frozen=True)
class Comparison:
    """Two models' figures of one metric.

    Attributes:
        metric: its name.
        first: position of one result among those compared.
        second: position of the other.
        means: each one's mean over queries.
        class_means: each one's mean over the means of the classes, whose difference is tested.
        interval: of the mean difference first - second, a percentile bootstrap over the classes.
        paired: tests over the classes.
        t_p: of the t-test, corrected by Holm over the comparisons of this metric.
        wilcoxon_p: likewise of Wilcoxon's test.
    """

    metric: str
    first: int
    second: int
    means: tuple[float, float]
    class_means: tuple[float, float]
    interval: tuple[float, float]
    paired: Paired
    t_p: float
    wilcoxon_p: float


def compare(
    results: Sequence[Results], metrics: Sequence[str] | None = None, *, level: float = 0.95, seed: int = 0
) -> list[Comparison]:
    """Compare every two of some results on one protocol.

    Args:
        results: two or more, of the same queries.
        metrics: names that all of them have for each query; all such when None.
        level: of the intervals.
        seed: of the bootstrap.

    Returns:
        By metric, then by pair.

    Raises:
        InkseekError: results of different protocols or queries; no common metric, or one that was not measured; fewer
            than two classes.
    """
    if len(results) < 2:
        raise InkseekError("a comparison needs two results at least")
    first = results[0]
    for other in results[1:]:
        _same(first, other)
    common = [name for name in first.per_query if all(name in other.per_query for other in results)]
    if missing := [name for name in metrics or () if name not in common]:
        raise InkseekError(
            f"{missing[0]!r} has no figure for each query in all results; these have: {', '.join(common)}"
        )
    if not common:
        raise InkseekError("the results have no metric in common: measure them alike")
    comparisons = []
    for name in metrics or common:
        of_classes = [averages.class_means(r.per_query[name], r.labels) for r in results]
        if any(not np.array_equal(labels, of_classes[0][0]) for labels, _ in of_classes):
            raise InkseekError(f"{name}: not the same classes have a figure in all results")
        family = []
        for a, b in combinations(range(len(results)), 2):
            x, y = of_classes[a][1], of_classes[b][1]
            test = paired(x, y)
            family.append(
                Comparison(
                    metric=name,
                    first=a,
                    second=b,
                    means=(averages.mean(results[a].per_query[name]), averages.mean(results[b].per_query[name])),
                    class_means=(float(x.mean()), float(y.mean())),
                    interval=bootstrap_interval(x - y, level=level, seed=seed),
                    paired=test,
                    t_p=test.t_p,
                    wilcoxon_p=test.wilcoxon_p,
                )
            )
        t_p, wilcoxon_p = holm([c.t_p for c in family]), holm([c.wilcoxon_p for c in family])
        comparisons += [
            replace(c, t_p=float(t), wilcoxon_p=float(w)) for c, t, w in zip(family, t_p, wilcoxon_p, strict=True)
        ]
    return comparisons


def _same(a: Results, b: Results) -> None:
    if a.protocol != b.protocol:
        raise InkseekError(f"results of different protocols cannot be compared: {a.protocol} and {b.protocol}")
    same = a.classes == b.classes and np.array_equal(a.labels, b.labels) and a.counts["gallery"] == b.counts["gallery"]
    if not same or (a.queries and b.queries and a.queries != b.queries):
        raise InkseekError(
            f"results of different queries or galleries cannot be compared, though both are of {a.protocol}: "
            f"{len(a.labels)} queries of {a.model}, {len(b.labels)} of {b.model}"
        )
