"""Whether two models differ: bootstrap intervals, paired tests, effect size, correction for many comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inkseek.errors import InkseekError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """A paired comparison of two models' figures, of classes or queries.

    Attributes:
        count: n, the pairs.
        difference: mean of a - b.
        t: statistic of the paired t-test, n - 1 degrees of freedom.
        t_p: its two-sided p.
        wilcoxon_p: two-sided p of Wilcoxon's signed-rank test.
        effect: Cohen's d of paired samples, the mean difference over the standard deviation of the differences.
    """

    count: int
    difference: float
    t: float
    t_p: float
    wilcoxon_p: float
    effect: float


def paired(a: npt.ArrayLike, b: npt.ArrayLike) -> Paired:
    """Compare two models' figures of the same classes, as in Table 5 of the RDVC paper.

    Args:
        a: [n] figures of one model, at least 2.
        b: [n] figures of the other, of the same classes in the same order.

    Returns:
        The tests; figures that do not differ anywhere give t = 0, p = 1 and effect 0.

    Raises:
        InkseekError: fewer than two pairs, unequal numbers, or NaN or infinity.
    """
    from scipy import stats

    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
        raise InkseekError(f"figures of shapes {x.shape} and {y.shape} cannot be paired: give at least two of each")
    d = x - y
    if not np.isfinite(d).all():
        raise InkseekError("figures that are NaN or infinite cannot be compared: leave their classes out of both")
    if not d.any():
        return Paired(len(d), 0.0, 0.0, 1.0, 1.0, 0.0)
    mean, spread = float(d.mean()), float(d.std(ddof=1))
    effect = mean / spread if spread > 0 else float(np.copysign(np.inf, mean))
    t = effect * len(d) ** 0.5
    return Paired(
        count=len(d),
        difference=mean,
        t=t,
        t_p=float(2 * stats.t.sf(abs(t), len(d) - 1)),
        wilcoxon_p=float(stats.wilcoxon(d).pvalue),
        effect=effect,
    )


def t_interval(values: npt.ArrayLike, *, level: float = 0.95) -> tuple[float, float]:
    """Return Student's interval of a mean over few independent figures, such as a run's under several seeds.

    mean +- t s / sqrt(n), with s the unbiased standard deviation and t the quantile at n - 1 degrees of freedom. A
    bootstrap of five figures is too narrow.

    Args:
        values: [n] figures, at least 2.
        level: of confidence.

    Returns:
        The lower and the upper end.

    Raises:
        InkseekError: fewer than two values, NaN or infinity, or a level that is not between 0 and 1.
    """
    from scipy import stats

    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) < 2 or not np.isfinite(x).all():
        raise InkseekError(f"an interval needs at least two finite figures, and there are {x.size}")
    if not 0 < level < 1:
        raise InkseekError(f"the level of an interval is between 0 and 1, and not {level}")
    reach = float(stats.t.ppf((1 + level) / 2, len(x) - 1) * x.std(ddof=1) / len(x) ** 0.5)
    return float(x.mean()) - reach, float(x.mean()) + reach


def bootstrap_interval(
    values: npt.ArrayLike, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a mean over queries or classes, or of a mean paired difference.

    Args:
        values: [n] figures, at least 2; those that are NaN do not count.
        level: of confidence.
        resamples: how many times n values are drawn again with replacement.
        seed: of the draw.

    Returns:
        The lower and the upper end.

    Raises:
        InkseekError: fewer than two values, or a level that is not between 0 and 1.
    """
    from scipy import stats

    x = np.asarray(values, dtype=np.float64)
    x = x[~np.isnan(x)]
    if x.ndim != 1 or len(x) < 2:
        raise InkseekError(f"an interval needs at least two figures, and there are {x.size}")
    if not 0 < level < 1:
        raise InkseekError(f"the level of an interval is between 0 and 1, and not {level}")
    found = stats.bootstrap(
        (x,),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        batch=max(1, 2**22 // len(x)),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def holm(p_values: Sequence[float]) -> Floats:
    """Correct p values for being several, by Holm's step-down method.

    With p_(1) <= ... <= p_(m), the i-th becomes max over j <= i of min(1, (m - j + 1) p_(j)). Rejecting what is then at
    most alpha keeps the probability of any false rejection at most alpha, however the tests depend on each other.

    Raises:
        InkseekError: a value that is not between 0 and 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise InkseekError(f"p values are between 0 and 1, and not {p.tolist()}")
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order]), 1.0)
    return corrected
