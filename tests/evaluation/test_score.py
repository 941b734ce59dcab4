"""Any model's embeddings to results: two domains, one domain, instances, text labels."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

from inkseek.errors import InkseekError
from inkseek.evaluation.score import score
from inkseek.metrics.measures import Ties
from inkseek.metrics.names import CATEGORY_METRICS, CLUSTERING, ONE_DOMAIN_METRICS
from inkseek.metrics.ranking import rank


def sides(seed: int = 0, classes: int = 4) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, 8))
    labels, found = rng.integers(0, classes, 30), np.arange(60) % classes
    return centres[labels] + rng.normal(size=(30, 8)), labels, centres[found] + rng.normal(size=(60, 8)), found


def test_two_domains_are_ranked_as_the_fields_tables_say() -> None:
    q, ql, g, gl = sides()
    results = score(q, ql, g, gl, model="mine")
    assert [name for name in results.metrics if "(min)" not in name] == list(CATEGORY_METRICS)
    expected = rank(q, ql, g, gl, metrics=list(results.metrics))
    assert results.metrics == expected.micro()
    assert results.macro() == expected.macro()
    assert results.counts == {"classes": 4, "queries": 30, "gallery": 60, "excluded": 0}
    text = str(results)
    assert "mine" in text
    assert "similarity: cosine; items of equal score: expected" in text


def test_text_labels_are_as_good_as_numbers() -> None:
    q, ql, g, gl = sides()
    names = np.array(["ant", "bee", "cat", "dog"])
    numbers, text = score(q, ql, g, gl), score(q, names[ql], g, names[gl])
    assert text.metrics == numbers.metrics
    assert text.classes == tuple(names)
    assert set(text.per_class()) == set(names)


def test_one_domain_leaves_self_out_and_clusters() -> None:
    x, labels = sides()[2:]
    results = score(x, labels)
    assert list(results.metrics) == [*ONE_DOMAIN_METRICS, *CLUSTERING]
    ids = np.arange(len(x))
    alone = rank(x, labels, x, labels, metrics=list(ONE_DOMAIN_METRICS), query_ids=ids, gallery_ids=ids)
    assert {name: results.metrics[name] for name in ONE_DOMAIN_METRICS} == alone.micro()
    assert not set(CLUSTERING) & set(results.per_query)
    assert any("k-means of seeds 0, 1, 2" in note for note in results.notes)


def test_one_domain_against_a_peer_where_it_is_right() -> None:
    """pytorch-metric-learning is right about these, of untied items and small labels."""
    x, labels = sides(seed=3)[2:]
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    theirs = AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"), k="max_bin_count"
    ).get_accuracy(unit, labels)
    ours = score(x, labels, metrics=["R@1", "R-precision", "mAP@R"]).metrics
    assert ours == pytest.approx(
        {
            "R@1": theirs["precision_at_1"],
            "R-precision": theirs["r_precision"],
            "mAP@R": theirs["mean_average_precision_at_r"],
        },
        abs=1e-6,
    )


def test_instances_give_acc() -> None:
    q, ql, g, gl = sides()
    own = np.array([f"photo {i}" for i in range(60)])
    results = score(g + 0.01, gl, g, gl, query_instances=own, gallery_instances=own)
    assert results.metrics["Acc@1"] == 1
    with pytest.raises(InkseekError, match="Acc@1 asks for an item itself"):
        score(q, ql, g, gl, metrics=["Acc@1"])
    with pytest.raises(InkseekError, match="ask for Acc@K"):
        score(g, gl, g, gl, query_instances=own, gallery_instances=own, metrics=["Acc@1 (class gallery)"])


def test_ties_and_similarity_are_passed_on_and_noted() -> None:
    q, ql, g, gl = np.ones((2, 3)), np.array([0, 1]), np.ones((4, 3)), np.array([0, 1, 0, 1])
    policies: tuple[Ties, ...] = ("expected", "pessimistic", "optimistic")
    found = {ties: score(q, ql, g, gl, metrics=["R@1"], ties=ties) for ties in policies}
    assert [results.metrics["R@1"] for results in found.values()] == [0.5, 0, 1]
    assert found["expected"].tie_rate == 1
    assert any("equal score: optimistic" in note for note in found["optimistic"].notes)
    far = score(q[:1], ql[:1], np.array([[9.0, 9, 9], [1, 1, 1.5]]), np.array([0, 1]), metrics=["R@1"])
    near = score(
        q[:1], ql[:1], np.array([[9.0, 9, 9], [1, 1, 1.5]]), np.array([0, 1]), metrics=["R@1"], similarity="euclidean"
    )
    assert (far.metrics["R@1"], near.metrics["R@1"]) == (1, 0)


def test_the_optimistic_recall_of_the_sec_paper_has_its_name() -> None:
    """SEC counts a hit where fewer than K negatives are strictly closer than the best positive: ties favour it."""
    rng = np.random.default_rng(0)
    x, labels = rng.integers(-2, 3, (40, 3)), rng.integers(0, 6, 40)
    scores = x @ x.T
    hits = []
    for i in range(len(x)):
        same = (labels == labels[i]) & (np.arange(len(x)) != i)
        if same.any():
            hits.append((scores[i][labels != labels[i]] > scores[i][same].max()).sum() < 2)
    policies: tuple[Ties, ...] = ("optimistic", "expected")
    optimistic, expected = (
        score(x, labels, metrics=["R@2"], ties=ties, similarity="dot").metrics["R@2"] for ties in policies
    )
    assert optimistic == pytest.approx(np.mean(hits))
    assert expected < optimistic


def test_labels_of_two_kinds_are_refused() -> None:
    q, ql, g, gl = sides()
    with pytest.raises(InkseekError, match="use one kind on both sides"):
        score(q, ql.astype(str), g, gl)
    with pytest.raises(InkseekError, match="come in pairs"):
        score(q, ql, g)
    with pytest.raises(InkseekError, match="leaves its convention open"):
        score(q, ql, g, gl, metrics=["mAP"])


def test_only_what_is_needed_is_imported() -> None:
    """Checking somebody's numbers should not wait for torch."""
    code = "import sys, inkseek.evaluation.score, inkseek.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
