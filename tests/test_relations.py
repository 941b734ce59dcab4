"""Relations of a batch, held against loops over pairs and triplets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inkseek import distances
from inkseek import relations as module
from inkseek.errors import InkseekError
from inkseek.relations import LEVELS, METRICS, Batch, Level, Metric, Relations, relative_distance_moments

PROPERTY = settings(deadline=None, derandomize=True, max_examples=60)
LABELS = st.lists(st.integers(0, 3), max_size=8)


def normal(rows: int, dim: int = 5, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def explicit_distance(x: list[float], y: list[float], metric: Metric) -> float:
    if metric == "dot":
        return -sum(a * b for a, b in zip(x, y, strict=True))
    lengths = math.hypot(*x), math.hypot(*y)
    difference = [a / lengths[0] - b / lengths[1] for a, b in zip(x, y, strict=True)]
    square = sum(d * d for d in difference)
    return {"sqeuclidean": square, "euclidean": math.sqrt(square), "cosine": square / 2}[metric]


def explicit_relative_distances(relations: Relations) -> list[float]:
    distance, positive, negative = (m.tolist() for m in (relations.distance, relations.positive, relations.negative))
    return [
        distance[a][p] - distance[a][n]
        for a in range(len(distance))
        for p in range(len(distance[a]))
        for n in range(len(distance[a]))
        if positive[a][p] and negative[a][n]
    ]


@pytest.mark.parametrize("metric", METRICS)
def test_distances_equal_the_loop(metric: Metric) -> None:
    anchors, candidates = normal(4), normal(6, seed=1)
    expected = [[explicit_distance(x, y, metric) for y in candidates.tolist()] for x in anchors.tolist()]
    one = Batch(anchors, [0] * 4).relations(metric).distance
    two = Batch(anchors, [0] * 4, candidates, [0] * 6).relations(metric).distance
    torch.testing.assert_close(two, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(
        one, Batch(anchors, [0] * 4, anchors, [0] * 4).relations(metric).distance, atol=0, rtol=0
    )


@pytest.mark.parametrize("strip", [1, 3, 5])
@pytest.mark.parametrize("rows", [0, 1, 5, 13])
def test_distances_in_strips_equal_those_in_one_piece(monkeypatch: pytest.MonkeyPatch, rows: int, strip: int) -> None:
    x = normal(rows)
    expected = distances.pairwise(x, x.clone(), "dot")
    monkeypatch.setattr(distances, "STRIP", strip)
    torch.testing.assert_close(distances.pairwise(x, x, "dot"), expected)


@pytest.mark.parametrize("metric", METRICS)
def test_distances_are_twice_differentiable(metric: Metric) -> None:
    def distance(anchors: Tensor, candidates: Tensor) -> Tensor:
        return Batch(anchors, [0] * 3, candidates, [0] * 4).relations(metric).distance

    inputs = normal(3).requires_grad_(), normal(4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(distance, inputs)
    assert torch.autograd.gradgradcheck(distance, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric != "dot"])
def test_zero_distance_is_finite_with_finite_gradient(metric: Metric, dtype: torch.dtype) -> None:
    embeddings = normal(3, dim=64, dtype=dtype)
    embeddings[1] = 3 * embeddings[0]  # the same direction
    embeddings[2] = 0
    embeddings.requires_grad_()
    distance = Batch(embeddings, [0, 0, 0]).relations(metric).distance
    assert distance[0, 1] <= 1e-3
    assert (distance >= 0).all()
    right_angle = {"sqeuclidean": 2, "euclidean": math.sqrt(2), "cosine": 1}[metric]
    torch.testing.assert_close(distance[2], torch.full_like(distance[2], right_angle))
    torch.autograd.backward(distance.sum())
    gradient = embeddings.grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert gradient.abs().max() < 10
    assert not gradient[2].any()


def test_near_but_different_embeddings_keep_their_euclidean_distance() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 3e-3]])
    assert float(Batch(x, [0, 0]).relations("euclidean").distance[0, 1]) == pytest.approx(3e-3, rel=0.05)


@given(labels=LABELS, candidate_labels=st.none() | LABELS)
@PROPERTY
def test_category_masks_equal_the_loop(labels: list[int], candidate_labels: list[int] | None) -> None:
    if candidate_labels is None:
        relations, others = Batch(normal(len(labels)), labels).relations(), labels
    else:
        others = candidate_labels
        relations = Batch(normal(len(labels)), labels, normal(len(others)), others).relations()
    for a, label in enumerate(labels):
        for c, other in enumerate(others):
            itself = candidate_labels is None and a == c
            assert bool(relations.positive[a, c]) == (label == other and not itself)
            assert bool(relations.negative[a, c]) == (label != other)
    assert relations.positive.shape == relations.negative.shape == (len(labels), len(others))


@given(
    instances=st.lists(st.integers(-1, 3), max_size=8), candidates=st.none() | st.lists(st.integers(-1, 3), max_size=8)
)
@PROPERTY
def test_instance_masks_equal_the_loop(instances: list[int], candidates: list[int] | None) -> None:
    labels = [0] * len(instances)
    if candidates is None:
        relations = Batch(normal(len(instances)), labels, instances=instances).relations()
        others = instances
    else:
        others = candidates
        embeddings = normal(len(instances)), labels, normal(len(others)), [0] * len(others)
        relations = Batch(*embeddings, instances=(instances, others)).relations()
    for a, instance in enumerate(instances):
        for c, other in enumerate(others):
            itself = candidates is None and a == c
            positive = instance == other and instance != -1 and not itself
            assert bool(relations.positive[a, c]) == positive
            assert bool(relations.negative[a, c]) == (not positive and not itself)


def test_self_is_excluded_by_place_and_not_by_distance() -> None:
    relations = Batch(torch.ones(3, 2), [0, 0, 1]).relations()
    assert relations.positive.tolist() == [[False, True, False], [True, False, False], [False, False, False]]


def test_level_follows_the_instances_unless_given() -> None:
    plain, paired = Batch(normal(3), [0, 0, 1]), Batch(normal(3), [0, 0, 1], instances=[5, 6, 7])
    assert plain.relations() is plain.relations("sqeuclidean", "category")
    assert paired.relations() is paired.relations("sqeuclidean", "instance")
    assert paired.relations(level="category").positive.any()
    assert not paired.relations().positive.any()
    assert paired.relations(level="category").distance is paired.relations().distance


def test_relations_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[Metric] = []
    original = distances.pairwise

    def counted(anchors: Tensor, candidates: Tensor, metric: Metric) -> Tensor:
        computed.append(metric)
        return original(anchors, candidates, metric)

    monkeypatch.setattr(module, "pairwise", counted)
    batch = Batch(normal(4), [0, 0, 1, 1], instances=[0, 1, 2, 3])
    for level in (*LEVELS, None):
        for metric in METRICS:
            batch.relations(metric, level)
    assert computed == list(METRICS)


def test_relations_first_asked_for_without_gradient_still_carry_one() -> None:
    embeddings = normal(4).requires_grad_()
    batch = Batch(embeddings, [0, 0, 1, 1])
    with torch.no_grad():
        batch.relations()
    torch.autograd.backward(batch.relations().distance.sum())
    assert embeddings.grad is not None


@pytest.mark.parametrize("base", [2**24, 2**53, -(2**62)])
def test_large_labels_stay_distinct(base: int) -> None:
    relations = Batch(normal(3), [base, base + 1, base]).relations()
    assert relations.positive.tolist() == [[False, False, True], [False, False, False], [True, False, False]]
    paired = Batch(normal(2), [0, 0], normal(2), [0, 0], instances=([2**24, 2**24 + 1], [2**24 + 1, 2**24])).relations()
    assert paired.positive.tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize("labels", [np.array([3, 3, 4], dtype=np.int64), torch.tensor([3, 3, 4]).int(), (3, 3, 4)])
def test_labels_may_be_of_any_integer_kind(labels: Any) -> None:
    batch = Batch(normal(3), labels)
    assert batch.anchor_labels.dtype == torch.int64
    assert batch.anchor_labels.tolist() == [3, 3, 4]


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_types_are_promoted_and_float64_stays(half: torch.dtype) -> None:
    embeddings = 300 * normal(4).to(half)  # squares to more than float16 holds
    relations = Batch(embeddings, [0, 0, 1, 1]).relations()
    assert relations.distance.dtype == torch.float32
    expected = Batch(embeddings.float(), [0, 0, 1, 1]).relations().distance
    torch.testing.assert_close(relations.distance, expected, atol=0, rtol=0)
    assert Batch(normal(2), [0, 0]).relations().distance.dtype == torch.float64


def test_autocast_changes_nothing() -> None:
    embeddings = normal(8, dim=64, dtype=torch.float32)
    expected = Batch(embeddings, [0] * 8).relations("euclidean").distance
    with torch.autocast("cpu", dtype=torch.bfloat16):
        distance = Batch(embeddings, [0] * 8).relations("euclidean").distance
    torch.testing.assert_close(distance, expected, atol=0, rtol=0)


@given(labels=LABELS, candidate_labels=st.none() | LABELS, block=st.sampled_from([1, 7, 2**20]))
@PROPERTY
def test_moments_equal_the_explicit_triplets(labels: list[int], candidate_labels: list[int] | None, block: int) -> None:
    other = () if candidate_labels is None else (normal(len(candidate_labels), seed=1), candidate_labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_ELEMENTS", block)
        relations = Batch(normal(len(labels)), labels, *other).relations()
        mean, variance = relative_distance_moments(relations)
    explicit = explicit_relative_distances(relations)
    count = len(explicit)
    expected_mean = math.fsum(explicit) / count if count else 0.0
    expected = math.fsum((d - expected_mean) ** 2 for d in explicit) / (count - 1) if count > 1 else 0.0
    assert int(relations.triplets) == count
    assert float(mean) == pytest.approx(expected_mean, abs=1e-12)
    assert float(variance) == pytest.approx(expected, abs=1e-12)


def test_variance_holds_in_float32_near_collapse() -> None:
    # Distances of about 2 that differ by about 1e-4: a difference of mean squares has no digit left here.
    labels = torch.arange(60) % 6
    noise = normal(60, dim=60)
    batch = Batch(normal(60), labels)
    masks = batch.relations().positive, batch.relations().negative
    exact = relative_distance_moments(Relations((2 + 1e-4 * noise).float().double(), *masks))[1]
    single = relative_distance_moments(Relations((2 + 1e-4 * noise).float(), *masks))[1]
    assert single.dtype == torch.float32
    assert float(single) == pytest.approx(float(exact), rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((normal(3), [0, 1]), {}, "labels must be integers, one for each of the 3 items"),
        ((normal(3), [0.0, 1.0, 2.0]), {}, "labels must be integers"),
        ((normal(2), [True, False]), {}, "labels must be integers"),
        ((normal(2), ["a", "b"]), {}, "labels must be integers"),
        ((normal(3)[0], [0]), {}, "embeddings must be a floating-point tensor"),
        ((torch.ones(2, 2, dtype=torch.int64), [0, 1]), {}, "embeddings must be a floating-point tensor"),
        ((normal(2).numpy(), [0, 1]), {}, "embeddings must be a floating-point tensor"),
        ((normal(2), [0, 1], normal(2)), {}, "both"),
        ((normal(2), [0, 1], normal(2, dim=3), [0, 1]), {}, "same dimension"),
        ((normal(2), [0, 1], normal(2).float(), [0, 1]), {}, "same dimension and number type"),
        ((normal(2), [0, 1], normal(3), [0, 1]), {}, "candidates' labels must be integers"),
        ((normal(2), [0, 1]), {"instances": ([0, 1], [0, 1])}, "instances must be integers"),
        ((normal(2), [0, 1], normal(3), [0, 1, 2]), {"instances": [0, 1, 2]}, "must be a pair"),
        ((normal(2), [0, 1], normal(3), [0, 1, 2]), {"instances": ([0, 1, 2], [0, 1])}, "anchors' instances"),
        ((normal(2), [0, 1]), {"domains": [0]}, "domains must be integers"),
    ],
)
def test_what_does_not_fit_is_an_error(arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InkseekError, match=message) as error:
        Batch(*arguments, **options)
    assert "\n" not in str(error.value)


def test_domains_are_carried() -> None:
    one = Batch(normal(2), [0, 1], domains=[0, 1])
    two = Batch(normal(2), [0, 1], normal(1), [0], domains=([0, 0], [1]))
    assert one.domains is not None
    assert two.domains is not None
    assert [side.tolist() for side in one.domains] == [[0, 1], [0, 1]]
    assert [side.tolist() for side in two.domains] == [[0, 0], [1]]


def test_unknown_metric_and_level_name_the_nearest() -> None:
    batch = Batch(normal(2), [0, 1])
    with pytest.raises(InkseekError, match="did you mean 'euclidean'"):
        batch.relations("euclidian")  # type: ignore[arg-type]
    with pytest.raises(InkseekError, match="did you mean 'category'"):
        batch.relations(level="categories")  # type: ignore[arg-type]
    level: Level = "instance"
    with pytest.raises(InkseekError, match="instances="):
        batch.relations(level=level)


def test_one_matrix_is_twice_differentiable_too() -> None:
    def distance(x: Tensor) -> Tensor:
        return Batch(x, [0] * 5).relations("dot").distance

    inputs = normal(5).requires_grad_()
    assert torch.autograd.gradcheck(distance, inputs)
    assert torch.autograd.gradgradcheck(distance, inputs)


def test_backward_inside_autocast_stays_in_float32() -> None:
    embeddings = [normal(6, dtype=torch.float32).requires_grad_() for _ in range(2)]
    torch.autograd.backward(Batch(embeddings[0], [0] * 6).relations("sqeuclidean").distance.square().sum())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.autograd.backward(Batch(embeddings[1], [0] * 6).relations("sqeuclidean").distance.square().sum())
    assert embeddings[0].grad is not None
    assert embeddings[1].grad is not None
    assert torch.equal(embeddings[0].grad, embeddings[1].grad)


@given(labels=st.lists(st.integers(0, 3), max_size=8), others=st.none() | st.lists(st.integers(0, 3), max_size=8))
@settings(deadline=None, derandomize=True)
def test_packed_positives_are_the_positives(labels: list[int], others: list[int] | None) -> None:
    more = () if others is None else (normal(len(others), seed=1), others)
    for host in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "on_host", lambda _, host=host: host)
            relations = Batch(normal(len(labels)), labels, *more).relations()
            column, valid = relations.packed
        for a in range(len(labels)):
            assert column[a][valid[a]].tolist() == relations.positive[a].nonzero()[:, 0].tolist()
        most = int(relations.positives.max()) if labels else 0
        assert valid.shape[1] == (most if host else relations.positive.shape[1])


def test_the_union_knows_its_domains() -> None:
    sketches, photos = normal(2), normal(3, seed=1)
    both = Batch(sketches, [0, 1], photos, [1, 0, 2], instances=([5, 6], [6, 5, -1])).union
    assert torch.equal(both.anchors, torch.cat([sketches, photos]))
    assert both.anchor_labels.tolist() == [0, 1, 1, 0, 2]
    assert both.instances is not None
    assert both.instances[0].tolist() == [5, 6, 6, 5, -1]
    assert both.domains is not None
    assert both.domains[0].tolist() == [0, 0, 1, 1, 1]
    assert both.union is both
    given = Batch(sketches, [0, 1], photos, [1, 0, 2], domains=([3, 3], [4, 5, 4])).union
    assert given.domains is not None
    assert given.domains[0].tolist() == [3, 3, 4, 5, 4]
    with pytest.raises(InkseekError, match="or with domains="):
        Batch(sketches, [0, 1]).union  # noqa: B018
