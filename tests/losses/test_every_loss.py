"""What holds for every loss alike: gradients, invariances, edges, precisions, and how it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from inkseek import relations as module
from inkseek.errors import InkseekError
from inkseek.losses import (
    L2,
    RDVC,
    SEC,
    Batch,
    BinomialDeviance,
    Classification,
    Contrastive,
    LiftedStructure,
    ModalityAwareTriplet,
    MultiSimilarity,
    NPair,
    Objective,
    Quadruplet,
    RelationTerm,
    RelativeDistanceDivergence,
    SemiHardTriplet,
    Term,
    Triplet,
    VarianceParts,
    diagnose,
)
from inkseek.losses.catalogue import BASES, REGULARISERS

ONE_DOMAIN: dict[str, Callable[[], Term]] = {
    "triplet": lambda: Triplet(0.7),
    "semi-hard nearest": lambda: SemiHardTriplet(0.7),
    "semi-hard all": lambda: SemiHardTriplet(0.7, negatives="all"),
    "n-pair first": lambda: NPair(),
    "n-pair all": lambda: NPair("dot", scale=1, anchors="all"),
    "multi-similarity": lambda: MultiSimilarity(),
    "contrastive": lambda: Contrastive(1.2),
    "binomial deviance": lambda: BinomialDeviance(),
    "lifted structure": lambda: LiftedStructure(),
    "rdvc all": lambda: Triplet(0.7) + RDVC(),
    "rdvc sampled": lambda: Triplet(0.7) + RDVC(pairs="sampled"),
    "rdvc mined triplet": lambda: Triplet(0.7) + RDVC(pairs="mined"),
    "rdvc mined semi-hard": lambda: SemiHardTriplet(0.7) + RDVC(pairs="mined"),
    "rdvc mined semi-hard all": lambda: SemiHardTriplet(0.7, negatives="all") + RDVC(pairs="mined"),
    "rdvc mined multi-similarity": lambda: MultiSimilarity() + RDVC(pairs="mined"),
    "rdvc other distance": lambda: Triplet(0.7) + RDVC("cosine", pairs="mined"),
    "relative-distance divergence": lambda: Triplet(0.7) + RelativeDistanceDivergence(),
    "between-anchor variance": lambda: Triplet(0.7) + VarianceParts("between"),
    "separate variances": lambda: Triplet(0.7) + VarianceParts("separate"),
    "sec": lambda: SEC(),
    "l2": lambda: L2(),
}
TWO_DOMAINS: dict[str, Callable[[], Term]] = ONE_DOMAIN | {
    "quadruplet": lambda: Quadruplet(0.7),
    "quadruplet semi-hard": lambda: Quadruplet(0.7, mining="semi_hard", strong_negative="intra"),
    "quadruplet batch-hard": lambda: Quadruplet(0.7, mining="batch_hard", smooth="softplus"),
    "modality-aware": lambda: ModalityAwareTriplet(0.7),
    "modality-aware unbalanced": lambda: ModalityAwareTriplet(0.7, hybrid=2.0, balance=False),
    "modality-aware hinge": lambda: ModalityAwareTriplet(0.7, smooth="hinge", balance=False),
    "rdvc mined modality-aware": lambda: ModalityAwareTriplet(0.7, balance=False) + RDVC(pairs="mined"),
}
OVER_ALL_TUPLES = sorted(set(TWO_DOMAINS) - {"rdvc sampled", "quadruplet", "n-pair first"})
"""These do not depend on the order of the batch."""

one_domain = pytest.mark.parametrize("name", ONE_DOMAIN)
two_domains = pytest.mark.parametrize("name", TWO_DOMAINS)


def normal(rows: int, dim: int = 6, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def test_every_loss_of_the_catalogue_is_here() -> None:
    made = [term() for term in TWO_DOMAINS.values()]
    parts = {type(part) for term in made for part in (term.parts.values() if isinstance(term, Objective) else [term])}
    assert parts == {*BASES, *REGULARISERS} - {Classification}  # its classes are its own: see its own tests


@one_domain
def test_gradcheck(name: str) -> None:
    labels = torch.arange(11) % 4

    def loss(embeddings: Tensor) -> Tensor:
        return TWO_DOMAINS[name]()(embeddings, labels)  # a new term each time, so that a draw is the first

    assert torch.autograd.gradcheck(loss, normal(11))


@pytest.mark.parametrize("name", sorted(set(TWO_DOMAINS) - {"modality-aware"}))  # its balance carries no gradient
def test_gradcheck_of_two_domains(name: str) -> None:
    labels, photo_labels = torch.arange(6) % 4, torch.arange(9) % 4

    def loss(sketches: Tensor, photos: Tensor) -> Tensor:
        return TWO_DOMAINS[name]()(sketches, labels, photos, photo_labels)

    assert torch.autograd.gradcheck(loss, (normal(6), normal(9, seed=1)))


@two_domains
def test_relabelling_changes_nothing_not_even_beyond_float32(name: str) -> None:
    labels, photo_labels = torch.arange(8) % 4, torch.arange(9) % 4
    values = {
        TWO_DOMAINS[name]()(normal(8), a * labels + b, normal(9, seed=1), a * photo_labels + b).item()
        for a, b in ((1, 0), (3, 5), (1, 2**24), (1, 2**60))
    }
    assert len(values) == 1


@pytest.mark.parametrize("name", OVER_ALL_TUPLES)
def test_permutation_changes_nothing(name: str) -> None:
    labels, photo_labels = torch.arange(8) % 4, torch.arange(9) % 4
    sketches, photos = normal(8), normal(9, seed=1)
    expected = TWO_DOMAINS[name]()(sketches, labels, photos, photo_labels)
    order, other = (torch.randperm(n, generator=torch.Generator().manual_seed(n)) for n in (8, 9))
    permuted = TWO_DOMAINS[name]()(sketches[order], labels[order], photos[other], photo_labels[other])
    torch.testing.assert_close(permuted, expected)


@two_domains
@pytest.mark.parametrize("block", [1, 25, 60])
def test_block_size_changes_nothing(name: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, photo_labels = torch.arange(8) % 4, torch.arange(9) % 4
    whole, cut, photos = normal(8), normal(8), normal(9, seed=1)
    expected = TWO_DOMAINS[name]()(whole, labels, photos, photo_labels)
    torch.autograd.backward(expected)
    monkeypatch.setattr(module, "BLOCK_ELEMENTS", block)
    loss = TWO_DOMAINS[name]()(cut, labels, photos, photo_labels)
    torch.autograd.backward(loss)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(cut.grad, whole.grad)


@pytest.mark.parametrize("name", sorted(set(TWO_DOMAINS) - {"rdvc sampled"}))
def test_packing_positives_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device, positives are not counted but masked; only a draw of a pair's negative depends on its place."""
    labels, photo_labels = torch.arange(8) % 4, torch.arange(9) % 4
    ours, theirs, photos = normal(8), normal(8), normal(9, seed=1)
    expected = TWO_DOMAINS[name]()(theirs, labels, photos, photo_labels)
    torch.autograd.backward(expected)
    monkeypatch.setattr(module, "on_host", lambda _: False)
    loss = TWO_DOMAINS[name]()(ours, labels, photos, photo_labels)
    torch.autograd.backward(loss)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


@two_domains
def test_nothing_is_read_back_from_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake tensor has no values: whatever asks for one (.item(), a boolean index, nonzero) raises."""
    monkeypatch.setattr(module, "on_host", lambda _: False)
    term = TWO_DOMAINS[name]()
    with FakeTensorMode(allow_non_fake_inputs=True):
        sketches, photos = torch.randn(6, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True)
        labels, photo_labels = torch.zeros(6, dtype=torch.int64), torch.zeros(5, dtype=torch.int64)
        batch = Batch(sketches, labels, photos, photo_labels)
        torch.autograd.backward(term(batch))
        diagnose(term, batch)
        assert sketches.grad is not None


@two_domains
def test_half_input_and_autocast_equal_float32(name: str) -> None:
    labels = torch.arange(24) % 6
    half = normal(24, dim=32, dtype=torch.float32).detach().bfloat16().requires_grad_()
    single = half.detach().float().requires_grad_()
    photos = normal(24, dim=32, seed=1, dtype=torch.float32).detach().bfloat16()
    expected = TWO_DOMAINS[name]()(single, labels, photos.float(), labels)
    torch.autograd.backward(expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = TWO_DOMAINS[name]()(half, labels, photos, labels)
        torch.autograd.backward(loss)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)
    assert half.grad is not None
    assert single.grad is not None
    torch.testing.assert_close(half.grad, single.grad.bfloat16())


@two_domains
@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0], [0, 1, 2]])
def test_nothing_to_compare_is_a_differentiable_zero(name: str, labels: list[int]) -> None:
    """At most one class, or no positive: relation-based losses have nothing to say but about negatives alone."""
    sketches = torch.ones(len(labels), 3, requires_grad=True)
    photos = torch.ones(len(labels), 3, requires_grad=True)
    other = [label + 7 for label in labels] if len(set(labels)) > 1 else labels
    loss = TWO_DOMAINS[name]()(sketches, labels, photos, other)
    torch.autograd.backward(loss)
    assert loss.isfinite()
    assert sketches.grad is not None
    assert sketches.grad.isfinite().all()
    zero = Triplet | SemiHardTriplet | NPair | LiftedStructure | Quadruplet | ModalityAwareTriplet
    if not labels or isinstance(TWO_DOMAINS[name](), zero):
        assert loss.item() == 0
        assert not sketches.grad.any()


@two_domains
def test_a_collapsed_embedding_has_a_finite_gradient(name: str) -> None:
    embeddings = torch.ones(8, 5, requires_grad=True)
    labels = torch.arange(8) % 4
    loss = TWO_DOMAINS[name]()(embeddings, labels, torch.ones(8, 5), labels)
    torch.autograd.backward(loss)
    assert loss.isfinite()
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize("name", sorted(set(TWO_DOMAINS) - {"quadruplet", "quadruplet batch-hard"}))
@pytest.mark.parametrize("where", ["sketch", "photo"])
@pytest.mark.parametrize("copies", [1, 12])
@pytest.mark.parametrize("host", [True, False])
def test_nan_never_hides(name: str, where: str, copies: int, host: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One broken embedding must reach the loss (a quadruplet may leave the item out altogether)."""
    monkeypatch.setattr(module, "on_host", lambda _: host)
    labels = torch.arange(6 * copies) % 3
    sketches, photos = (normal(6 * copies, seed=seed, dtype=torch.float32).detach() for seed in (0, 1))
    broken = sketches if where == "sketch" else photos
    broken[1] = torch.nan
    value = TWO_DOMAINS[name]()(sketches, labels, photos, labels)
    assert value.isnan(), "a loss that skips NaN trains on as if nothing had happened"


@pytest.mark.parametrize("name", sorted(set(TWO_DOMAINS) - {"relative-distance divergence"}))  # it reads labels too
def test_instances_make_other_photos_of_the_class_negatives(name: str) -> None:
    sketches, photos = normal(4), normal(4, seed=1)
    labels, instances = [0, 0, 1, 1], ([0, 1, 2, 3], [0, 1, 2, 3])
    term = TWO_DOMAINS[name]()
    value = term(sketches, labels, photos, labels, instances=instances)
    torch.testing.assert_close(value, TWO_DOMAINS[name]()(sketches, instances[0], photos, instances[1]))
    torch.testing.assert_close(TWO_DOMAINS[name]()(Batch(sketches, labels, photos, labels, instances=instances)), value)


@pytest.mark.parametrize("term", [term for term in BASES if issubclass(term, RelationTerm)])
def test_a_level_can_be_fixed(term: type[RelationTerm]) -> None:
    sketches, photos, labels = normal(4), normal(4, seed=1), [0, 1, 2, 2]
    instances = ([0, 1, 2, 3], [0, 1, 2, 3])
    fixed: Any = term(level="category")  # type: ignore[call-arg]
    plain: Any = term()  # type: ignore[call-arg]
    assert fixed(sketches, labels, photos, labels, instances=instances).item() == pytest.approx(
        plain(sketches, labels, photos, labels).item()
    )
    instance: Any = term(level="instance")  # type: ignore[call-arg]
    with pytest.raises(InkseekError, match="instances="):
        instance(sketches, labels, photos, labels)


@pytest.mark.parametrize("name", sorted(set(TWO_DOMAINS) - {"l2", "sec", "n-pair first"}))
def test_descent_pulls_classes_together(name: str) -> None:
    """Whatever the loss, descending on it must separate classes that start mixed."""
    labels = torch.arange(24) % 4
    sketches, photos = normal(24, dim=8), normal(24, dim=8, seed=1)
    term = TWO_DOMAINS[name]()
    optimiser = torch.optim.Adam([sketches, photos], lr=0.05)
    first = hits(sketches, photos, labels)
    for _ in range(60):
        optimiser.zero_grad()
        torch.autograd.backward(term(sketches, labels, photos, labels))
        optimiser.step()
    assert first < 0.5
    assert hits(sketches, photos, labels) > 0.9


def hits(sketches: Tensor, photos: Tensor, labels: Tensor) -> float:
    nearest = Batch(sketches, labels, photos, labels).relations("cosine").distance.argmin(1)
    return (labels[nearest] == labels).double().mean().item()
