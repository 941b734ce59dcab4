"""The rule of verdicts, and what claims take from runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from scipy import stats

from inkseek.studies.claims import Above, Better, BetterByClass, FallsWith, Lower, verdict
from inkseek.studies.outcome import Finished, Outcome


def outcome(figures: Mapping[str, Sequence[float]], of: str = "R@1") -> Outcome:
    """One figure of rows, a value a seed."""
    runs = [Finished(row, seed, {of: y}, {}) for row, ys in figures.items() for seed, y in enumerate(ys)]
    return Outcome(tuple(figures), tuple(runs))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.001, 0.2, "supported"),
        (0.0001, 0.004, "supported"),  # small and certain
        (-0.01, 0.0049, "not supported"),
        (-0.3, -0.2, "not supported"),
        (-0.01, 0.005, "undecided"),
        (0.0, 0.1, "undecided"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_the_rule(low: float, high: float, expected: str) -> None:
    assert verdict(low, high) == expected


def test_better_is_paired_by_seed() -> None:
    a, b = [0.70, 0.62, 0.81, 0.75], [0.68, 0.61, 0.78, 0.74]
    found = Better("ours is better", "ours", "base", "R@1").judge(outcome({"ours": a, "base": b}))
    d = np.subtract(a, b)
    expected = stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert (found.count, found.over, found.verdict) == (4, "seeds", "supported")
    assert found.difference == pytest.approx(d.mean())
    assert (found.t, found.t_p) == pytest.approx((expected.statistic, expected.pvalue))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.effect == pytest.approx(d.mean() / d.std(ddof=1))
    turned = Better("base is better", "base", "ours", "R@1").judge(outcome({"ours": a, "base": b}))
    assert turned.verdict == "not supported"


def test_seeds_that_one_row_lacks_do_not_count() -> None:
    found = Better("", "ours", "base", "R@1").judge(outcome({"ours": [0.7, 0.8], "base": [0.6, 0.7, 0.1]}))
    assert found.count == 2
    assert found.difference == pytest.approx(0.1)


def test_above_holds_a_figure_against_a_number() -> None:
    values = [0.30, 0.34, 0.31]
    found = Above("", "ours", "R@1", 0.2, least=0.01).judge(outcome({"ours": values}))
    assert (found.count, found.verdict) == (3, "supported")
    assert found.difference == pytest.approx(np.mean(values) - 0.2)
    interval = stats.ttest_1samp(values, 0.2).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low - 0.2, interval.high - 0.2))
    assert Above("", "ours", "R@1", 0.5, least=0.01).judge(outcome({"ours": values})).verdict == "not supported"


@pytest.mark.parametrize("of", [[], [0.7]])
def test_fewer_than_two_pairs_decide_nothing(of: list[float]) -> None:
    found = Better("", "ours", "base", "R@1").judge(outcome({"ours": of, "base": [0.1, 0.1]}))
    assert (found.verdict, found.count) == ("undecided", len(of))
    assert math.isnan(found.low)


def test_by_class_takes_means_over_seeds_first() -> None:
    series = "Acc@1 by class"
    values = {"ours": ([0.4, 0.6, 0.9], [0.6, 0.8, 0.7]), "base": ([0.1, 0.5, 0.5], [0.3, 0.5, 0.5])}
    runs = [
        Finished(row, seed, {}, {series: list(zip("abc", ys, strict=True))})
        for row, seeds in values.items()
        for seed, ys in enumerate(seeds)
    ]
    found = BetterByClass("", "ours", "base", series).judge(Outcome(("ours", "base"), tuple(runs)))
    assert (found.count, found.over) == (3, "classes")
    assert found.difference == pytest.approx(np.mean([0.3, 0.2, 0.3]))


def test_lower_is_a_share() -> None:
    found = Lower("", "ours", "base", "R@1").judge(outcome({"ours": [0.2, 0.3], "base": [0.4, 0.6]}))
    assert found.difference == pytest.approx(0.5)


def test_falls_with_is_the_mean_negative_rank_correlation() -> None:
    x, y = {"a": [1.0, 1.0], "b": [2.0, 3.0], "c": [3.0, 2.0]}, {"a": [9.0, 9.0], "b": [5.0, 5.0], "c": [1.0, 1.0]}
    runs = [
        Finished(row, seed, {"variance": x[row][seed], "NMI": y[row][seed]}, {}) for row in "abc" for seed in range(2)
    ]
    found = FallsWith("", ("a", "b", "c"), "NMI", "variance").judge(Outcome(("a", "b", "c"), tuple(runs)))
    assert found.count == 2
    assert found.difference == pytest.approx((1 + 0.5) / 2)
