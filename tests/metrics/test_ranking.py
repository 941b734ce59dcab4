"""The one-pass ranking against a plain loop over every order of tied items."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from inkseek.errors import InkseekError
from inkseek.metrics.measures import Ties
from inkseek.metrics.names import FORMS, metric
from inkseek.metrics.ranking import rank
from inkseek.metrics.scoring import Similarity


def names(k: int) -> list[str]:
    return [form.replace("@K", f"@{k}") for form in FORMS]


def of_order(relevant: Sequence[int], name: str) -> float:
    """One metric of one decided order, by its definition."""
    m, r = metric(name), sum(relevant)
    ranks = [i for i, hit in enumerate(relevant, start=1) if hit]
    if m.kind == "reciprocal rank":
        return 1 / ranks[0]
    if m.kind == "hit":
        assert m.cutoff is not None
        return float(ranks[0] <= m.cutoff)
    top = m.cutoff or len(relevant)
    if m.denominator == "R":
        top = r
    if m.denominator == "min":
        top = min(r, top)
    ranks = [i for i in ranks if i <= top]
    if m.kind == "precision":
        return len(ranks) / top
    precisions = [nth / i for nth, i in enumerate(ranks, start=1)]
    if m.interpolated:
        precisions = [max(precisions[i:]) for i in range(len(precisions))]
    divisor = {"all": r, "R": r, "strict": min(r, top), "lenient": len(ranks), "/K": top}[m.denominator]
    return sum(precisions) / divisor if divisor else 0.0


def orders(scores: Sequence[float], relevant: Sequence[int]) -> list[list[int]]:
    """Every order of relevance that the tied scores allow, each as often as permutations make it."""
    ranked = sorted(zip(scores, relevant, strict=True), reverse=True)
    groups = [[hit for _, hit in group] for _, group in groupby(ranked, key=lambda pair: pair[0])]
    return [[hit for part in choice for hit in part] for choice in product(*(list(permutations(g)) for g in groups))]


def ranked(
    scores: Sequence[float], relevant: Sequence[int], wanted: Sequence[str], ties: Ties = "expected"
) -> dict[str, float]:
    """Rank one query over a gallery of given scores."""
    gallery = np.array(scores, dtype=np.float32)[:, None]
    return rank([[1.0]], [1], gallery, np.array(relevant), metrics=wanted, similarity="dot", ties=ties).micro()


@pytest.mark.parametrize(
    ("relevant", "k", "expected"),
    [
        ([0, 1, 1, 0, 1, 0, 0, 1], 4, [0.566667, 0.608333, 0.583333, 0.291667, 0.291667, 0.333333, 0.5]),
        ([1, 0, 1, 0, 0, 0, 1, 0], 5, [0.698413, 0.698413, 0.833333, 0.555556, 0.333333, 0.555556, 0.4]),
        ([0, 0, 0, 0, 1], 3, [0.2, 0.2, 0, 0, 0, 0, 0]),
    ],
)
def test_published_vectors(relevant: list[int], k: int, expected: list[float]) -> None:
    wanted = [
        "mAP@all",
        "mAP@all (VOC)",
        f"mAP@{k} lenient",
        f"mAP@{k} strict",
        f"mAP@{k} /K",
        f"mAP@{k} strict (VOC)",
        f"P@{k}",
    ]
    figures = ranked(range(len(relevant), 0, -1), relevant, wanted)
    assert list(figures.values()) == pytest.approx(expected, abs=5e-7)


def test_precision_of_the_top_min_k_r() -> None:
    assert ranked(range(8, 0, -1), [1, 0, 1, 0, 0, 0, 1, 0], ["P@5 (min)"])["P@5 (min)"] == pytest.approx(2 / 3)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_ties_against_every_order(data: st.DataObject) -> None:
    scores = data.draw(st.lists(st.integers(-2, 2), min_size=1, max_size=6))
    relevant = data.draw(st.lists(st.integers(0, 1), min_size=len(scores), max_size=len(scores)).filter(any))
    wanted = names(data.draw(st.integers(1, 7)))
    every = orders(scores, relevant)
    figures = {ties: ranked(scores, relevant, wanted, ties) for ties in ("expected", "pessimistic", "optimistic")}
    for name in wanted:
        values = [of_order(order, name) for order in every]
        assert figures["pessimistic"][name] == pytest.approx(min(values)), name
        assert figures["optimistic"][name] == pytest.approx(max(values)), name
        mean = min(values) if metric(name).open_under_ties else np.mean(values)
        assert figures["expected"][name] == pytest.approx(mean), name


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_cut_through_a_large_tied_group(data: st.DataObject) -> None:
    """Bounds of every metric where a group is too large for all permutations: all places of its relevant items."""
    before = data.draw(st.lists(st.integers(0, 1), max_size=5))
    group = data.draw(st.lists(st.integers(0, 1), min_size=2, max_size=9).filter(any))
    wanted = names(data.draw(st.integers(1, 15)))
    scores = [*range(len(before) + 1, 1, -1), *([0] * len(group))]
    distinct = {p for p in product((0, 1), repeat=len(group)) if sum(p) == sum(group)}
    for ties, bound in (("pessimistic", min), ("optimistic", max)):
        figures = ranked(scores, before + group, wanted, ties)  # type: ignore[arg-type]
        for name in wanted:
            assert figures[name] == pytest.approx(bound(of_order([*before, *p], name) for p in distinct)), name


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 9))
def test_untied_against_the_loop_and_scikit_learn(seed: int, k: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    queries, gallery = rng.normal(size=(7, 5)), rng.normal(size=(30, 5))
    labels, gallery_labels = rng.integers(0, classes, 7), rng.integers(0, classes, 30)
    result = rank(queries, labels, gallery, gallery_labels, metrics=names(k))
    assert result.tie_rate == 0
    cosine = queries @ gallery.T / np.linalg.norm(gallery, axis=1)
    for i in range(7):
        relevant = gallery_labels == labels[i]
        if not relevant.any():
            assert all(np.isnan(figures[i]) for figures in result.per_query.values())
            continue
        order = relevant[np.argsort(-cosine[i])].astype(int)
        for name in names(k):
            assert result.per_query[name][i] == pytest.approx(of_order(list(order), name)), name
        assert result.per_query["mAP@all"][i] == pytest.approx(average_precision_score(relevant, cosine[i]))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 13))
def test_neither_blocks_threads_nor_order_change_a_figure(seed: int, block: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    queries, gallery = rng.integers(-2, 3, (12, 4)), rng.integers(-2, 3, (60, 4))
    labels, gallery_labels = rng.integers(0, 3, 12), rng.integers(0, 4, 60)
    ids, gallery_ids = rng.integers(0, 40, 12), rng.integers(0, 40, 60)
    back = rng.permutation(12)
    for similarity in ("dot", "euclidean"):
        whole, cut = (
            rank(
                queries[q],
                labels[q],
                gallery[g],
                gallery_labels[g],
                metrics=names(k),
                query_ids=ids[q],
                gallery_ids=gallery_ids[g],
                similarity=similarity,
                block=rows,
                threads=threads,
            )
            for q, g, rows, threads in (
                (np.arange(12), np.arange(60), None, 1),
                (back, rng.permutation(60), block, 3),
            )
        )
        assert whole.tie_rate == cut.tie_rate
        assert whole.per_query.keys() == cut.per_query.keys()
        for name, figures in whole.per_query.items():
            np.testing.assert_array_equal(figures[back], cut.per_query[name], err_msg=name)


def test_blocks_move_a_float_figure_by_rounding_alone() -> None:
    rng = np.random.default_rng(0)
    sides = rng.normal(size=(50, 64)), rng.integers(0, 5, 50), rng.normal(size=(400, 64)), rng.integers(0, 5, 400)
    whole, cut = (rank(*sides, metrics=names(30), block=rows).micro() for rows in (None, 7))
    assert cut == pytest.approx(whole, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 20))
def test_inequalities_between_conventions(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    figures = rank(
        rng.integers(-3, 4, (6, 3)),
        rng.integers(0, 2, 6),
        rng.integers(-3, 4, (50, 3)),
        rng.integers(0, 2, 50),
        metrics=names(k),
        ties="pessimistic",
    )
    per, enough = figures.per_query, figures.relevant >= k
    assert (per[f"mAP@{k} strict"][enough] <= per[f"P@{k}"][enough] + 1e-12).all()
    assert (per["mAP@all (VOC)"] >= per["mAP@all"] - 1e-12).all()
    assert (per[f"mAP@{k} strict (VOC)"] >= per[f"mAP@{k} strict"] - 1e-12).all()
    assert (per[f"mAP@{k} lenient"] >= per[f"mAP@{k} strict"] - 1e-12).all()
    assert (per[f"mAP@{k} strict"] >= per[f"mAP@{k} /K"] - 1e-12).all()


@pytest.mark.parametrize("dim", [1, 7, 64, 256, 513])
@pytest.mark.parametrize("queries", [1, 2, 5])
def test_constant_embeddings_score_chance(dim: int, queries: int) -> None:
    """Every gallery vector is the same, whatever its position in the matrix does to a dot product's last bit."""
    vector = np.random.default_rng(dim).normal(size=dim)
    gallery_labels = np.repeat([0, 1, 2, 3], [1, 3, 6, 27])
    sides = np.tile(vector, (queries, 1)), np.full(queries, 2), np.tile(vector, (37, 1)), gallery_labels
    wanted = ["P@10", "R@1", "R-precision", "mAP@all"]
    expected, worst, best = (
        rank(*sides, metrics=wanted, ties=ties) for ties in ("expected", "pessimistic", "optimistic")
    )
    chance = 6 / 37
    assert [expected.micro()[name] for name in wanted[:3]] == pytest.approx([chance] * 3)
    assert worst.micro()["P@10"] == 0
    assert worst.micro()["mAP@all"] < expected.micro()["mAP@all"] < 0.35
    assert best.micro()["mAP@all"] == pytest.approx(1)
    assert expected.tie_rate == 1


def test_all_zero_embeddings_score_chance_too() -> None:
    result = rank(np.zeros((3, 8)), [0, 1, 1], np.zeros((10, 8)), [0] * 2 + [1] * 8, metrics=["P@5"])
    assert result.per_query["P@5"] == pytest.approx([0.2, 0.8, 0.8])


def test_scores_below_zero_count() -> None:
    """A peer drops relevant items whose score is not above 0."""
    wanted = ["mAP@all", "MRR", "P@2", "R@1"]
    low = ranked([-0.1, -0.2, -0.3, -0.4], [1, 0, 1, 0], wanted)
    assert low == ranked([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], wanted)
    assert low == pytest.approx({"mAP@all": 5 / 6, "MRR": 1, "P@2": 0.5, "R@1": 1})


@pytest.mark.parametrize("shift", [2**24, 2**53, -(2**62)])
def test_labels_of_any_size_stay_apart(shift: int) -> None:
    """A peer casts labels to float32, where 2**24 and 2**24 + 1 are one number."""
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(9, 4)), rng.normal(size=(30, 4))
    labels, gallery_labels = np.arange(9) % 3, np.arange(30) % 3
    plain, shifted = (
        rank(queries, labels + by, gallery, gallery_labels + by, metrics=["R-precision", "mAP@R"]) for by in (0, shift)
    )
    assert plain.micro() == shifted.micro()


def test_map_is_not_truncated() -> None:
    """A peer cuts mAP at the largest class size without saying so."""
    relevant = [0] * 50 + [1] * 2
    assert ranked(range(52, 0, -1), relevant, ["mAP@all"])["mAP@all"] == pytest.approx((1 / 51 + 2 / 52) / 2)


def test_self_is_left_out_by_id() -> None:
    """Another item may stand as near as the query itself, so the first column is not always self."""
    x = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]])
    labels = np.array([0, 0, 1, 1])
    ids = np.array(["a", "b", "c", "d"])
    result = rank(x, labels, x, labels, metrics=["R@1", "mAP@all"], query_ids=ids, gallery_ids=ids)
    assert result.per_query["R@1"].tolist() == [1, 1, 1, 1]
    assert result.relevant.tolist() == [1, 1, 1, 1]
    assert result.excluded == 0
    shuffled = np.array([2, 0, 3, 1])
    again = rank(
        x, labels, x[shuffled], labels[shuffled], metrics=["mAP@all"], query_ids=ids, gallery_ids=ids[shuffled]
    )
    np.testing.assert_array_equal(again.per_query["mAP@all"], result.per_query["mAP@all"])


def test_a_query_whose_only_relevant_item_is_itself_is_excluded() -> None:
    x, labels, ids = np.eye(3), np.array([0, 0, 1]), np.arange(3)
    result = rank(x, labels, x, labels, metrics=["R@1"], query_ids=ids, gallery_ids=ids)
    assert result.excluded == 1
    assert np.isnan(result.per_query["R@1"][2])


def test_queries_without_relevant_items_are_counted_and_not_averaged() -> None:
    result = rank(np.eye(3), [0, 1, 9], np.eye(3), [0, 5, 1], metrics=["MRR", "R@1"])
    assert result.excluded == 1
    assert result.relevant.tolist() == [1, 1, 0]
    assert result.micro()["R@1"] == 0.5
    assert result.per_class().keys() == {0, 1}


def test_micro_weighs_queries_and_macro_weighs_classes() -> None:
    gallery = np.eye(2)
    result = rank(gallery[[0, 0, 0, 0]], [0, 0, 0, 1], gallery, [0, 1], metrics=["R@1"])
    assert result.micro() == {"R@1": 0.75}
    assert result.macro() == {"R@1": 0.5}


def test_tie_rate_counts_ties_that_matter() -> None:
    tied = rank([[1.0]], [1], [[2.0], [2.0], [1.0], [1.0]], [1, 1, 1, 0], metrics=["mAP@all"], similarity="dot")
    assert tied.tie_rate == pytest.approx(1 / 3)


def test_an_upper_bound_is_printed_only_where_ties_open_a_visible_gap() -> None:
    untied = rank([[1.0]], [1], [[2.0], [1.0]], [1, 0], metrics=["mAP@all (VOC)", "mAP@2 lenient"], similarity="dot")
    assert list(untied.per_query) == ["mAP@all (VOC)", "mAP@2 lenient"]
    tied = rank([[1.0]], [1], [[1.0], [1.0]], [1, 0], metrics=["mAP@all (VOC)", "mAP@all"], similarity="dot")
    assert tied.micro() == pytest.approx({"mAP@all (VOC)": 0.5, "mAP@all (VOC) optimistic": 1.0, "mAP@all": 0.75})


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_similarities_order_as_they_say(similarity: Similarity) -> None:
    query, gallery = np.array([1.0, 1.0]), np.array([[5.0, 4.0], [0.9, 1.2], [1.0, 1.0], [-1.0, 0.0]])
    scores = {
        "cosine": gallery @ query / np.linalg.norm(gallery, axis=1),
        "dot": gallery @ query,
        "euclidean": -np.linalg.norm(gallery - query, axis=1),
    }[similarity]
    for item in range(4):
        figures = rank([query], [item], gallery, range(4), metrics=["MRR"], similarity=similarity)
        assert figures.micro()["MRR"] == pytest.approx(1 / (1 + (scores > scores[item]).sum()))


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e15, 1e30])
def test_cosine_does_not_depend_on_length(scale: float) -> None:
    rng = np.random.default_rng(1)
    queries, gallery, labels = rng.normal(size=(5, 6)), rng.normal(size=(20, 6)), np.arange(20) % 4
    plain = rank(queries, range(5), gallery, labels, metrics=["mAP@all"])
    scaled = rank(queries * scale, range(5), gallery * scale, labels, metrics=["mAP@all"])
    assert scaled.micro() == pytest.approx(plain.micro())


@pytest.mark.parametrize(
    "name", ["mAP", "mAP@200", "mAP@200 (VOC)", "mAP@all strict", "P@0", "R@K", "recall", "", "mAP@R (VOC)"]
)
def test_a_name_that_leaves_its_convention_open_is_refused_with_the_list(name: str) -> None:
    with pytest.raises(InkseekError, match=r"mAP@all, mAP@all \(VOC\), mAP@K strict") as refused:
        metric(name)
    assert "\n" not in str(refused.value)


def test_every_form_explains_itself() -> None:
    assert len({str(metric(name)) for name in names(5)}) == len(FORMS) - 1  # R@K and Acc@K are one


GOOD: dict[str, Any] = {"queries": np.eye(2), "query_labels": [0, 1], "gallery": np.eye(2), "gallery_labels": [0, 1]}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"queries": np.eye(3)[:2]}, "3 dimensions, gallery embeddings 2"),
        ({"queries": np.array([[1.0, np.nan], [0, 1]])}, "NaN or infinity in row 0"),
        ({"gallery": np.empty((0, 2)), "gallery_labels": []}, "at least one"),
        ({"query_labels": [0, 1, 2]}, "one label an item"),
        ({"query_labels": [0.0, 1.0]}, "give integers"),
        ({"query_ids": [1, 2]}, "one side only"),
        ({"query_ids": [1, 2], "gallery_ids": ["a", "b"]}, "same kind"),
        ({"query_ids": [1], "gallery_ids": [1, 2]}, "give one each"),
        ({"metrics": []}, "at least one"),
        ({"gallery": np.eye(2) * 1e25, "similarity": "dot"}, "too long for float32"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InkseekError, match=message):
        rank(**{"metrics": ["R@1"], **GOOD, **wrong})


def test_half_precision_goes_in() -> None:
    half = np.eye(2, dtype=np.float16)
    assert rank(half, [0, 1], half, [0, 1], metrics=["R@1"]).micro() == {"R@1": 1.0}
