"""RDVC in O(N^2), held against the explicit triplets and the paper's closed forms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inkseek import relations as module
from inkseek.errors import InkseekError
from inkseek.losses import RDVC, Batch, BinomialDeviance, Objective, Relations, SemiHardTriplet, Term, Triplet
from inkseek.losses.tuples import nth_of, nth_true, random_negatives
from inkseek.relations import METRICS, Level, Metric, relative_distance_moments

PROPERTY = settings(deadline=None, derandomize=True, max_examples=60)
LABELS = st.lists(st.integers(0, 3), max_size=9)


def normal(rows: int, dim: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


class GivenRelations(Batch):
    """A batch whose distances are given outright, so that gradients are by distance."""

    def __init__(self, distance: Tensor, labels: list[int], candidate_labels: list[int]) -> None:
        super().__init__(torch.zeros(len(labels), 1), labels, torch.zeros(len(candidate_labels), 1), candidate_labels)
        self.distance = distance

    def relations(self, metric: Metric = "sqeuclidean", level: Level | None = None) -> Relations:
        masks = super().relations(metric, level)
        return Relations(self.distance, masks.positive, masks.negative)


def explicit(relations: Relations) -> tuple[Tensor, list[tuple[int, int, int]]]:
    """Every relative distance, as an ordinary differentiable tensor, and its triplet."""
    rows, columns = relations.distance.shape
    triplets = [
        (a, p, n)
        for a in range(rows)
        for p in range(columns)
        for n in range(columns)
        if relations.positive[a, p] and relations.negative[a, n]
    ]
    if not triplets:
        return relations.distance.new_zeros(0), []
    return torch.stack([relations.distance[a, p] - relations.distance[a, n] for a, p, n in triplets]), triplets


def gradient_of(term: Term, batch: GivenRelations) -> Tensor:
    (gradient,) = torch.autograd.grad(term(batch), batch.distance)
    return gradient


UNBALANCED = [0, 0, 0, 0, 1, 1, 2, 2, 2, 3]


@given(
    labels=LABELS,
    candidate_labels=st.none() | LABELS,
    metric=st.sampled_from(METRICS),
    reduction=st.sampled_from(["mean", "sum"]),
    block=st.sampled_from([1, 20, 2**20]),
)
@PROPERTY
def test_equals_the_variance_over_explicit_triplets(
    labels: list[int], candidate_labels: list[int] | None, metric: Metric, reduction: Any, block: int
) -> None:
    other = () if candidate_labels is None else (normal(len(candidate_labels), seed=1), candidate_labels)
    batch = Batch(normal(len(labels)), labels, *other)
    relations = batch.relations(metric)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_ELEMENTS", block)
        value = RDVC(metric, reduction=reduction)(batch)
        (gradient,) = torch.autograd.grad(value, relations.distance, retain_graph=True)
    differences, triplets = explicit(relations)
    if len(triplets) < 2:
        assert value.item() == pytest.approx(0, abs=1e-25)
        assert gradient.abs().sum().item() == pytest.approx(0, abs=1e-12)
        return
    expected = (
        differences.var(unbiased=True) if reduction == "mean" else (differences - differences.mean()).square().sum()
    )
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-13)
    (expected_gradient,) = torch.autograd.grad(expected, relations.distance, retain_graph=True)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("size", [2, 17])
def test_gradcheck(metric: Metric, size: int) -> None:
    labels = torch.arange(size) % 3
    assert torch.autograd.gradcheck(lambda x: RDVC(metric)(x, labels), normal(size))
    assert torch.autograd.gradcheck(lambda x: RDVC(metric, reduction="sum")(x, labels), normal(size))


def single_anchor(negatives: list[float], positive: float = 1.0) -> tuple[GivenRelations, Tensor]:
    """One anchor with one positive: D_i meets one negative each, so that -dL/dd_n is dL/dD_i."""
    distance = torch.tensor([[positive, *negatives]], dtype=torch.float64, requires_grad=True)
    return GivenRelations(distance, [0], [0, *range(1, len(negatives) + 1)]), positive - torch.tensor(
        negatives
    ).double()


NEGATIVES = [0.2, 1.9, 2.5, 1.1, 3.6]


def test_gradient_by_relative_distance_is_equation_8() -> None:
    batch, difference = single_anchor(NEGATIVES)
    by_difference = -gradient_of(RDVC("sqeuclidean"), batch)[0, 1:]
    torch.testing.assert_close(by_difference, 2 * (difference - difference.mean()) / (len(NEGATIVES) - 1))
    assert by_difference.sum().item() == pytest.approx(0, abs=1e-12)


def test_gradient_of_the_triplet_loss_by_relative_distance_is_equation_9() -> None:
    batch, difference = single_anchor(NEGATIVES)
    torch.testing.assert_close(
        -gradient_of(len(NEGATIVES) * Triplet(1.0), batch)[0, 1:], (difference > -1.0).to(torch.float64)
    )


def test_gradient_of_their_sum_is_equation_14() -> None:
    batch, difference = single_anchor(NEGATIVES)
    count = len(NEGATIVES)
    pull = 2 * (difference - difference.mean())
    expected = torch.where(difference > -1.0, count - 1 + pull, pull) / (count - 1)
    torch.testing.assert_close(-gradient_of(count * Triplet(1.0) + RDVC(), batch)[0, 1:], expected)


def test_a_large_weight_pushes_an_active_triplet_back() -> None:
    batch, difference = single_anchor(NEGATIVES, positive=3.0)
    weight, count = 2.0, len(NEGATIVES)
    by_difference = -gradient_of(Triplet(5.0) + weight * RDVC(), batch)[0, 1:]  # every triplet is active
    turn = difference.mean() - (count - 1) / (2 * weight * count)
    assert torch.equal(by_difference < 0, difference < turn)
    assert (by_difference < 0).any()
    assert (by_difference > 0).any()


def test_gradients_sum_to_zero_on_either_side() -> None:
    batch = Batch(normal(10), UNBALANCED)
    relations = batch.relations()
    (gradient,) = torch.autograd.grad(RDVC("sqeuclidean")(batch), relations.distance)
    assert gradient[relations.positive].sum().item() == pytest.approx(0, abs=1e-12)
    assert gradient[relations.negative].sum().item() == pytest.approx(0, abs=1e-12)
    assert not gradient.diagonal().any()


def test_shift_changes_nothing_and_scale_counts_squared() -> None:
    relations = Batch(normal(10).detach(), UNBALANCED, normal(10, seed=1).detach(), UNBALANCED).relations()

    def rdvc(distance: Tensor) -> float:
        return RDVC("sqeuclidean")(GivenRelations(distance, UNBALANCED, UNBALANCED)).item()

    value = rdvc(relations.distance)
    assert rdvc(relations.distance + 0.7 * relations.positive) == pytest.approx(value)
    assert rdvc(relations.distance - 0.3 * relations.negative) == pytest.approx(value)
    assert rdvc(3 * relations.distance) == pytest.approx(9 * value)
    assert rdvc(torch.full_like(relations.distance, 1.7)) == pytest.approx(0, abs=1e-25)


def test_squared_euclidean_is_four_times_cosine() -> None:
    batch = Batch(normal(10), UNBALANCED)
    assert RDVC("sqeuclidean")(batch).item() == pytest.approx(4 * RDVC("cosine")(batch).item())


def test_relabelling_and_permutation_change_nothing() -> None:
    embeddings, labels = normal(10), torch.tensor(UNBALANCED)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(3))
    loss = RDVC("cosine")(embeddings, labels)
    torch.testing.assert_close(RDVC("cosine")(embeddings, 97 - 13 * labels), loss)
    torch.testing.assert_close(RDVC("cosine")(embeddings[order], labels[order]), loss)
    assert torch.equal(RDVC("cosine")(embeddings, labels + 2**24), loss)


@pytest.mark.parametrize("block", [1, 25, 60])
def test_block_size_changes_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = normal(10), normal(10)
    expected = RDVC("sqeuclidean")(whole, UNBALANCED)
    torch.autograd.backward(expected)
    monkeypatch.setattr(module, "BLOCK_ELEMENTS", block)
    loss = RDVC("sqeuclidean")(cut, UNBALANCED)
    torch.autograd.backward(loss)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(cut.grad, whole.grad)


def test_half_input_and_autocast_equal_float32() -> None:
    labels = torch.arange(24) % 6
    half = normal(24, dim=32, dtype=torch.float32).detach().bfloat16().requires_grad_()
    single = half.detach().float().requires_grad_()
    expected = RDVC("sqeuclidean")(single, labels)
    torch.autograd.backward(expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = RDVC("sqeuclidean")(half, labels)
    torch.autograd.backward(loss)
    assert torch.equal(loss, expected)
    assert half.grad is not None
    assert single.grad is not None
    torch.testing.assert_close(half.grad, single.grad.bfloat16())


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0, 0], [0, 1, 2, 3]])
def test_fewer_than_two_triplets_give_a_differentiable_zero(labels: list[int], reduction: Any) -> None:
    embeddings = normal(len(labels), dtype=torch.float32)
    loss = RDVC("euclidean", reduction=reduction)(embeddings, labels)
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert embeddings.grad is not None
    assert not embeddings.grad.any()


def test_one_triplet_has_no_variance() -> None:
    sketches, photos = normal(1, dtype=torch.float32), normal(2, seed=1, dtype=torch.float32)
    loss = RDVC("sqeuclidean")(sketches, [0], photos, [0, 1])
    torch.autograd.backward(loss)
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert sketches.grad is not None
    assert sketches.grad.abs().max().item() == pytest.approx(0, abs=1e-6)


def test_instance_level_takes_the_paired_photo() -> None:
    sketches, photos = normal(3), normal(4, seed=1)
    batch = Batch(sketches, [0] * 3, photos, [0] * 4, instances=([1, 2, 3], [3, 1, 2, -1]))
    distance = batch.relations().distance
    paired = {0: 1, 1: 2, 2: 0}
    differences = torch.stack([distance[a, p] - distance[a, n] for a, p in paired.items() for n in range(4) if n != p])
    torch.testing.assert_close(RDVC("sqeuclidean")(batch), differences.var())
    assert RDVC("sqeuclidean", level="category")(batch).item() == 0


def test_a_second_gradient_fails_loudly() -> None:
    embeddings = normal(10)
    (gradient,) = torch.autograd.grad(RDVC("cosine")(embeddings, UNBALANCED), embeddings, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated a second time"):
        torch.autograd.backward(gradient.sum())


def descend(objective: Term, labels: Tensor) -> tuple[float, float, float]:
    """Mean and variance of D, and the share of triplets within margin 1, after a plain gradient descent."""
    embeddings = normal(len(labels), dim=8)
    optimiser = torch.optim.Adam([embeddings], lr=0.02)
    for _ in range(400):
        optimiser.zero_grad()
        torch.autograd.backward(objective(embeddings, labels))
        optimiser.step()
    batch = Batch(embeddings.detach(), labels)
    mean, variance = relative_distance_moments(batch.relations())
    return mean.item(), variance.item(), Triplet(1.0).active(batch).item()


def test_alone_it_collapses_and_beside_a_base_loss_it_does_not() -> None:
    labels = torch.arange(24) % 4
    collapsed = torch.ones(24, 8)
    assert RDVC("sqeuclidean")(collapsed, labels).item() == pytest.approx(0, abs=1e-12)

    mean, variance, active = descend(RDVC("sqeuclidean"), labels)
    assert variance < 1e-2
    assert abs(mean) < 0.2  # nothing has been learned: positives are as far as negatives
    assert active == 1

    mean, variance, active = descend(Triplet(1.0) + 0.5 * RDVC(), labels)
    assert variance < 0.1
    assert mean < -1
    assert active < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": "mine"}, "rdvc: pairs must be all or mined or sampled, not 'mine'"),
        ({"pairs": "mined", "level": "category"}, "mined triplets are of the base term's level"),
        ({"reduction": "means"}, "reduction must be mean or sum.*did you mean 'mean'"),
        ({"distance": "l2"}, "distance must be sqeuclidean or euclidean or cosine"),
        ({"level": 3}, "level must be category or instance"),
    ],
)
def test_wrong_options_are_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InkseekError, match=message):
        RDVC(**options)


def test_without_a_base_it_asks_for_a_distance() -> None:
    with pytest.raises(InkseekError, match="or give distance="):
        RDVC()(normal(4), [0, 0, 1, 1])
    with pytest.raises(InkseekError, match="or give distance="):
        (0.5 * RDVC())(normal(4), [0, 0, 1, 1])


@given(
    labels=LABELS,
    candidate_labels=st.none() | LABELS,
    metric=st.sampled_from(METRICS),
    other=st.none() | st.sampled_from(METRICS),
    reduction=st.sampled_from(["mean", "sum"]),
)
@PROPERTY
def test_mined_on_the_triplet_loss_is_over_its_active_triplets(
    labels: list[int],
    candidate_labels: list[int] | None,
    metric: Metric,
    other: Metric | None,
    reduction: Any,
) -> None:
    photos = () if candidate_labels is None else (normal(len(candidate_labels), seed=1), candidate_labels)
    embeddings = normal(len(labels))
    batch = Batch(embeddings, labels, *photos)
    objective = Triplet(0.3, metric) + RDVC(other, pairs="mined", reduction=reduction)
    rdvc = objective.parts["rdvc"]
    value = rdvc(batch)
    base, distance = batch.relations(metric), batch.relations(other or metric).distance
    active = [
        distance[a, p] - distance[a, n]
        for a, p, n in explicit(base)[1]
        if base.distance[a, p] + 0.3 > base.distance[a, n]
    ]
    if len(active) < 2:
        assert value.item() == pytest.approx(0, abs=1e-12)
        return
    differences = torch.stack(active)
    expected = differences.var() if reduction == "mean" else (differences - differences.mean()).square().sum()
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-11)
    (gradient,) = torch.autograd.grad(value, embeddings, retain_graph=True)
    (expected_gradient,) = torch.autograd.grad(expected, embeddings, retain_graph=True)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-7, atol=1e-9)


def test_mined_on_semi_hard_is_over_one_negative_a_pair() -> None:
    batch = Batch(normal(10), UNBALANCED)
    objective = SemiHardTriplet(0.3) + RDVC(pairs="mined")
    objective(batch)
    distance, mined = batch.relations().distance, SemiHardTriplet(0.3).mined(batch)
    assert not isinstance(mined, Relations)
    assert mined.count.item() == sum(UNBALANCED.count(y) - 1 for y in UNBALANCED)
    differences = (distance.gather(1, mined.positive) - distance.gather(1, mined.negative))[mined.valid]  # type: ignore[union-attr]
    torch.testing.assert_close(objective.terms["rdvc"], differences.var().detach())


def test_sampled_takes_one_even_draw_a_pair_from_a_stream_by_step() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    batch = Batch(normal(6), labels)
    drawn = [
        random_negatives(batch.relations(), torch.Generator().manual_seed(seed)).negative[0, 0].item()
        for seed in range(600)
    ]
    counts = torch.tensor(drawn).long().bincount(minlength=6)
    assert counts[:3].tolist() == [0, 0, 0]
    assert (counts[3:] - 200).abs().max().item() < 5 * 200**0.5
    rdvc = RDVC("cosine", pairs="sampled")
    first = [rdvc(batch).item() for _ in range(3)]
    assert len(set(first)) == 3
    twin, resumed = RDVC("cosine", pairs="sampled"), RDVC("cosine", pairs="sampled")
    twin(batch)
    resumed.load_state_dict(twin.state_dict())
    assert [resumed(batch).item() for _ in range(2)] == first[1:]
    assert RDVC("cosine", pairs="sampled", seed=1)(batch).item() not in first


def test_the_sampled_estimator_is_unbiased_on_balanced_classes() -> None:
    """Section 3.3: with N independent draws, mean m_i and variance v_i each, E = mean(v) + sum (m_i - m)^2 / (N - 1).

    With as many triplets for every pair that is the variance over all triplets, but for the N - 1 between pairs.
    """
    labels = torch.arange(12) % 4
    batch = Batch(normal(12), labels)
    relations = batch.relations()
    groups = torch.stack(
        [
            relations.distance[a, p] - relations.distance[a][relations.negative[a]]
            for a, p in relations.positive.nonzero().tolist()
        ]
    ).detach()
    means, variances, pairs = groups.mean(1), groups.var(1, unbiased=False), len(groups)
    expected = variances.mean() + means.var()
    estimates = torch.stack([RDVC("sqeuclidean", pairs="sampled", seed=seed)(batch).detach() for seed in range(1500)])
    assert (estimates.mean() - expected).abs().item() < 4 * (estimates.std() / 1500**0.5).item()
    everything = RDVC("sqeuclidean")(batch).item()
    between = means.var().item() / pairs
    assert expected.item() - between == pytest.approx(everything * (groups.numel() - 1) / groups.numel())


def test_mined_without_a_term_that_mines_is_an_error() -> None:
    with pytest.raises(InkseekError, match="there is no term that mines triplets; take pairs='all' or 'sampled'"):
        RDVC("cosine", pairs="mined")(normal(4), [0, 0, 1, 1])
    with pytest.raises(InkseekError, match="binomial_deviance mines no triplets"):
        (BinomialDeviance() + RDVC(pairs="mined"))(normal(4), [0, 0, 1, 1])


@pytest.mark.parametrize("pairs", ["all", "mined", "sampled"])
def test_near_collapse_float32_holds(pairs: Any) -> None:
    """All distances near 2 with a spread of 1e-3: E[D^2] - E[D]^2 would have no digit left of the variance of 1e-6."""
    labels, candidate_labels = [0, 1, 2], [0, 0, 1, 1, 2, 2, 0, 1]
    exact = 2 + 1e-3 * torch.randn(3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def value(distance: Tensor) -> float:
        objective: Objective = Triplet(1.0) + RDVC(pairs=pairs)
        objective(GivenRelations(distance, labels, candidate_labels))
        return objective.terms["rdvc"].item()

    assert value(exact.float()) == pytest.approx(value(exact.float().double()), rel=1e-3)


def test_nth_true_finds_columns() -> None:
    mask = torch.tensor([[False, True, True], [True, False, True]])
    assert nth_true(mask, torch.tensor([[0, 1], [1, 0]])).tolist() == [[1, 2], [2, 0]]
    assert nth_of(torch.tensor([[3], [0]]), torch.tensor([[0.0, 0.34, 0.999999999], [0.5, 0, 0.9]])).tolist() == [
        [0, 1, 2],
        [0, 0, 0],
    ]
