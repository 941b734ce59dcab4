"""Clusters held against classes: a loop over all pairs as oracle, and k-means on embeddings that leave no doubt."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkseek.errors import InkseekError
from inkseek.metrics.clustering import ami, cluster, nmi, pairwise_f1


def f1_of_every_pair(labels: list[int], clusters: list[int]) -> float:
    pairs = list(combinations(range(len(labels)), 2))
    tp = sum(labels[i] == labels[j] and clusters[i] == clusters[j] for i, j in pairs)
    fp = sum(labels[i] != labels[j] and clusters[i] == clusters[j] for i, j in pairs)
    fn = sum(labels[i] == labels[j] and clusters[i] != clusters[j] for i, j in pairs)
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else float("nan")


def nmi_by_definition(labels: list[int], clusters: list[int]) -> float:
    n = len(labels)

    def entropy(groups: list[Any]) -> float:
        share = np.array([groups.count(g) for g in set(groups)]) / n
        return float(-(share * np.log(share)).sum())

    joint = entropy(list(zip(labels, clusters, strict=True)))
    total = entropy(labels) + entropy(clusters)
    return 2 * (total - joint) / total if total else 1.0


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3)), min_size=1, max_size=25))
def test_figures_by_their_definitions(items: list[tuple[int, int]]) -> None:
    labels, clusters = map(list, zip(*items, strict=True))
    assert pairwise_f1(labels, clusters) == pytest.approx(f1_of_every_pair(labels, clusters), nan_ok=True, rel=1e-15)
    assert nmi(labels, clusters) == pytest.approx(nmi_by_definition(labels, clusters), abs=1e-9)


def test_pairs_are_counted_in_integers() -> None:
    """10^10 pairs in one cluster: float32 would lose the last ones."""
    n = 150_000
    labels, clusters = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    labels[-1] = 1
    together, of_class = n * (n - 1) // 2, (n - 1) * (n - 2) // 2
    assert pairwise_f1(labels, clusters) == 2 * of_class / (together + of_class)


def test_clear_classes_are_found_whatever_their_length_and_the_seed() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6) * 2**40, 20)
    x = np.eye(6)[np.arange(6).repeat(20)] + 0.01 * rng.normal(size=(120, 6))
    found = cluster(x * rng.uniform(0.1, 1000, (120, 1)), labels, seeds=(0, 7), restarts=5)
    assert found.figures == {name: pytest.approx((1.0, 1.0)) for name in ("NMI", "AMI", "F1")}
    assert found.clusters == 6
    assert "seeds 0, 7" in str(found)
    assert "restarts 5" in str(found)


def test_many_random_clusters_have_a_high_nmi_and_no_ami() -> None:
    rng = np.random.default_rng(0)
    labels, clusters = rng.integers(0, 300, 600), rng.integers(0, 300, 600)
    assert nmi(labels, clusters) > 0.8
    assert ami(labels, clusters) == pytest.approx(0, abs=0.05)


def test_the_seed_fixes_the_figures() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(200, 5)), rng.integers(0, 8, 200)
    first, again, other = (cluster(x, labels, seeds=seeds) for seeds in ((3, 4), (3, 4), (5,)))
    assert first == again
    assert first.figures["F1"][0] != other.figures["F1"][0]
    assert first.means()["F1"] == pytest.approx(np.mean(first.figures["F1"]))


def test_a_collapsed_model_is_measured() -> None:
    found = cluster(np.ones((9, 3)), np.arange(9) % 3, seeds=(0,))
    assert found.means()["NMI"] == pytest.approx(0, abs=1e-9)
    assert found.means()["F1"] == pytest.approx(2 * 9 / (36 + 9))  # one cluster of all


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.eye(3), [0, 1]), {}, "an integer for each row"),
        ((np.eye(3), [0.0, 1.0, 2.0]), {}, "an integer for each row"),
        ((np.full((3, 3), np.inf), [0, 1, 2]), {}, "NaN or infinity"),
        ((np.eye(3), [0, 1, 2]), {"seeds": ()}, "no seed"),
    ],
)
def test_what_does_not_fit_is_said(arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InkseekError, match=message):
        cluster(*arguments, **options)
