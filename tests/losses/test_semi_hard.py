"""Semi-hard triplets, held against a loop that looks at every negative."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inkseek import relations as module
from inkseek.losses import Batch, Relations, SemiHardTriplet, Triplet
from inkseek.losses.semi_hard import nearest_farther
from inkseek.losses.sorting import argsort_rows, search_rows
from inkseek.relations import METRICS, Metric

PROPERTY = settings(deadline=None, derandomize=True, max_examples=60)
LABELS = st.lists(st.integers(0, 3), max_size=9)
NEGATIVES: tuple[Literal["nearest", "all"], ...] = ("nearest", "all")


def normal(rows: int, dim: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def explicit(relations: Relations, margin: float, negatives: str) -> Tensor:
    """The loss one positive pair after the other, as an ordinary differentiable tensor."""
    hinges: list[Tensor] = []
    rows, columns = relations.distance.shape
    for a in range(rows):
        row = relations.distance[a]
        theirs = [n for n in range(columns) if relations.negative[a, n]]
        for p in range(columns):
            if not relations.positive[a, p] or not theirs:
                continue
            farther = [n for n in theirs if row[n] > row[p]]
            if negatives == "nearest":
                n = min(farther, key=lambda n: row[n].item()) if farther else max(theirs, key=lambda n: row[n].item())
                hinges.append(torch.relu(row[p] - row[n] + margin))
            else:
                hinges += [row[p] - row[n] + margin for n in farther if row[n] < row[p] + margin]
    return torch.stack(hinges).mean() if hinges else relations.distance.sum() * 0


@given(
    labels=LABELS,
    candidate_labels=st.none() | LABELS,
    margin=st.sampled_from([0.1, 0.5, 2.0]),
    metric=st.sampled_from(METRICS),
    negatives=st.sampled_from(NEGATIVES),
    block=st.sampled_from([1, 20, 2**20]),
    host=st.booleans(),
)
@PROPERTY
def test_equals_the_loop(
    labels: list[int],
    candidate_labels: list[int] | None,
    margin: float,
    metric: Metric,
    negatives: Any,
    block: int,
    host: bool,
) -> None:
    other = () if candidate_labels is None else (normal(len(candidate_labels), seed=1), candidate_labels)
    batch = Batch(normal(len(labels)), labels, *other)
    distance = batch.relations(metric).distance
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_ELEMENTS", block)
        patch.setattr(module, "on_host", lambda _: host)
        value = SemiHardTriplet(margin, metric, negatives=negatives)(batch)
    expected = explicit(batch.relations(metric), margin, negatives)
    torch.testing.assert_close(value, expected)
    (gradient,) = torch.autograd.grad(value, distance, retain_graph=True)
    (expected_gradient,) = torch.autograd.grad(expected, distance, retain_graph=True)
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("host", [True, False])
def test_many_positives_of_an_anchor(negatives: Any, host: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch(normal(26), torch.arange(26) % 2)
    distance = batch.relations().distance
    expected = explicit(batch.relations(), 0.4, negatives)
    monkeypatch.setattr(module, "on_host", lambda _: host)
    value = SemiHardTriplet(0.4, negatives=negatives)(batch)
    torch.testing.assert_close(value, expected)
    gradients = [torch.autograd.grad(loss, distance, retain_graph=True)[0] for loss in (value, expected)]
    torch.testing.assert_close(*gradients)


def test_a_hand_computed_example() -> None:
    """One anchor, its positive at .5; negatives at .3, .6, .9: only the second is semi-hard at margin .2."""
    angle = torch.acos(1 - torch.tensor([0.0, 0.5, 0.3, 0.6, 0.9], dtype=torch.float64) / 2)
    points = torch.stack([angle.cos(), angle.sin()], 1)
    call: tuple[Any, ...] = (points[:1], [0], points[1:], [0, 1, 2, 3])
    assert SemiHardTriplet(0.2)(*call).item() == pytest.approx(0.1)
    assert SemiHardTriplet(0.2, negatives="all")(*call).item() == pytest.approx(0.1)
    assert SemiHardTriplet(0.5)(*call).item() == pytest.approx(0.4)
    assert SemiHardTriplet(0.5, negatives="all")(*call).item() == pytest.approx((0.4 + 0.1) / 2)
    assert SemiHardTriplet(0.05)(*call).item() == 0  # chosen, and its hinge is empty
    near: tuple[Any, ...] = (points[:1], [0], points[[1, 2]], [0, 1])  # none is farther: the farthest of all
    assert SemiHardTriplet(0.2)(*near).item() == pytest.approx(0.5 - 0.3 + 0.2)
    assert SemiHardTriplet(0.2, negatives="all")(*near).item() == 0


@given(rows=st.integers(0, 70), columns=st.integers(0, 40), host=st.booleans())
@PROPERTY
def test_rows_are_sorted_like_torchs(rows: int, columns: int, host: bool) -> None:
    values = normal(rows, columns).detach()
    values[::3, ::2] = torch.inf
    values[1::5, :1] = torch.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "on_host", lambda _: host)
        order = argsort_rows(values)
    torch.testing.assert_close(values.gather(1, order), values.sort(1).values, equal_nan=True)


NUMBERS = st.one_of(
    st.floats(-1, 1, width=32),
    st.integers(-3, 3).map(float),
    st.sampled_from([0.0, -0.0, torch.inf, -torch.inf, 3e38, -3e38, 1e-40]),
)


@given(data=st.data(), host=st.booleans(), dtype=st.sampled_from([torch.float32, torch.float64]))
@PROPERTY
def test_rows_are_searched_like_torchs(data: st.DataObject, host: bool, dtype: torch.dtype) -> None:
    rows, few, many = (data.draw(st.integers(0, most)) for most in (3, 40, 30))
    numbers = st.lists(NUMBERS, min_size=rows * (few + many), max_size=rows * (few + many))
    both = torch.tensor(data.draw(numbers), dtype=dtype)
    ascending = both[: rows * few].reshape(rows, few).sort(1).values
    values = both[rows * few :].reshape(rows, many)
    values[::2, ::3] = torch.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "on_host", lambda _: host)
        found = search_rows(ascending, values)
    assert found.tolist() == torch.searchsorted(ascending, values).tolist()


@pytest.mark.parametrize("spread", [1e-6, 1.0, 1e30])
def test_many_numbers_are_searched_in_threads(spread: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkseek.compiled._ENOUGH", 1000)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    ascending = (1 + spread * normal(90, 70, dtype=torch.float32).detach()).sort(1).values
    values = 1 + spread * normal(90, 200, seed=1, dtype=torch.float32).detach()
    assert search_rows(ascending, values).tolist() == torch.searchsorted(ascending, values).tolist()


def test_many_rows_are_sorted_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkseek.compiled._ENOUGH", 1000)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    values = normal(600, 500, dtype=torch.float32).detach()
    assert torch.equal(argsort_rows(values), values.argsort(1))


def test_active_is_the_share_of_hinges_that_are_not_zero() -> None:
    batch = Batch(normal(12), torch.arange(12) % 4)
    for margin in (0.01, 0.3, 5.0):
        hinges = []
        relations, mined = batch.relations(), nearest_farther(batch.relations())
        for a in range(12):
            for k in range(mined.valid.shape[1]):
                p, n = mined.positive[a, k], mined.negative[a, k]
                hinges.append((relations.distance[a, p] - relations.distance[a, n] + margin > 0).item())
        assert SemiHardTriplet(margin).active(batch).item() == pytest.approx(sum(hinges) / len(hinges))
    assert SemiHardTriplet(0.3, negatives="all").active(batch).item() == 1
    assert SemiHardTriplet(1e-9, negatives="all").active(batch).item() == 0


def test_margins_by_class_are_learned() -> None:
    labels = torch.arange(9) % 3
    margin = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64, requires_grad=True)
    for negatives in NEGATIVES:
        assert torch.autograd.gradcheck(
            lambda m, which=negatives: SemiHardTriplet(m, negatives=which)(normal(9), labels), margin
        )


def test_semi_hard_negatives_are_easier_than_all() -> None:
    """With the same margin no semi-hard negative is nearer than the positive, so a hinge is at most the margin."""
    labels = torch.arange(40) % 8
    assert SemiHardTriplet(0.2, negatives="all")(normal(40), labels).item() <= 0.2
    assert Triplet(0.2)(normal(40), labels).item() > 0.2


@pytest.mark.parametrize("margin", [0.05, 0.2, 1.0])
def test_all_agrees_with_pytorch_metric_learnings_miner(margin: float) -> None:
    pytest.importorskip("pytorch_metric_learning", reason="the extra 'competitors' is not installed")
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.losses import TripletMarginLoss
    from pytorch_metric_learning.miners import TripletMarginMiner
    from pytorch_metric_learning.reducers import MeanReducer

    distance = LpDistance(normalize_embeddings=True, p=2, power=2)
    labels, ours, other = torch.arange(30) % 6, normal(30), normal(30)
    mined = TripletMarginMiner(margin, "semihard", distance=distance)(other, labels)
    expected = TripletMarginLoss(margin, distance=distance, reducer=MeanReducer())(other, labels, mined)
    loss = SemiHardTriplet(margin, negatives="all")(ours, labels)
    torch.autograd.backward(loss)
    torch.autograd.backward(expected)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, other.grad)
