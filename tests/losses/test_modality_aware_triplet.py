"""The modality-aware triplet loss, held against a loop that looks for each part's hardest triplets."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from inkseek.errors import InkseekError
from inkseek.losses import RDVC, Batch, ModalityAwareTriplet, Quadruplet

PROPERTY = settings(deadline=None, derandomize=True, max_examples=80)
LABELS = st.lists(st.integers(0, 3), max_size=7)
KINDS = {"cross": (True, True), "within": (False, False), "hybrid": (True, False)}
"""Whether positive and negative are of the other domain than the anchor."""


def normal(rows: int, dim: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def batch_of(labels: list[int], photo_labels: list[int], **options: Any) -> Batch:
    return Batch(normal(len(labels)), labels, normal(len(photo_labels), seed=1), photo_labels, **options)


def triplets(batch: Batch, kind: str, level: Any = None) -> list[tuple[int, int, int]]:
    """Each anchor's farthest p and nearest n of a kind, as places in the batch of both domains."""
    both = batch.union
    distance = both.relations("euclidean", level).distance.tolist()
    identity = both.identities(level)[0].tolist()
    sketches = len(batch.anchors)
    cross_p, cross_n = KINDS[kind]

    def other_domain(a: int, b: int) -> bool:
        return (a < sketches) != (b < sketches)

    found = []
    for a in range(len(identity)):
        near = [
            p
            for p in range(len(identity))
            if p != a and identity[p] == identity[a] != -1 and other_domain(a, p) is cross_p
        ]
        far = [n for n in range(len(identity)) if n != a and n not in near and other_domain(a, n) is cross_n]
        far = [n for n in far if identity[n] != identity[a] or identity[a] == -1]
        if near and far:
            found.append((a, max(near, key=distance[a].__getitem__), min(far, key=distance[a].__getitem__)))
    return found


def explicit(
    batch: Batch, weights: dict[str, float], margin: float, smooth: str, sharpness: float, balance: bool
) -> Tensor:
    """The sum over parts, the balance taken as a number."""
    distance = batch.union.relations("euclidean").distance
    values, pulls = {}, {}
    for kind in weights:
        excess = [distance[a, p] - distance[a, n] + margin for a, p, n in triplets(batch, kind)]
        if not excess:
            continue
        if smooth == "hinge":
            each, slopes = [torch.relu(e) for e in excess], [float(e > 0) for e in excess]
        else:
            each = [torch.log1p(torch.exp(sharpness * e)) / sharpness for e in excess]
            slopes = [1 / (1 + math.exp(-sharpness * e.item())) for e in excess]
        values[kind], pulls[kind] = torch.stack(each).mean(), sum(slopes) / len(slopes)
    total = 0 * distance.sum()
    for kind, value in values.items():
        factor = sum(pulls.values()) / len(pulls) / max(pulls[kind], 0.1) if balance else 1
        total = total + weights[kind] * factor * value
    return total


@given(
    labels=LABELS,
    photo_labels=LABELS,
    parts=st.sampled_from([{}, {"within": 0}, {"cross": 0, "hybrid": 2}, {"cross": 0.5, "within": 0, "hybrid": 0}]),
    smooth=st.sampled_from(["softplus", "hinge"]),
    balance=st.booleans(),
)
@PROPERTY
def test_value_and_gradient_equal_the_loop(
    labels: list[int], photo_labels: list[int], parts: dict[str, float], smooth: Any, balance: bool
) -> None:
    batch = batch_of(labels, photo_labels)
    weights = {kind: weight for kind in KINDS if (weight := parts.get(kind, 1)) != 0}
    expected = explicit(batch, weights, 0.4, smooth, 12, balance)
    value = ModalityAwareTriplet(0.4, smooth=smooth, sharpness=12, balance=balance, **parts)(batch)  # type: ignore[arg-type]
    torch.testing.assert_close(value, expected)
    for side in (batch.anchors, batch.candidates):
        ours, theirs = (torch.autograd.grad(v, side, retain_graph=True)[0] for v in (value, expected))
        torch.testing.assert_close(ours, theirs)


def test_hand_computed_triplets() -> None:
    """On the circle, sketches at 0 (class 0) and 180 (class 1), photos at 60 (class 0) and 90 (class 1) degrees."""
    degrees = torch.tensor([0.0, 180.0, 60.0, 90.0], dtype=torch.float64).deg2rad()
    points = torch.stack([degrees.cos(), degrees.sin()], 1)

    def loss(**options: Any) -> float:
        term = ModalityAwareTriplet(1.0, smooth="hinge", balance=False, **options)
        return term(points[:2], [0, 1], points[2:], [0, 1]).item()

    def chord(angle: float) -> float:
        return 2 * math.sin(math.radians(angle) / 2)

    cross = (
        (chord(60) - chord(90) + 1)  # the sketch at 0 to its photo at 60 and the other at 90
        + max(0, chord(90) - chord(120) + 1)  # the sketch at 180
        + max(0, chord(60) - chord(120) + 1)  # the photo at 60
        + max(0, chord(90) - chord(90) + 1)  # the photo at 90
    ) / 4
    hybrid = (
        max(0, chord(60) - chord(180) + 1)
        + max(0, chord(90) - chord(180) + 1)
        + (chord(60) - chord(30) + 1)
        + (chord(90) - chord(30) + 1)
    ) / 4
    assert loss(within=0, hybrid=0) == pytest.approx(cross)
    assert loss(cross=0, within=0) == pytest.approx(hybrid)
    assert loss(cross=0, hybrid=0) == 0  # nobody has a second item of its class in its domain
    assert loss(hybrid=3) == pytest.approx(cross + 3 * hybrid)


def test_across_domains_alone_it_is_the_quadruplets_strong_push() -> None:
    """Batch-hard mining and lambda = 0 take the same p and n, wherever a third class lets there be a quadruplet."""
    batch = batch_of([0, 0, 1, 1, 2, 2], [0, 1, 2, 0, 1, 2])
    for smooth in ("hinge", "softplus"):
        options: dict[str, Any] = {"smooth": smooth, "sharpness": 7}
        ours = ModalityAwareTriplet(0.4, within=0, hybrid=0, balance=False, **options)
        torch.testing.assert_close(ours(batch), Quadruplet(0.4, weak=0, mining="batch_hard", **options)(batch))


def test_the_balance_makes_all_parts_pull_alike() -> None:
    """Classes far apart within a domain, and the domains farther: left alone, hybrid pulls most and within least."""
    labels = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    apart, gap = torch.eye(4, dtype=torch.float64)[labels], torch.eye(4, dtype=torch.float64)[3]
    sketches, photos = apart + 0.3 * normal(9), apart + 0.8 * gap + 0.3 * normal(9, seed=1)
    batch = Batch(sketches, labels, photos, labels)
    distance = batch.union.relations("euclidean").distance
    (gradient,) = torch.autograd.grad(ModalityAwareTriplet(0.1)(batch), distance, retain_graph=True)
    alone = []
    for kind in KINDS:
        parts: dict[str, Any] = dict.fromkeys(set(KINDS) - {kind}, 0)
        unbalanced = ModalityAwareTriplet(0.1, balance=False, **parts)(batch)
        alone.append(torch.autograd.grad(unbalanced, distance, retain_graph=True)[0])
    cross, within, hybrid = pulls = [own.clamp(min=0).sum().item() for own in alone]  # the sum over positives
    assert 0.1 < within < 0.8 * cross < 0.8 * hybrid
    expected = torch.stack([own * (sum(pulls) / 3 / pull) for own, pull in zip(alone, pulls, strict=True)]).sum(0)
    torch.testing.assert_close(gradient, expected)


def test_a_silent_part_is_not_made_loud() -> None:
    """Two tight classes far apart: no part has anything to say, and the balance divides by its floor, not by zero."""
    labels = [0, 0, 1, 1]
    points = torch.eye(4, dtype=torch.float64)[labels].requires_grad_()
    for smooth in ("hinge", "softplus"):
        loss = ModalityAwareTriplet(0.3, smooth=smooth)(points, labels, points, labels)
        torch.autograd.backward(loss)
        assert loss.item() == pytest.approx(0, abs=1e-8)
    assert points.grad is not None
    assert points.grad.isfinite().all()


def test_at_instance_level_a_sketch_meets_its_own_photo() -> None:
    batch = batch_of([0, 0, 1, 1], [0, 0, 1, 1], instances=([0, 1, 2, -1], [0, 1, 2, -1]))
    assert len(triplets(batch, "cross", "instance")) == 6
    assert not triplets(batch, "within", "instance")
    expected = explicit(batch, {"cross": 1, "within": 1, "hybrid": 1}, 0.3, "softplus", 20, True)
    torch.testing.assert_close(ModalityAwareTriplet()(batch), expected)


def test_one_domain_with_domains_is_the_same_as_two() -> None:
    labels = [0, 1, 2, 0]
    sketches, photos = normal(4), normal(4, seed=1)
    two = ModalityAwareTriplet()(sketches, labels, photos, labels)
    one = ModalityAwareTriplet()(torch.cat([sketches, photos]), labels * 2, domains=[0] * 4 + [1] * 4)
    torch.testing.assert_close(one, two)
    with pytest.raises(InkseekError, match="tells sketches from photos"):
        ModalityAwareTriplet()(sketches, labels)


def test_rdvc_rides_on_what_was_mined() -> None:
    batch = batch_of([0, 0, 1, 1, 2], [0, 1, 2, 0, 1])
    distance = batch.union.relations("sqeuclidean").distance
    objective = ModalityAwareTriplet(hybrid=0) + RDVC("sqeuclidean", pairs="mined")
    objective(batch)
    differences = [distance[a, p] - distance[a, n] for k in ("cross", "within") for a, p, n in triplets(batch, k)]
    torch.testing.assert_close(objective.terms["rdvc"], torch.stack(differences).var().detach())


def test_active_is_the_share_of_hinges_that_are_not_zero() -> None:
    batch = batch_of([0, 0, 1, 1, 2], [0, 1, 2, 0, 1])
    distance = batch.union.relations("euclidean").distance
    active = [bool(distance[a, p] - distance[a, n] + 0.1 > 0) for k in KINDS for a, p, n in triplets(batch, k)]
    assert 0 < sum(active) < len(active)
    assert ModalityAwareTriplet(0.1).active(batch).item() == pytest.approx(sum(active) / len(active))


class ByNorm(nn.Module):
    """A margin that reads the batch of both domains."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def forward(self, batch: Batch) -> Tensor:
        lengths: Tensor = torch.linalg.vector_norm(batch.anchors, dim=1, keepdim=True)
        return self.scale * lengths


def test_a_margin_may_be_a_module_of_both_domains_and_the_loss_is_differentiable_twice() -> None:
    labels = [0, 1, 2, 0]
    sketches, photos = normal(4), normal(4, seed=1)

    def squared_gradient(scale: Tensor) -> Tensor:
        module = ByNorm()
        module.scale = nn.Parameter(scale.detach())
        loss = ModalityAwareTriplet(module, balance=False)(sketches, labels, photos, labels)
        (gradient,) = torch.autograd.grad(loss, sketches, create_graph=True)
        value = gradient.square().sum()
        return torch.autograd.grad(value, module.scale)[0] if scale.requires_grad else value

    scale = torch.tensor(0.1, dtype=torch.float64)
    second = squared_gradient(scale.clone().requires_grad_())
    difference = squared_gradient(scale + 1e-6) - squared_gradient(scale - 1e-6)
    assert second.item() == pytest.approx(difference.item() / 2e-6, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cross": -1}, "modality_aware_triplet: cross must not be below 0, as -1 is"),
        ({"cross": 0, "within": 0, "hybrid": 0}, "are all 0, which leaves nothing to minimise"),
        ({"hybrid": "much"}, "hybrid must be a finite number, not 'much'"),
        ({"smooth": "relu"}, "smooth must be softplus or hinge"),
        ({"sharpness": 0}, "sharpness must be above 0"),
        ({"balance": "yes"}, "balance must be True or False"),
    ],
)
def test_wrong_options_are_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InkseekError, match=message):
        ModalityAwareTriplet(**options)


def test_it_shows_what_is_not_as_by_default() -> None:
    assert repr(ModalityAwareTriplet()) == "ModalityAwareTriplet(margin=0.3, distance='euclidean')"
    shown = repr(ModalityAwareTriplet(within=0, balance=False, smooth="hinge"))
    assert shown.endswith("distance='euclidean', within=0, balance=False, smooth='hinge')")
