"""Multi-similarity loss, held against SEC's loop over anchors and against pytorch-metric-learning."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inkseek.losses import RDVC, Batch, MultiSimilarity, Relations

PROPERTY = settings(deadline=None, derandomize=True, max_examples=60)
LABELS = st.lists(st.integers(0, 3), max_size=9)


def normal(rows: int, dim: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def mined(relations: Relations, epsilon: float | None) -> list[tuple[list[int], list[int]]]:
    """For each anchor the positives and negatives that count."""
    pairs = []
    for a, row in enumerate((1 - relations.distance).tolist()):
        own = [p for p in range(len(row)) if relations.positive[a, p] and row[p] < 1 - 1e-5]
        others = [n for n in range(len(row)) if relations.negative[a, n]]
        if epsilon is not None:
            lowest = min((row[p] for p in own), default=float("inf"))
            highest = max((row[n] for n in others), default=-float("inf"))
            own, others = (
                [p for p in own if row[p] - epsilon < highest],
                [n for n in others if row[n] + epsilon > lowest],
            )
        pairs.append((own, others))
    return pairs


def explicit(relations: Relations, epsilon: float | None) -> Tensor:
    similarity, total = 1 - relations.distance, relations.distance.sum() * 0
    for a, (own, others) in enumerate(mined(relations, epsilon)):
        if own:
            total = total + torch.log1p(torch.exp(-2 * (similarity[a, own] - 0.5)).sum()) / 2
        if others:
            total = total + torch.log1p(torch.exp(40 * (similarity[a, others] - 0.5)).sum()) / 40
    return total / max(len(similarity), 1)


@given(labels=LABELS, candidate_labels=st.none() | LABELS, epsilon=st.sampled_from([0.1, 0.5, None]))
@PROPERTY
def test_equals_the_loop(labels: list[int], candidate_labels: list[int] | None, epsilon: float | None) -> None:
    other = () if candidate_labels is None else (normal(len(candidate_labels), seed=1), candidate_labels)
    batch = Batch(normal(len(labels)), labels, *other)
    relations = batch.relations("cosine")
    term = MultiSimilarity(epsilon=epsilon)
    value, expected = term(batch), explicit(relations, epsilon)
    torch.testing.assert_close(value, expected)
    (gradient,) = torch.autograd.grad(value, relations.distance, retain_graph=True)
    (expected_gradient,) = torch.autograd.grad(expected, relations.distance, retain_graph=True)
    torch.testing.assert_close(gradient, expected_gradient)
    kept = sum(len(own) + len(others) for own, others in mined(relations, epsilon))
    pairs = relations.positive.sum().item() + relations.negative.sum().item()
    assert term.active(batch).item() == pytest.approx(kept / max(pairs, 1))


def test_a_positive_that_is_the_anchor_again_is_left_out() -> None:
    embeddings = normal(5)
    twin = torch.cat([embeddings, embeddings[:1]])
    batch = Batch(twin, [0, 0, 1, 1, 2, 0])
    assert not MultiSimilarity(epsilon=None).mined(batch).positive[0, 5]
    assert batch.relations("cosine").positive[0, 5]


def test_without_mining_and_plus_one_it_sums_over_relative_distances() -> None:
    """Eq. 17: log sum_i sum_j exp(D_ij) = log sum_p exp(-s_p) + log sum_n exp(s_n)."""
    batch = Batch(normal(8), [0, 0, 0, 1, 1, 2, 2, 2])
    relations = batch.relations("cosine")
    for a in range(8):
        own, others = relations.distance[a][relations.positive[a]], relations.distance[a][relations.negative[a]]
        product = (own[:, None] - others).exp().sum().log()
        torch.testing.assert_close(product, (own - 1).exp().sum().log() + (1 - others).exp().sum().log())


def test_rdvc_rides_on_the_mined_pairs() -> None:
    batch = Batch(normal(12), torch.arange(12) % 4)
    relations = batch.relations("cosine")
    objective = MultiSimilarity() + RDVC(pairs="mined")
    objective(batch)
    differences = torch.stack(
        [
            relations.distance[a, p] - relations.distance[a, n]
            for a, (own, others) in enumerate(mined(relations, 0.1))
            for p in own
            for n in others
        ]
    )
    torch.testing.assert_close(objective.terms["rdvc"], differences.var().detach())


@pytest.mark.parametrize("domains", [1, 2])
def test_agrees_with_pytorch_metric_learning(domains: int) -> None:
    pytest.importorskip("pytorch_metric_learning", reason="the extra 'competitors' is not installed")
    from pytorch_metric_learning.losses import MultiSimilarityLoss
    from pytorch_metric_learning.miners import MultiSimilarityMiner

    theirs, miner = MultiSimilarityLoss(alpha=2, beta=40, base=0.5), MultiSimilarityMiner(0.1)
    labels, photo_labels = torch.arange(20) % 5, torch.arange(15) % 5
    ours, other = normal(20), normal(20)
    photos, other_photos = normal(15, seed=1), normal(15, seed=1)
    if domains == 1:
        loss, expected = MultiSimilarity()(ours, labels), theirs(other, labels, miner(other, labels))
    else:
        loss = MultiSimilarity()(ours, labels, photos, photo_labels)
        pairs = miner(other, labels, other_photos, photo_labels)
        expected = theirs(other, labels, pairs, other_photos, photo_labels)
    torch.autograd.backward(loss)
    torch.autograd.backward(expected)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, other.grad)
