"""The relative-distance divergence, held against a loop over pairs of categories and against hand-made numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inkseek.errors import InkseekError
from inkseek.losses import Batch, Relations, RelativeDistanceDivergence, Triplet
from inkseek.relations import METRICS, Metric

PROPERTY = settings(deadline=None, derandomize=True, max_examples=80)
LABELS = st.lists(st.integers(0, 3), max_size=9)


def normal(rows: int, dim: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def relative_distances(batch: Batch, metric: Metric, level: str) -> dict[int, list[Tensor]]:
    """By category, the farthest positive's distance less the nearest negative's, of every anchor that has both."""
    distance, labels, others = batch.relations(metric).distance, batch.anchor_labels, batch.candidate_labels
    found: dict[int, list[Tensor]] = {}
    for a in range(len(labels)):
        near: list[Tensor] = []
        far: list[Tensor] = []
        for c in range(len(others)):
            if batch.one_domain and a == c:
                continue
            if level == "category":
                (near if labels[a] == others[c] else far).append(distance[a, c])
            else:
                assert batch.instances is not None
                own, other = batch.instances[0][a], batch.instances[1][c]
                if own == other != -1:
                    near.append(distance[a, c])
                elif labels[a] == others[c]:
                    far.append(distance[a, c])
        if near and far:
            found.setdefault(int(labels[a]), []).append(max(near) - min(far))
    return {category: values for category, values in found.items() if len(values) > 1}


def divergence(first: list[Tensor], second: list[Tensor]) -> Tensor:
    """KL of two step functions on [0, 1] that are the softmaxes in ascending order, cut at every step of either."""

    def densities(values: list[Tensor]) -> list[Tensor]:
        weights = [value.exp() for value in sorted(values, key=lambda value: value.item())]
        return [len(values) * weight / sum(weights) for weight in weights]

    p, q = densities(first), densities(second)
    cuts = math.lcm(len(p), len(q))
    return torch.stack(
        [p[k * len(p) // cuts] / cuts * (p[k * len(p) // cuts] / q[k * len(q) // cuts]).log() for k in range(cuts)]
    ).sum()


def explicit(batch: Batch, metric: Metric, level: str, temperature: float = 1) -> Tensor:
    found = [[v / temperature for v in values] for values in relative_distances(batch, metric, level).values()]
    pairs = [divergence(p, q) for i, p in enumerate(found) for j, q in enumerate(found) if i != j]
    return torch.stack(pairs).mean() if pairs else 0 * batch.everyone.sum()


@given(
    labels=LABELS,
    photo_labels=st.none() | LABELS,
    metric=st.sampled_from(METRICS),
    temperature=st.sampled_from([1.0, 0.2]),
)
@PROPERTY
def test_value_and_gradient_equal_the_loop(
    labels: list[int], photo_labels: list[int] | None, metric: Metric, temperature: float
) -> None:
    sketches = normal(len(labels))
    photos = () if photo_labels is None else (normal(len(photo_labels), seed=1), photo_labels)
    batch = Batch(sketches, labels, *photos)
    expected = explicit(batch, metric, "category", temperature)
    value = RelativeDistanceDivergence(metric, temperature=temperature)(batch)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-9)
    ours, theirs = (
        torch.autograd.grad(v, sketches, retain_graph=True, allow_unused=True)[0] for v in (value, expected)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


@given(pairs=st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 4)), max_size=10))
@PROPERTY
def test_at_instance_level_negatives_are_the_categorys_other_photos(pairs: list[tuple[int, int]]) -> None:
    """An instance is of one category: its label is part of its number."""
    labels = [label for label, _ in pairs]
    instances = [instance if instance < 0 else 10 * label + instance for label, instance in pairs]
    batch = Batch(
        normal(len(pairs)), labels, normal(len(pairs), seed=1), labels[::-1], instances=(instances, instances[::-1])
    )
    torch.testing.assert_close(RelativeDistanceDivergence()(batch), explicit(batch, "cosine", "instance"))
    torch.testing.assert_close(
        RelativeDistanceDivergence(level="category")(batch), explicit(batch, "cosine", "category")
    )


class Given(Batch):
    """Relative distances as one likes: a positive at D + 1 and a negative at 1 for each anchor."""

    def __init__(self, relative: Tensor, labels: list[int]) -> None:
        count = len(labels)
        super().__init__(
            torch.zeros(count, 1, dtype=torch.float64), labels, torch.zeros(2, 1, dtype=torch.float64), [0, 1]
        )
        self.relative = relative

    def relations(self, metric: Any = None, level: Any = None) -> Relations:
        distance = torch.stack([self.relative + 1, torch.ones_like(self.relative)], 1)
        own = torch.tensor([[True, False]]).expand(distance.shape)
        return Relations(distance, own, ~own)


def loss_of(relative: list[float], labels: list[int]) -> float:
    return RelativeDistanceDivergence()(Given(torch.tensor(relative, dtype=torch.float64), labels)).item()


def test_two_categories_of_two_by_hand() -> None:
    """Softmaxes (1/4, 3/4) and (1/2, 1/2): the mean of both divergences."""
    relative = [0.0, math.log(3), -0.3, -0.3]
    forth = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    back = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert loss_of(relative, [0, 0, 1, 1]) == pytest.approx((forth + back) / 2)


def test_unequal_numbers_are_compared_over_the_same_stretch() -> None:
    """Every D twice is the same distribution; and of (1/4, 3/4) against three equal ones, the middle is cut in two."""
    relative = [0.0, math.log(3)]
    assert loss_of([*relative, *relative, *relative], [0, 0, 1, 1, 1, 1]) == pytest.approx(0, abs=1e-12)
    forth = (1 / 3 + 1 / 6) * 0.5 * math.log(0.5) + (1 / 3 + 1 / 6) * 1.5 * math.log(1.5)
    back = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert loss_of([*relative, 0, 0, 0], [0, 0, 1, 1, 1]) == pytest.approx((forth + back) / 2)


def test_what_is_added_to_all_of_a_category_is_not_seen() -> None:
    relative = normal(6).detach()[:, 0]
    shifted = relative + torch.tensor([0.0, 0, 0, 5, 5, 5], dtype=torch.float64)
    labels = [0, 0, 0, 1, 1, 1]
    assert loss_of(shifted.tolist(), labels) == pytest.approx(loss_of(relative.tolist(), labels))
    asked = relative.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(RelativeDistanceDivergence()(Given(asked, labels)), asked)
    assert gradient.abs().max() > 1e-3
    torch.testing.assert_close(gradient.view(2, 3).sum(1), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12)


def test_to_second_order_it_is_half_the_mean_square_between_the_spreads() -> None:
    relative, labels = 1e-3 * normal(8).detach()[:, 0], [0, 0, 0, 0, 1, 1, 1, 1]
    spreads = relative.view(2, 4).sort(1).values
    spreads = spreads - spreads.mean(1, keepdim=True)
    expected = 0.5 * (spreads[0] - spreads[1]).square().mean().item()
    assert loss_of(relative.tolist(), labels) == pytest.approx(expected, rel=1e-2)


def test_a_category_of_one_anchor_is_left_out() -> None:
    relative = [0.1, 0.5, -0.2, 0.9, 7.0]
    assert loss_of(relative, [0, 0, 1, 1, 2]) == loss_of(relative[:4], [0, 0, 1, 1]) > 0
    assert loss_of(relative, [0, 0, 1, 2, 3]) == 0


def test_it_is_never_negative_and_zero_where_nothing_is_apart() -> None:
    for seed in range(20):
        relative = normal(9, seed=seed).detach()[:, 0]
        assert loss_of(relative.tolist(), [0, 0, 0, 1, 1, 2, 2, 2, 2]) > 0
    assert loss_of([0.3] * 6, [0, 0, 1, 1, 2, 2]) == pytest.approx(0, abs=1e-15)


def test_it_can_be_differentiated_twice() -> None:
    labels = [0, 0, 0, 1, 1, 2, 2]
    term, photos = RelativeDistanceDivergence(temperature=0.3), normal(7, seed=1)
    assert torch.autograd.gradgradcheck(lambda sketches: term(sketches, labels, photos, labels), normal(7))


@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0], [0, 1, 2]])
def test_nothing_to_compare_is_a_differentiable_zero(labels: list[int]) -> None:
    for photo_labels in (labels, []):
        sketches, photos = normal(len(labels)), normal(len(photo_labels), seed=1)
        loss = RelativeDistanceDivergence()(sketches, labels, photos, photo_labels)
        torch.autograd.backward(loss)
        assert loss.item() == 0
        assert sketches.grad is not None
        assert not sketches.grad.any()


def test_descent_evens_out_categories_beside_a_triplet_loss() -> None:
    labels = [c for c in range(4) for _ in range(4)]
    instances = list(range(16))
    finals = []
    for weight in (0.0, 2.0):
        sketches, photos = normal(16, 8), normal(16, 8, seed=1)
        term = RelativeDistanceDivergence()
        objective = Triplet(0.3) + weight * term
        optimiser = torch.optim.Adam([sketches, photos], lr=0.02)
        for _ in range(60):
            optimiser.zero_grad()
            batch = Batch(sketches, labels, photos, labels, instances=(instances, instances))
            torch.autograd.backward(objective(batch))
            optimiser.step()
        hits = (batch.relations("cosine").distance.argmin(1) == torch.arange(16)).double().mean().item()
        finals.append((term(batch).item(), hits))
    assert finals[1][0] < finals[0][0] / 10
    assert min(hits for _, hits in finals) > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distance": "cosin"}, "relative_distance_divergence: distance must be .* did you mean 'cosine'?"),
        ({"temperature": 0}, "temperature must be above 0, not 0"),
        ({"level": "class"}, "level must be category or instance"),
    ],
)
def test_wrong_options_are_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InkseekError, match=message):
        RelativeDistanceDivergence(**options)


def test_it_shows_what_is_not_as_by_default() -> None:
    assert repr(RelativeDistanceDivergence()) == "RelativeDistanceDivergence(distance='cosine')"
    shown = repr(RelativeDistanceDivergence(temperature=0.5, level="category"))
    assert shown == "RelativeDistanceDivergence(distance='cosine', temperature=0.5, level='category')"
