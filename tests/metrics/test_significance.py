"""The tests against a published table, scipy's own, and definitions written out."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from inkseek.errors import InkseekError
from inkseek.metrics.significance import bootstrap_interval, holm, paired, t_interval


@pytest.mark.parametrize(("t", "p"), [(0.41, 0.688), (7.19, 5.8e-7), (8.62, 3.6e-8)])
def test_the_pairs_of_t_and_p_of_the_published_table(t: float, p: float) -> None:
    """RDVC paper, Table 5: 21 classes, 20 degrees of freedom; |t| is printed to two decimals."""
    d = np.random.default_rng(0).normal(size=21)
    d = (d - d.mean()) / d.std(ddof=1) + t / 21**0.5
    found = paired(0.3 + d, np.full(21, 0.3))
    assert found.t == pytest.approx(t)
    assert found.t_p == pytest.approx(p, rel=0.03)
    assert found.effect == pytest.approx(t / 21**0.5)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(3, 40))
def test_paired_against_scipy(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(size=n), rng.uniform(size=n)
    found, expected = paired(a, b), stats.ttest_rel(a, b)
    assert (found.t, found.t_p) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.difference == pytest.approx(a.mean() - b.mean())
    turned = paired(b, a)
    assert (turned.t, turned.t_p, turned.wilcoxon_p) == pytest.approx((-found.t, found.t_p, found.wilcoxon_p))


def test_wilcoxon_by_every_assignment_of_signs() -> None:
    d = np.array([0.5, -0.1, 0.3, 0.2, 0.7, -0.4])
    ranks = np.abs(d).argsort().argsort() + 1
    sums = np.array([(np.array(signs) * ranks).sum() for signs in product((0, 1), repeat=6)])
    seen = ranks[d > 0].sum()
    expected = 2 * min((sums >= seen).mean(), (sums <= seen).mean())
    assert paired(d, np.zeros(6)).wilcoxon_p == pytest.approx(min(1.0, expected))


def test_equal_figures_do_not_differ_and_a_constant_gap_is_certain() -> None:
    same = paired([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    assert (same.difference, same.t, same.t_p, same.wilcoxon_p, same.effect) == (0, 0, 1, 1, 0)
    gap = paired([1.0, 2.0, 3.0], [0.5, 1.5, 2.5])
    assert (gap.t_p, gap.effect) == (0.0, np.inf)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_by_its_definition(p: list[float]) -> None:
    order = sorted(range(len(p)), key=lambda i: p[i])
    expected = [0.0] * len(p)
    for place, i in enumerate(order):
        expected[i] = max(min(1.0, (len(p) - j) * p[order[j]]) for j in range(place + 1))
    assert holm(p).tolist() == pytest.approx(expected)


def test_the_interval_is_the_one_of_the_normal_mean_and_fixed_by_its_seed() -> None:
    x = np.random.default_rng(0).normal(2.0, 3.0, 4000)
    low, high = bootstrap_interval(x)
    half = 1.96 * x.std(ddof=1) / 4000**0.5
    assert (low, high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.05 * half)
    assert bootstrap_interval(np.append(x, np.nan)) == (low, high)
    assert bootstrap_interval(x, seed=1) != (low, high)
    narrow = bootstrap_interval(x, level=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_the_interval_of_two_values_is_known() -> None:
    """Resamples of (0, 1) have means 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4."""
    assert bootstrap_interval([0.0, 1.0], level=0.9) == (0.0, 1.0)
    assert bootstrap_interval([0.0, 1.0], level=0.3) == (0.5, 0.5)


def test_students_interval_against_scipy() -> None:
    x = np.random.default_rng(0).normal(2.0, 3.0, 5)
    for level in (0.95, 0.5):
        expected = stats.ttest_1samp(x, 0).confidence_interval(level)
        assert t_interval(x, level=level) == pytest.approx((expected.low, expected.high))
    assert t_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paired([1.0], [1.0]), "at least two"),
        (lambda: paired([1.0, 2.0], [1.0]), "cannot be paired"),
        (lambda: paired([1.0, np.nan], [1.0, 2.0]), "NaN or infinite"),
        (lambda: bootstrap_interval([1.0, np.nan]), "at least two figures"),
        (lambda: bootstrap_interval([1.0, 2.0], level=95), "between 0 and 1"),
        (lambda: t_interval([1.0]), "at least two finite figures"),
        (lambda: t_interval([1.0, np.nan]), "at least two finite figures"),
        (lambda: t_interval([1.0, 2.0], level=1), "between 0 and 1"),
        (lambda: holm([0.5, 1.5]), "between 0 and 1"),
    ],
)
def test_what_cannot_be_tested_is_said(call: Any, message: str) -> None:
    with pytest.raises(InkseekError, match=message):
        call()
