"""Contrastive, binomial deviance, lifted structure and L2, each held against a loop over pairs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import softplus

from inkseek.losses import L2, RDVC, Batch, BinomialDeviance, Contrastive, LiftedStructure, Relations, RelationTerm
from inkseek.relations import METRICS, Metric

PROPERTY = settings(deadline=None, derandomize=True, max_examples=40)
LABELS = st.lists(st.integers(0, 3), max_size=9)


def normal(rows: int, dim: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def pairs(relations: Relations) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    rows, columns = relations.distance.shape
    every = [(a, c) for a in range(rows) for c in range(columns)]
    return [pair for pair in every if relations.positive[pair]], [pair for pair in every if relations.negative[pair]]


def mean(values: list[Tensor], zero: Tensor) -> Tensor:
    return torch.stack(values).mean() if values else zero


def contrastive(relations: Relations) -> Tensor:
    d, (own, others) = relations.distance, pairs(relations)
    pull = [torch.relu(d[pair] - 0.2) for pair in own]
    push = [torch.relu(0.9 - d[pair]) for pair in others]
    return mean(pull, 0 * d.sum()) + mean(push, 0 * d.sum())


def binomial(relations: Relations) -> Tensor:
    d, (own, others) = relations.distance, pairs(relations)
    pull = [softplus(-2 * (1 - d[pair] - 0.5)) for pair in own]
    push = [softplus(2 * (1 - d[pair] - 0.5)) for pair in others]
    return mean(pull, 0 * d.sum()) + 25 * mean(push, 0 * d.sum())


def lifted(relations: Relations) -> Tensor:
    d, (own, others) = relations.distance, pairs(relations)
    each = []
    for a, p in own:
        nearness = [1.5 - d[x, n] for x, n in others if x == a] + [1.5 - d[x, n] for x, n in others if n == p]
        if nearness:
            each.append(torch.relu(d[a, p] + torch.stack(nearness).exp().sum().log()).square())
        else:
            each.append(0 * d.sum())
    return mean(each, 0 * d.sum()) / 2


@given(labels=LABELS, candidate_labels=st.none() | LABELS, metric=st.sampled_from(METRICS))
@PROPERTY
def test_each_equals_its_loop(labels: list[int], candidate_labels: list[int] | None, metric: Metric) -> None:
    other = () if candidate_labels is None else (normal(len(candidate_labels), seed=1), candidate_labels)
    batch = Batch(normal(len(labels)), labels, *other)
    for term, loop in (
        (Contrastive(0.9, metric, positive_margin=0.2), contrastive),
        (BinomialDeviance(), binomial),
        (LiftedStructure(1.5, metric), lifted),
    ):
        assert isinstance(term, RelationTerm)
        relations = term.relations(batch)
        value, expected = term(batch), loop(relations)
        torch.testing.assert_close(value, expected)
        (gradient,) = torch.autograd.grad(value, relations.distance, retain_graph=True)
        (expected_gradient,) = torch.autograd.grad(expected, relations.distance, retain_graph=True)
        torch.testing.assert_close(gradient, expected_gradient)


def test_contrastive_names_its_active_pairs() -> None:
    batch = Batch(normal(9), torch.arange(9) % 3)
    relations = batch.relations("euclidean")
    term = Contrastive(1.2)
    near = (relations.distance < 1.2) & relations.negative
    assert term.active(batch).item() == pytest.approx((near.sum() / relations.negative.sum()).item())
    assert torch.equal(term.mined(batch).negative, near)
    objective = term + RDVC(pairs="mined")
    objective(batch)
    differences = torch.stack(
        [
            relations.distance[a, p] - relations.distance[a, n]
            for a, p in relations.positive.nonzero().tolist()
            for n in near[a].nonzero()[:, 0].tolist()
        ]
    )
    torch.testing.assert_close(objective.terms["rdvc"], differences.var().detach())


def test_l2_is_the_mean_squared_length_of_both_domains() -> None:
    sketches, photos = normal(3), normal(5, seed=1)
    expected = torch.cat([sketches, photos]).square().sum(1).mean()
    torch.testing.assert_close(L2()(sketches, [0, 1, 2], photos, [0] * 5), expected)
    torch.testing.assert_close(L2()(sketches, [0, 1, 2]), sketches.square().sum(1).mean())
    assert L2()(torch.zeros(0, 4), []).item() == 0


@pytest.mark.parametrize("domains", [1, 2])
def test_contrastive_agrees_with_pytorch_metric_learning(domains: int) -> None:
    pytest.importorskip("pytorch_metric_learning", reason="the extra 'competitors' is not installed")
    from pytorch_metric_learning.losses import ContrastiveLoss
    from pytorch_metric_learning.reducers import MeanReducer

    theirs = ContrastiveLoss(0.1, 0.9, reducer=MeanReducer())
    labels, photo_labels = torch.arange(20) % 5, torch.arange(15) % 5
    embeddings, photos = normal(20), normal(15, seed=1)
    term = Contrastive(0.9, positive_margin=0.1)
    if domains == 1:
        torch.testing.assert_close(term(embeddings, labels), theirs(embeddings, labels))
    else:
        expected = theirs(embeddings, labels, ref_emb=photos, ref_labels=photo_labels)
        torch.testing.assert_close(term(embeddings, labels, photos, photo_labels), expected)


def test_lifted_structure_agrees_with_pytorch_metric_learning() -> None:
    pytest.importorskip("pytorch_metric_learning", reason="the extra 'competitors' is not installed")
    from pytorch_metric_learning.losses import LiftedStructureLoss
    from pytorch_metric_learning.reducers import MeanReducer

    labels, embeddings = torch.arange(20) % 5, normal(20)
    expected = LiftedStructureLoss(1, 0, reducer=MeanReducer())(embeddings, labels)
    torch.testing.assert_close(LiftedStructure()(embeddings, labels), expected)
