"""The triplet loss over all triplets, held against a loop over them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from inkseek import relations as module
from inkseek.errors import InkseekError
from inkseek.losses import Batch, Relations, Triplet
from inkseek.relations import METRICS, Level, Metric

PROPERTY = settings(deadline=None, derandomize=True, max_examples=60)
LABELS = st.lists(st.integers(0, 3), max_size=9)


def normal(rows: int, dim: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


class GivenRelations(Batch):
    """A batch whose distances are given outright, so that ties are exact and gradients are by distance."""

    def __init__(self, distance: Tensor, labels: list[int], candidate_labels: list[int]) -> None:
        super().__init__(torch.zeros(len(labels), 1), labels, torch.zeros(len(candidate_labels), 1), candidate_labels)
        self.distance = distance

    def relations(self, metric: Metric = "sqeuclidean", level: Level | None = None) -> Relations:
        masks = super().relations(metric, level)
        return Relations(self.distance, masks.positive, masks.negative)


def explicit(relations: Relations, margins: list[float]) -> tuple[float, list[list[float]], float]:
    """Loss, its gradient by distance, and the share of active triplets, one triplet after the other."""
    distance = relations.distance.tolist()
    total, count, active = 0.0, 0, 0
    gradient = [[0.0] * len(row) for row in distance]
    for a, row in enumerate(distance):
        for p in range(len(row)):
            for n in range(len(row)):
                if relations.positive[a, p] and relations.negative[a, n]:
                    count += 1
                    hinge = row[p] - row[n] + margins[a]
                    if hinge > 0:
                        total, active = total + hinge, active + 1
                        gradient[a][p] += 1
                        gradient[a][n] -= 1
    count = max(count, 1)
    return total / count, [[g / count for g in row] for row in gradient], active / count


@given(
    labels=LABELS,
    candidate_labels=st.none() | LABELS,
    margin=st.sampled_from([-0.2, 0.0, 0.1, 0.5, 1.0, 5.0]),
    metric=st.sampled_from(METRICS),
    block=st.sampled_from([1, 20, 2**20]),
    host=st.booleans(),
)
@PROPERTY
def test_equals_the_loop(
    labels: list[int], candidate_labels: list[int] | None, margin: float, metric: Metric, block: int, host: bool
) -> None:
    other = () if candidate_labels is None else (normal(len(candidate_labels), seed=1), candidate_labels)
    batch = Batch(normal(len(labels)), labels, *other)
    relations = batch.relations(metric)
    relations.distance.retain_grad()
    term = Triplet(margin, metric)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_ELEMENTS", block)
        patch.setattr(module, "on_host", lambda _: host)
        value, active = term(batch), term.active(batch)
    torch.autograd.backward(value)
    loss, gradient, share = explicit(relations, [margin] * len(labels))
    assert value.item() == pytest.approx(loss, abs=1e-12)
    assert active.item() == pytest.approx(share, abs=1e-6)
    assert relations.distance.grad is not None
    expected = torch.tensor(gradient, dtype=torch.float64).reshape(relations.distance.shape)
    torch.testing.assert_close(relations.distance.grad, expected)


@given(
    grid=st.lists(st.integers(0, 3), min_size=12, max_size=12),
    margin=st.sampled_from([0.0, 0.5, 1.0]),
    copies=st.sampled_from([1, 5]),
    host=st.booleans(),
)
@PROPERTY
def test_a_hinge_of_exactly_zero_is_inactive(grid: list[int], margin: float, copies: int, host: bool) -> None:
    distance = (torch.tensor(grid, dtype=torch.float32).reshape(2, 6) / 2).repeat(1, copies).requires_grad_()
    batch = GivenRelations(distance, [0, 1], [0, 1, 0, 1, 0, 2] * copies)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "on_host", lambda _: host)
        value, active = Triplet(margin)(batch), Triplet(margin).active(batch)
    torch.autograd.backward(value)
    loss, gradient, share = explicit(batch.relations(), [margin] * 2)
    assert value.item() == pytest.approx(loss)
    assert active.item() == pytest.approx(share)
    assert distance.grad is not None
    torch.testing.assert_close(distance.grad, torch.tensor(gradient))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("size", [2, 17])
def test_gradcheck(metric: Metric, size: int) -> None:
    labels = torch.arange(size) % 3
    assert torch.autograd.gradcheck(lambda x: Triplet(0.7, metric)(x, labels), normal(size))
    sketches, photos = normal(5), normal(size, seed=1)
    assert torch.autograd.gradcheck(
        lambda s, p: Triplet(0.7, metric)(s, labels[:1].expand(5), p, labels), (sketches, photos)
    )


def test_a_second_gradient_fails_loudly() -> None:
    embeddings = normal(6)
    (gradient,) = torch.autograd.grad(Triplet()(embeddings, [0, 0, 0, 1, 1, 1]), embeddings, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated a second time"):
        torch.autograd.backward(gradient.sum())


def test_relabelling_and_permutation_change_nothing() -> None:
    embeddings, labels = normal(12), torch.arange(12) % 4
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    loss = Triplet(0.5)(embeddings, labels)
    torch.testing.assert_close(Triplet(0.5)(embeddings, 97 - 13 * labels), loss)
    torch.testing.assert_close(Triplet(0.5)(embeddings[order], labels[order]), loss)


@pytest.mark.parametrize("block", [1, 60, 61, 500])
def test_block_size_changes_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = torch.arange(30) % 5
    whole, cut = normal(30), normal(30)
    expected = Triplet()(whole, labels)
    torch.autograd.backward(expected)
    monkeypatch.setattr(module, "BLOCK_ELEMENTS", block)
    loss = Triplet()(cut, labels)
    torch.autograd.backward(loss)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(cut.grad, whole.grad)


def margins_by_class() -> Tensor:
    return torch.tensor([0.1, 0.9, 0.4], dtype=torch.float64)


@pytest.mark.parametrize("form", ["class", "anchor", "one"])
def test_margin_tensors_equal_the_loop_and_are_learned(form: str) -> None:
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 2])
    by_class = margins_by_class()
    margin = {"class": by_class, "anchor": by_class[labels, None], "one": torch.tensor(0.4, dtype=torch.float64)}[form]
    each = margin.expand(7).tolist() if form == "one" else by_class[labels].tolist()
    batch = Batch(normal(7), labels)
    term = Triplet(nn.Parameter(margin.clone()))
    value = term(batch)
    assert value.item() == pytest.approx(explicit(batch.relations(), each)[0])

    def loss(margin: Tensor) -> Tensor:
        return Triplet(margin)(normal(7), labels)

    assert torch.autograd.gradcheck(loss, margin.clone().requires_grad_())
    assert [name for name, _ in term.named_parameters()] == ["margin"]


def test_margin_tensor_is_kept_in_the_state() -> None:
    assert torch.equal(Triplet(margins_by_class()).state_dict()["margin"], margins_by_class())
    assert Triplet(0.5).state_dict() == {}


def test_learned_margin_without_embedding_gradient() -> None:
    margin = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
    term = Triplet(margin)
    batch = Batch(normal(6).detach(), [0, 0, 0, 1, 1, 1])
    torch.autograd.backward(term(batch))
    assert margin.grad is not None
    assert margin.grad.item() == pytest.approx(term.active(batch).item())


@pytest.mark.parametrize(
    ("arguments", "instances"),
    [
        ((normal(0, dtype=torch.float32), []), None),
        ((normal(1, dtype=torch.float32), [0]), None),
        ((normal(5, dtype=torch.float32), [0] * 5), None),
        ((normal(5, dtype=torch.float32), [0, 1, 2, 3, 4]), None),
        ((normal(3, dtype=torch.float32), [0] * 3, normal(0, dtype=torch.float32), []), None),
        ((normal(0, dtype=torch.float32), [], normal(3, dtype=torch.float32), [0] * 3), None),
        ((normal(3, dtype=torch.float32), [0] * 3, normal(3, dtype=torch.float32), [1] * 3), None),
        ((normal(3, dtype=torch.float32), [0, 0, 1]), [-1, -1, -1]),
    ],
)
def test_without_a_triplet_the_loss_is_a_differentiable_zero(
    arguments: tuple[Any, ...], instances: list[int] | None
) -> None:
    loss = Triplet()(*arguments, instances=instances)
    assert loss.item() == 0
    gradients = torch.autograd.grad(loss, [argument for argument in arguments if isinstance(argument, Tensor)])
    assert all(not gradient.any() for gradient in gradients)


@pytest.mark.parametrize("metric", METRICS)
def test_a_collapsed_embedding_costs_the_margin_and_has_a_finite_gradient(metric: Metric) -> None:
    embeddings = torch.ones(6, 8, requires_grad=True)
    loss = Triplet(0.75, metric)(embeddings, [0, 0, 1, 1, 2, 2])
    torch.autograd.backward(loss)
    assert loss.item() == pytest.approx(0.75, abs=1e-5)
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize("copies", [1, 12])
@pytest.mark.parametrize("metric", METRICS)
def test_nan_never_hides(metric: Metric, copies: int) -> None:
    photos = normal(3 * copies + 1, dtype=torch.float32).detach()
    photos[-1] = torch.nan  # a negative of every anchor, nobody's positive
    sketches = normal(2, dtype=torch.float32)
    assert Triplet(1.0, metric)(sketches, [0, 1], photos, [0, 1, 1] * copies + [2]).isnan()
    assert Triplet(1.0, metric)(sketches, [0, 1], photos, [0, 1, 1] * copies + [0]).isnan()


@pytest.mark.parametrize("margin", [0.0, 0.3, 5.0])
def test_many_positives_of_an_anchor(margin: float) -> None:
    batch = Batch(normal(30), torch.arange(30) % 2)
    relations = batch.relations()
    relations.distance.retain_grad()
    value = Triplet(margin)(batch)
    torch.autograd.backward(value)
    loss, gradient, share = explicit(relations, [margin] * 30)
    assert value.item() == pytest.approx(loss)
    assert Triplet(margin).active(batch).item() == pytest.approx(share)
    torch.testing.assert_close(relations.distance.grad, torch.tensor(gradient, dtype=torch.float64))


@pytest.mark.parametrize("metric", METRICS)
def test_half_input_and_autocast_equal_float32(metric: Metric) -> None:
    labels = torch.arange(24) % 6
    half = normal(24, dim=32, dtype=torch.float32).detach().bfloat16().requires_grad_()
    single = half.detach().float().requires_grad_()
    expected = Triplet(0.5, metric)(single, labels)
    torch.autograd.backward(expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = Triplet(0.5, metric)(half, labels)
    torch.autograd.backward(loss)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)
    assert half.grad is not None
    assert single.grad is not None
    torch.testing.assert_close(half.grad, single.grad.bfloat16())


def test_levels() -> None:
    """At instance level another photo of the same class pushes; at category level it pulls."""
    sketches, photos = normal(2), normal(3, seed=1)
    arguments: tuple[Any, ...] = (sketches, [0, 0], photos, [0, 0, 1])
    instances = ([7, 8], [7, 8, -1])
    distance = Batch(*arguments).relations().distance.tolist()

    def mean_hinge(triplets: list[tuple[int, int, int]]) -> float:
        return sum(max(0.0, float(distance[a][p] - distance[a][n] + 1)) for a, p, n in triplets) / len(triplets)

    by_instance = mean_hinge([(0, 0, 1), (0, 0, 2), (1, 1, 0), (1, 1, 2)])
    by_category = mean_hinge([(0, 0, 2), (0, 1, 2), (1, 0, 2), (1, 1, 2)])
    assert Triplet()(*arguments, instances=instances).item() == pytest.approx(by_instance)
    assert Triplet(level="instance")(*arguments, instances=instances).item() == pytest.approx(by_instance)
    assert Triplet(level="category")(*arguments, instances=instances).item() == pytest.approx(by_category)
    assert Triplet()(*arguments).item() == pytest.approx(by_category)
    with pytest.raises(InkseekError, match="instances="):
        Triplet(level="instance")(*arguments)


def test_large_labels_stay_distinct() -> None:
    embeddings, labels = normal(6), torch.tensor([0, 0, 1, 1, 2, 2])
    assert torch.equal(Triplet()(embeddings, labels + 2**24), Triplet()(embeddings, labels))


@pytest.mark.parametrize("margin", [0.05, 1.0])
@pytest.mark.parametrize("domains", [1, 2])
def test_agrees_with_pytorch_metric_learning(margin: float, domains: int) -> None:
    pml: Any = pytest.importorskip("pytorch_metric_learning", reason="the extra 'competitors' is not installed")
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.losses import TripletMarginLoss
    from pytorch_metric_learning.reducers import MeanReducer

    assert pml.__version__.startswith("2.")
    theirs = TripletMarginLoss(
        margin, distance=LpDistance(normalize_embeddings=True, p=2, power=2), reducer=MeanReducer()
    )
    labels, photo_labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 3]), torch.tensor([2, 0, 1, 1, 0, 0, 4])
    ours, other = normal(10), normal(10)
    photos, other_photos = normal(7, seed=1), normal(7, seed=1)
    if domains == 1:
        loss, expected = Triplet(margin)(ours, labels), theirs(other, labels)
    else:
        loss = Triplet(margin)(ours, labels, photos, photo_labels)
        expected = theirs(other, labels, ref_emb=other_photos, ref_labels=photo_labels)
    torch.autograd.backward(loss)
    torch.autograd.backward(expected)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, other.grad)
    torch.testing.assert_close(photos.grad, other_photos.grad)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": "wide"}, "triplet: margin must be a finite number, not 'wide'"),
        ({"margin": float("nan")}, "margin must be a finite number"),
        ({"margin": True}, "margin must be a finite number"),
        ({"margin": torch.ones(3, 2)}, "a margin tensor must be floats"),
        ({"margin": torch.ones(3, dtype=torch.int64)}, "a margin tensor must be floats"),
        ({"distance": "euclid"}, "triplet: distance must be .*did you mean 'euclidean'"),
        ({"distance": None}, "distance must be"),
        ({"level": "class"}, "triplet: level must be category or instance, not 'class'"),
        ({"name": "a.b"}, "name must be letters"),
        ({"name": "train"}, "cannot be named 'train'"),
    ],
)
def test_wrong_options_are_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InkseekError, match=message):
        Triplet(**options)


def test_margins_that_do_not_fit_the_anchors_are_an_error() -> None:
    with pytest.raises(InkseekError, match="3 margins, one for each anchor, meet 4 anchors"):
        Triplet(torch.ones(3, 1))(normal(4), [0, 0, 1, 1])
