"""A batch in parts has the loss and the gradient of the batch as a whole, for losses that relate everything."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from inkseek.losses import RDVC, SEC, Batch, MultiSimilarity, NPair, Ratio, SemiHardTriplet, Term, Triplet
from inkseek.training.whole_batch import backward

LABELS = torch.arange(12) % 4

OBJECTIVES: dict[str, Callable[[], Term]] = {
    "triplet": lambda: Triplet(1.0) + 0.5 * RDVC() + 1.0 * SEC(),
    "semi-hard": lambda: SemiHardTriplet(0.2) + 1e-3 * RDVC(reduction="sum"),
    "n-pair": lambda: NPair() + 1e-2 * RDVC(reduction="sum"),
    "multi-similarity": lambda: MultiSimilarity() + 0.5 * RDVC(pairs="mined"),
    "sampled": lambda: Triplet(1.0) + 0.5 * RDVC(pairs="sampled"),
    "ratio": lambda: Triplet(1.0) + Ratio(0.5) * RDVC(),
}


def network(*, dropout: float = 0.0, norm: bool = False) -> nn.Module:
    torch.manual_seed(0)
    middle = nn.BatchNorm1d(9) if norm else nn.Identity()
    return nn.Sequential(nn.Linear(6, 9), middle, nn.Tanh(), nn.Dropout(dropout), nn.Linear(9, 5)).double()


def reseed(part: int) -> None:
    torch.manual_seed(part)


def gradients(model: nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("parts", [2, 5, 12])
@pytest.mark.parametrize("domains", [1, 2])
def test_parts_have_the_gradient_of_the_whole(name: str, parts: int, domains: int) -> None:
    inputs = torch.randn(12, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = []
    for n in (1, parts):
        model, objective = network(), OBJECTIVES[name]().double()

        def loss_of(embeddings: Tensor, objective: Term = objective) -> Tensor:
            if domains == 1:
                return objective(Batch(embeddings, LABELS))
            return objective(Batch(embeddings[:5], LABELS[:5], embeddings[5:], LABELS[5:]))

        loss = backward(model, inputs, loss_of, parts=n)
        found.append((loss, gradients(model)))
    (whole, expected), (of_parts, ours) = found
    assert len(expected) == 4
    assert all(gradient.any() for gradient in expected)
    torch.testing.assert_close(of_parts, whole, rtol=0, atol=1e-10)
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_what_the_objective_learns_has_its_gradient_once() -> None:
    inputs = torch.randn(12, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = []
    for parts in (1, 4):
        margin = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
        objective = Triplet(margin)

        def loss_of(embeddings: Tensor, objective: Term = objective) -> Tensor:
            return objective(Batch(embeddings, LABELS))

        backward(network(), inputs, loss_of, parts=parts)
        assert margin.grad is not None
        found.append(margin.grad)
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-10)


def test_dropout_falls_the_same_way_in_both_passes() -> None:
    inputs = torch.randn(12, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    objective = Triplet(1.0)
    cached, plain = network(dropout=0.5), network(dropout=0.5)
    backward(cached, inputs, lambda e: objective(Batch(e, LABELS)), parts=3, reseed=reseed)
    rows = []
    for number, piece in enumerate(torch.tensor_split(inputs, 3)):
        reseed(number)
        rows.append(plain(piece))
    torch.autograd.backward(objective(Batch(torch.cat(rows), LABELS)))
    for one, other in zip(gradients(cached), gradients(plain), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_batchnorm_meets_every_part_once() -> None:
    inputs = torch.randn(12, 6, dtype=torch.float64)
    cached, plain = network(norm=True), network(norm=True)
    backward(cached, inputs, lambda e: Triplet(1.0)(Batch(e, LABELS)), parts=3)
    for piece in torch.tensor_split(inputs, 3):
        plain(piece)
    for one, other in zip(cached.buffers(), plain.buffers(), strict=True):
        assert torch.equal(one, other)
