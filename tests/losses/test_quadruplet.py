"""The quadruplet loss: what is drawn, what is mined, and that the loss is the formula on those tuples."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from inkseek.errors import InkseekError
from inkseek.losses import RDVC, Batch, Quadruplet, Triplet

PROPERTY = settings(deadline=None, derandomize=True, max_examples=60)
LABELS = st.lists(st.integers(0, 4), max_size=8)
MININGS = ("random", "semi_hard", "batch_hard")


def normal(rows: int, dim: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def batch_of(labels: list[int], photo_labels: list[int]) -> Batch:
    return Batch(normal(len(labels)), labels, normal(len(photo_labels), seed=1), photo_labels)


def tuples(term: Quadruplet, batch: Batch) -> list[tuple[int, int, int, int]]:
    """The last forward pass's (a, p, n1, n2), as places in the batch of both domains."""
    drawn = term.quadruplets(batch)
    return [(a, p, int(drawn.strong[a, p]), int(drawn.weak[a, p])) for a, p in drawn.valid.nonzero().tolist()]


@given(
    labels=LABELS,
    photo_labels=LABELS,
    mining=st.sampled_from(MININGS),
    strong=st.sampled_from(["cross", "intra"]),
    symmetric=st.booleans(),
    smooth=st.sampled_from(["hinge", "softplus"]),
)
@PROPERTY
def test_equals_the_formula_on_valid_tuples(
    labels: list[int], photo_labels: list[int], mining: Any, strong: Any, symmetric: bool, smooth: Any
) -> None:
    batch = batch_of(labels, photo_labels)
    both = batch.union
    distance, classes = both.relations("euclidean").distance, both.anchor_labels.tolist()
    domain = [0] * len(labels) + [1] * len(photo_labels)
    term = Quadruplet(0.4, weak=0.3, strong_negative=strong, symmetric=symmetric, mining=mining, smooth=smooth)
    value, found = term(batch), tuples(term, batch)
    each = []
    for a, p, n1, n2 in found:
        assert domain[p] != domain[a]
        assert (domain[n1] != domain[a]) is (strong == "cross")
        assert domain[n2] != domain[n1]
        assert classes[p] == classes[a]
        assert len({classes[a], classes[n1], classes[n2]}) == 3
        assert symmetric or domain[a] == 0
        excess = distance[a, p] - 0.7 * distance[a, n1] - 0.3 * distance[a, n2] + 0.4
        each.append(torch.relu(excess) if smooth == "hinge" else torch.log1p(torch.exp(10 * excess)) / 10)
    torch.testing.assert_close(value, torch.stack(each).mean() if each else distance.sum() * 0)
    if each:
        active = [(e > 0).item() for e in each] if smooth == "hinge" else None
        if active:
            assert term.active(batch).item() == pytest.approx(sum(active) / len(active))


@given(labels=LABELS, photo_labels=LABELS, symmetric=st.booleans())
@PROPERTY
def test_semi_hard_negatives_equal_the_loop(labels: list[int], photo_labels: list[int], symmetric: bool) -> None:
    batch = batch_of(labels, photo_labels)
    both = batch.union
    distance, classes = both.relations("euclidean").distance.tolist(), both.anchor_labels.tolist()
    domain = [0] * len(labels) + [1] * len(photo_labels)

    def choose(a: int, p: int, same_domain: bool, unlike: tuple[int, ...]) -> int | None:
        allowed = [
            n for n in range(len(classes)) if (domain[n] == domain[a]) is same_domain and classes[n] not in unlike
        ]
        farther = [n for n in allowed if distance[a][n] > distance[a][p]]
        if farther:
            return min(farther, key=lambda n: distance[a][n])
        return max(allowed, key=lambda n: distance[a][n], default=None)

    expected = []
    for a in range(len(classes)):
        for p in range(len(classes)):
            if classes[p] == classes[a] and domain[p] != domain[a] and (symmetric or domain[a] == 0):
                n1 = choose(a, p, False, (classes[a],))
                n2 = None if n1 is None else choose(a, p, True, (classes[a], classes[n1]))
                if n1 is not None and n2 is not None:
                    expected.append((a, p, n1, n2))
    term = Quadruplet(mining="semi_hard", symmetric=symmetric)
    term(batch)
    assert tuples(term, batch) == expected


@given(labels=LABELS, photo_labels=LABELS)
@PROPERTY
def test_batch_hard_takes_the_farthest_positive_and_the_nearest_negatives(
    labels: list[int], photo_labels: list[int]
) -> None:
    batch = batch_of(labels, photo_labels)
    both = batch.union
    distance, classes = both.relations("euclidean").distance.tolist(), both.anchor_labels.tolist()
    domain = [0] * len(labels) + [1] * len(photo_labels)
    expected = []
    for a, own in enumerate(classes):
        items = range(len(classes))

        def key(n: int, a: int = a) -> float:
            return float(distance[a][n])

        p = max((i for i in items if classes[i] == own and domain[i] != domain[a]), key=key, default=None)
        n1 = min((i for i in items if classes[i] != own and domain[i] != domain[a]), key=key, default=None)
        if p is None or n1 is None:
            continue
        third = (i for i in items if classes[i] not in (own, classes[n1]) and domain[i] == domain[a])
        n2 = min(third, key=key, default=None)
        if n2 is not None:
            expected.append((a, p, n1, n2))
    term = Quadruplet(mining="batch_hard")
    term(batch)
    assert tuples(term, batch) == expected


def test_draws_are_even_and_change_with_the_step_alone() -> None:
    labels = [0, 0, 1, 2, 2, 3]
    batch, term = batch_of(labels, labels), Quadruplet()
    seen: Counter[tuple[int, int]] = Counter()
    for _ in range(3000):
        term(batch)
        drawn = term.quadruplets(batch)
        seen[int(drawn.strong[0, 6]), int(drawn.weak[0, 6])] += 1
    # n1 is even over the four photos of other classes; n2 is even over the sketches of the classes that are left.
    photos, sketches = [8, 9, 10, 11], {2: 1, 3: 2, 4: 2, 5: 3}
    classes = {8: 1, 9: 2, 10: 2, 11: 3}
    expected = {
        (n1, n2): 1 / 4 / sum(c != classes[n1] for c in sketches.values())
        for n1 in photos
        for n2 in sketches
        if sketches[n2] != classes[n1]
    }
    assert set(seen) == set(expected)
    for pair, probability in expected.items():
        assert seen[pair] / 3000 == pytest.approx(probability, abs=5 * (probability / 3000) ** 0.5)

    twin = Quadruplet()
    first = [twin(batch).item() for _ in range(3)]
    again = Quadruplet()
    again(batch)
    resumed = Quadruplet()
    resumed.load_state_dict(again.state_dict())
    assert [resumed(batch).item() for _ in range(2)] == first[1:]
    assert len(set(first)) == 3
    twin.eval()
    assert twin(batch).item() == twin(batch).item() == first[2]
    assert Quadruplet(seed=1)(batch).item() != first[0]


@pytest.mark.parametrize("mining", MININGS)
def test_without_the_weak_push_it_is_the_triplet_loss_on_the_same_tuples(mining: Any) -> None:
    labels = [0, 0, 1, 1, 2, 2, 3, 3]
    batch, term = batch_of(labels, labels), Quadruplet(0.4, weak=0, mining=mining)
    value = term(batch)
    each = []
    for a, p, n1, _ in tuples(term, batch):
        both = batch.union.anchors
        alone = Batch(both[[a]], [0], both[[p, n1]], [0, 1])
        each.append(Triplet(0.4, "euclidean")(alone))
    torch.testing.assert_close(value, torch.stack(each).mean())


def test_a_hand_computed_quadruplet() -> None:
    """On the circle: a at 0, p at 60, n1 at 90, n2 at 180 degrees: d = 1, sqrt 2, 2."""
    degrees = torch.tensor([0.0, 180.0, 60.0, 90.0], dtype=torch.float64).deg2rad()
    points = torch.stack([degrees.cos(), degrees.sin()], 1)
    term = Quadruplet(1.0, weak=0.25, symmetric=False)
    value = term(points[:2], [0, 2], points[2:], [0, 1])
    assert value.item() == pytest.approx(1 - 0.75 * 2**0.5 - 0.25 * 2 + 1)
    intra = Quadruplet(1.0, weak=0.25, symmetric=False, strong_negative="intra")
    assert intra(points[:2], [0, 2], points[2:], [0, 1]).item() == pytest.approx(max(0, 1 - 1.5 - 0.25 * 2**0.5 + 1))


def test_one_domain_with_domains_is_the_same_as_two() -> None:
    labels = [0, 1, 2, 3]
    sketches, photos = normal(4), normal(4, seed=1)
    two = (Quadruplet() + RDVC())(sketches, labels, photos, labels)
    objective = Quadruplet() + RDVC(level="category")
    one = objective(torch.cat([sketches, photos]), labels * 2, domains=[0] * 4 + [1] * 4)
    assert Quadruplet()(sketches, labels, photos, labels).item() == pytest.approx(objective.terms["quadruplet"].item())
    assert two.isfinite()
    assert one.isfinite()
    relations = Quadruplet().relations(Batch(torch.cat([sketches, photos]), labels * 2, domains=[0] * 4 + [1] * 4))
    assert torch.equal(relations.positive[:4, 4:], torch.eye(4, dtype=torch.bool))
    assert not relations.negative[:4, :4].any()
    with pytest.raises(InkseekError, match="tells sketches from photos"):
        Quadruplet()(sketches, labels)


class ByNorm(nn.Module):
    """A margin that reads the batch of both domains."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def forward(self, batch: Batch) -> Tensor:
        lengths: Tensor = torch.linalg.vector_norm(batch.anchors, dim=1, keepdim=True)
        return self.scale * lengths


def test_a_margin_may_be_by_class_by_item_or_a_module() -> None:
    labels = [0, 0, 1, 2, 3]
    batch = batch_of(labels, labels)
    both = batch.union
    by_class = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    distance = both.relations("euclidean").distance
    for margin, each in (
        (by_class, by_class[both.anchor_labels]),
        (by_class[both.anchor_labels, None], by_class[both.anchor_labels]),
        (ByNorm(), 0.1 * both.anchors.norm(dim=1)),
    ):
        term = Quadruplet(margin)
        value = term(batch)
        hinges = [
            torch.relu(distance[a, p] - 0.7 * distance[a, n1] - 0.3 * distance[a, n2] + each[a])
            for a, p, n1, n2 in tuples(term, batch)
        ]
        torch.testing.assert_close(value, torch.stack(hinges).mean())
    module = ByNorm()
    torch.autograd.backward(Quadruplet(module)(batch))
    assert module.scale.grad is not None
    assert module.scale.grad.item() > 0
    with pytest.raises(InkseekError, match="a margin tensor must be"):
        Quadruplet(torch.ones(2, 2))


class Square(nn.Module):
    """A module that is no margin."""

    def forward(self, batch: Batch) -> Tensor:
        return batch.anchors


def test_a_module_that_returns_no_margin_is_an_error() -> None:
    with pytest.raises(InkseekError, match="a margin tensor must be"):
        Quadruplet(Square())(normal(3), [0, 1, 2], normal(3, seed=1), [0, 1, 2])


def test_it_can_be_differentiated_twice() -> None:
    """The bilevel step of RAMLN goes through the loss's gradient."""
    labels = [0, 1, 2, 3]
    module, sketches = ByNorm(), normal(4)

    def gradient_by_sketches(scale: Tensor) -> Tensor:
        module.scale = nn.Parameter(scale.detach())
        loss = Quadruplet(module, smooth="softplus")(sketches, labels, normal(4, seed=1), labels)
        (gradient,) = torch.autograd.grad(loss, sketches, create_graph=True)
        return gradient.square().sum()

    step, scale = 1e-6, torch.tensor(0.1, dtype=torch.float64)
    (second,) = torch.autograd.grad(gradient_by_sketches(scale), module.scale)
    difference = gradient_by_sketches(scale + step) - gradient_by_sketches(scale - step)
    assert second.item() == pytest.approx(difference.item() / (2 * step), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weak": 1.5}, "quadruplet: weak must be from 0 to 1, not 1.5"),
        ({"mining": "hard"}, "mining must be random or semi_hard or batch_hard"),
        ({"strong_negative": "photo"}, "strong_negative must be cross or intra"),
        ({"sharpness": 0}, "sharpness must be above 0"),
        ({"symmetric": "yes"}, "symmetric must be True or False"),
    ],
)
def test_wrong_options_are_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InkseekError, match=message):
        Quadruplet(**options)
