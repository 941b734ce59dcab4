"""The N-pair loss, held against a loop, the paper's two equations and their gradient."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inkseek import relations as module
from inkseek.losses import RDVC, Batch, NPair, Relations
from inkseek.relations import METRICS, Metric

PROPERTY = settings(deadline=None, derandomize=True, max_examples=60)
LABELS = st.lists(st.integers(0, 3), max_size=9)


def normal(rows: int, dim: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def first_pairs(labels: list[int], others: list[int] | None) -> tuple[list[int], list[int]]:
    """The first items of their class, and the second ones, or the first of the other domain."""

    def nth(values: list[int], n: int) -> list[int]:
        return [i for i, value in enumerate(values) if values[:i].count(value) == n]

    return nth(labels, 0), nth(labels, 1) if others is None else nth(others, 0)


def explicit(relations: Relations, scale: float, chosen: tuple[list[int], list[int]] | None) -> Tensor:
    distance = relations.distance
    anchors, candidates = chosen or (range(distance.shape[0]), range(distance.shape[1]))
    each = [
        torch.log1p(
            sum(
                (torch.exp(scale * (distance[a, p] - distance[a, n])) for n in candidates if relations.negative[a, n]),
                start=0 * distance.sum(),
            )
        )
        for a in anchors
        for p in candidates
        if relations.positive[a, p]
    ]
    return torch.stack(each).mean() if each else distance.sum() * 0


@given(
    labels=LABELS,
    candidate_labels=st.none() | LABELS,
    metric=st.sampled_from(METRICS),
    anchors=st.sampled_from(["first", "all"]),
    scale=st.sampled_from([1.0, 5.0]),
    host=st.booleans(),
)
@PROPERTY
def test_equals_the_loop(
    labels: list[int], candidate_labels: list[int] | None, metric: Metric, anchors: Any, scale: float, host: bool
) -> None:
    embeddings = normal(len(labels))
    other = () if candidate_labels is None else (normal(len(candidate_labels), seed=1), candidate_labels)
    batch = Batch(embeddings, labels, *other)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "on_host", lambda _: host)
        value = NPair(metric, scale=scale, anchors=anchors)(batch)
    chosen = first_pairs(labels, candidate_labels) if anchors == "first" else None
    expected = explicit(batch.relations(metric), scale, chosen)
    torch.testing.assert_close(value, expected)
    (gradient,) = torch.autograd.grad(value, embeddings, retain_graph=True)
    (expected_gradient,) = torch.autograd.grad(expected, embeddings, retain_graph=True)
    torch.testing.assert_close(gradient, expected_gradient)


def test_equation_3_is_equation_15() -> None:
    """Eq. 3 on raw embeddings: log(1 + sum_j exp(f_a.f_nj - f_a.f_p)), P classes of two items."""
    embeddings, labels = normal(12), torch.arange(6).repeat_interleave(2)
    anchors, positives = embeddings[::2], embeddings[1::2]
    product = anchors @ positives.T
    expected = torch.nn.functional.cross_entropy(product, torch.arange(6))
    torch.testing.assert_close(NPair("dot", scale=1)(embeddings, labels), expected)
    by_difference = torch.log1p(((product - product.diagonal()[:, None]).exp() * (1 - torch.eye(6))).sum(1)).mean()
    torch.testing.assert_close(expected, by_difference)


def test_the_normalised_loss_is_secs() -> None:
    """SEC's code: unit embeddings times 5, cross entropy over anchors against positives, one direction."""
    embeddings, labels = normal(12), torch.arange(6).repeat(2)
    units = 5 * torch.nn.functional.normalize(embeddings)
    expected = torch.nn.functional.cross_entropy(units[:6] @ units[6:].T, torch.arange(6))
    torch.testing.assert_close(NPair()(embeddings, labels), expected)


def test_gradient_by_relative_distance_is_equation_16() -> None:
    """One anchor, so that -dL/dd_n is dL/dD_n = exp(D_n) / (1 + sum exp(D))."""
    distance = torch.tensor([[1.0, 0.4, 1.7, 2.2]], dtype=torch.float64, requires_grad=True)

    class Given(Batch):
        def relations(self, metric: Any = None, level: Any = None) -> Relations:
            masks = super().relations("cosine", level)
            return Relations(distance, masks.positive, masks.negative)

    batch = Given(torch.zeros(1, 1), [0], torch.zeros(4, 1), [0, 1, 2, 3])
    (gradient,) = torch.autograd.grad(NPair(scale=1, anchors="all")(batch), distance)
    difference = distance[0, 0] - distance[0, 1:]
    expected = difference.exp() / (1 + difference.exp().sum())
    torch.testing.assert_close(-gradient[0, 1:], expected.detach())
    assert gradient.sum().item() == pytest.approx(0, abs=1e-12)


def test_rdvc_rides_on_the_pairs_that_it_reads() -> None:
    """METHODS: 60 classes of 2 items give 60 x 59 relative distances."""
    labels = torch.arange(60).repeat_interleave(2)
    batch = Batch(normal(120), labels)
    base = NPair()
    relations = base.relations(batch)
    assert relations.triplets.item() == 60 * 59
    (base + RDVC())(batch)
    for pairs in ("all", "mined"):
        objective = NPair() + RDVC(pairs=pairs)
        objective(batch)
        differences = torch.stack(
            [
                relations.distance[a, p] - relations.distance[a, n]
                for a, p in relations.positive.nonzero().tolist()
                for n in range(60)
                if relations.negative[a, n]
            ]
        )
        torch.testing.assert_close(objective.terms["rdvc"], differences.var().detach())


def test_unpaired_items_are_negatives_and_nobodys_positive() -> None:
    sketches, photos = normal(2), normal(4, seed=1)
    batch = Batch(sketches, [0, 0], photos, [0] * 4, instances=([1, 2], [2, 1, -1, -1]))
    distance = batch.relations("cosine").distance
    expected = sum(
        math.log1p(sum(math.exp(distance[a, p].item() - distance[a, n].item()) for n in range(4) if n != p))
        for a, p in ((0, 1), (1, 0))
    )
    for host in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "on_host", lambda _, host=host: host)
            assert NPair(scale=1)(batch).item() == pytest.approx(expected / 2)
    alone = Batch(normal(4), [0] * 4, instances=[-1, -1, 5, 5])
    assert NPair()(alone).item() == 0  # one pair, and nobody else's positive to be told from


def test_large_similarities_neither_overflow_nor_vanish() -> None:
    embeddings = (100 * normal(8, dtype=torch.float32).detach()).requires_grad_()
    loss = NPair("dot", scale=1)(embeddings, [0, 0, 1, 1, 2, 2, 3, 3])
    torch.autograd.backward(loss)
    assert loss.isfinite()
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize("anchors", ["first", "all"])
def test_a_second_gradient_fails_loudly(anchors: Any) -> None:
    embeddings = normal(6)
    loss = NPair(anchors=anchors)(embeddings, [0, 0, 1, 1, 2, 2])
    (gradient,) = torch.autograd.grad(loss, embeddings, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated a second time"):
        torch.autograd.backward(gradient.sum())
