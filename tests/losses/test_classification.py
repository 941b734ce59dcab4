"""Classification, held against a loop over items, torch's own cross entropy, and a bilevel step by differences."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from inkseek import relations as module
from inkseek.errors import InkseekError
from inkseek.losses import RDVC, Batch, Classification, Quadruplet, build_objective

PROPERTY = settings(deadline=None, derandomize=True, max_examples=60)
LABELS = st.lists(st.integers(0, 3), max_size=6)
CLASSES, DIM = 4, 5


def normal(rows: int, dim: int = DIM, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def classifier(dtype: torch.dtype = torch.float64, **options: Any) -> Classification:
    """The same numbers each time."""
    term = Classification(CLASSES, DIM, **options).to(dtype)
    with torch.no_grad():
        term.classifier.weight.copy_(normal(CLASSES, seed=8))
        term.classifier.bias.copy_(normal(1, CLASSES, seed=9)[0])
    return term


def explicit(term: Classification, rows: list[list[float]], labels: list[int]) -> float:
    weight, bias = term.classifier.weight.tolist(), term.classifier.bias.tolist()
    total = 0.0
    for row, own in zip(rows, labels, strict=True):
        scale = 1.0 if term.scale is None else term.scale / math.hypot(*row)
        logits = [sum(w * scale * x for w, x in zip(weight[c], row, strict=True)) + bias[c] for c in range(len(weight))]
        log_sum = math.log(sum(math.exp(logit) for logit in logits))
        for c, logit in enumerate(logits):
            target = (1 - term.smoothing) * (c == own) + term.smoothing / len(logits)
            total += target * (log_sum - logit)
    return total / max(len(labels), 1)


@given(
    labels=LABELS,
    photo_labels=st.none() | LABELS,
    scale=st.sampled_from([None, 1.0, 10.0]),
    smoothing=st.sampled_from([0.0, 0.1]),
)
@PROPERTY
def test_equals_the_loop(
    labels: list[int], photo_labels: list[int] | None, scale: float | None, smoothing: float
) -> None:
    term, sketches = classifier(scale=scale, smoothing=smoothing), normal(len(labels))
    photos = normal(len(photo_labels or []), seed=1)
    batch = Batch(sketches, labels) if photo_labels is None else Batch(sketches, labels, photos, photo_labels)
    expected = explicit(term, sketches.tolist() + photos.tolist(), labels + (photo_labels or []))
    assert term(batch).item() == pytest.approx(expected)


def test_equals_torchs_cross_entropy() -> None:
    term, embeddings, labels = classifier(scale=None), normal(9), torch.arange(9) % CLASSES
    expected = torch.nn.functional.cross_entropy(term.classifier(embeddings), labels)
    torch.testing.assert_close(term(embeddings, labels), expected)


@pytest.mark.parametrize("scale", [None, 10.0])
def test_gradcheck_once_and_twice(scale: float | None) -> None:
    term, labels, photo_labels = classifier(scale=scale, smoothing=0.1), [0, 3, 1], [2, 0]

    def loss(sketches: Tensor, photos: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        given = {"classifier.weight": weight, "classifier.bias": bias}
        value: Tensor = functional_call(term, given, (Batch(sketches, labels, photos, photo_labels),))
        return value

    inputs = (normal(3), normal(2, seed=1), normal(CLASSES, seed=2), normal(1, CLASSES, seed=3)[0])
    assert torch.autograd.gradcheck(loss, inputs)
    assert torch.autograd.gradgradcheck(loss, inputs)


def test_a_step_of_its_layer_can_be_unrolled() -> None:
    """As the inner step of RAMLN is: a margin reaches the next loss through the layer and the embeddings."""
    objective = Quadruplet(torch.nn.Parameter(torch.tensor(0.3, dtype=torch.float64)), smooth="softplus") + classifier()
    sketches, photos, labels = normal(4), normal(4, seed=1), [0, 1, 2, 3]
    names = ("parts.classification.classifier.weight", "parts.classification.classifier.bias")
    own = dict(objective.named_parameters())

    def after(margin: Tensor) -> Tensor:
        """The loss of one step further along, where the head is a matrix before the embeddings."""
        head = torch.eye(DIM, dtype=torch.float64, requires_grad=True)
        given = {**own, "parts.quadruplet.margin": margin}
        inner = functional_call(objective.eval(), given, (Batch(sketches @ head, labels, photos @ head, labels),))
        moved = torch.autograd.grad(inner, [head, *(given[name] for name in names)], create_graph=True)
        head = head - 0.5 * moved[0]
        given |= {name: own[name] - 0.5 * gradient for name, gradient in zip(names, moved[1:], strict=True)}
        outer: Tensor = functional_call(
            objective.parts["classification"],
            {name.removeprefix("parts.classification."): given[name] for name in names},
            (Batch(sketches @ head, labels, photos @ head, labels),),
        )
        return outer

    margin = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(after(margin), margin)
    difference = (after(margin.detach() + 1e-5) - after(margin.detach() - 1e-5)) / 2e-5
    assert abs(slope.item()) > 1e-6
    assert slope.item() == pytest.approx(difference.item(), rel=1e-5)


def test_order_of_items_and_names_of_classes_change_nothing() -> None:
    term, embeddings, labels = classifier(), normal(8), torch.arange(8) % CLASSES
    expected = term(embeddings, labels)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(term(embeddings[order], labels[order]), expected)
    torch.testing.assert_close(
        term(embeddings[order[:3]], labels[order[:3]], embeddings[order[3:]], labels[order[3:]]), expected
    )
    renamed = classifier()
    names = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        for ours, theirs in zip(renamed.parameters(), term.parameters(), strict=True):
            ours[names] = theirs
    torch.testing.assert_close(renamed(embeddings, names[labels]), expected)


def test_unit_embeddings_make_their_length_irrelevant() -> None:
    embeddings, labels = normal(6), [0, 1, 2, 3, 0, 1]
    torch.testing.assert_close(classifier()(7 * embeddings, labels), classifier()(embeddings, labels))
    assert classifier(scale=None)(7 * embeddings, labels).item() != classifier(scale=None)(embeddings, labels).item()


def test_half_input_and_autocast_equal_float32() -> None:
    half = normal(8, dtype=torch.float32).detach().bfloat16().requires_grad_()
    single = half.detach().float().requires_grad_()
    labels, term = torch.arange(8) % CLASSES, classifier(torch.float32)
    expected = term(single, labels)
    torch.autograd.backward(expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = term(half, labels)
        torch.autograd.backward(loss)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)
    assert half.grad is not None
    assert single.grad is not None
    torch.testing.assert_close(half.grad, single.grad.bfloat16())


def test_the_embeddings_precision_is_kept() -> None:
    """A layer in float32 serves embeddings in float64, and the other way round."""
    labels = torch.arange(8) % CLASSES
    wide = classifier(torch.float32)(normal(8), labels)
    narrow = classifier()(normal(8).float(), labels)
    assert (wide.dtype, narrow.dtype) == (torch.float64, torch.float32)
    assert wide.item() == pytest.approx(narrow.item(), rel=1e-4)


@pytest.mark.parametrize("scale", [None, 10.0])
def test_an_empty_batch_is_a_differentiable_zero(scale: float | None) -> None:
    term, sketches, photos = classifier(scale=scale), normal(0), normal(0, seed=1)
    for batch in (Batch(sketches, []), Batch(sketches, [], photos, [])):
        loss = term(batch)
        torch.autograd.backward(loss)
        assert loss.item() == 0
        assert term.classifier.weight.grad is not None
        assert not term.classifier.weight.grad.any()


def test_a_collapsed_embedding_has_a_finite_gradient_and_nan_never_hides() -> None:
    embeddings = torch.zeros(8, DIM, dtype=torch.float64, requires_grad=True)
    torch.autograd.backward(classifier()(embeddings, torch.arange(8) % CLASSES))
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()
    broken = normal(8).detach()
    broken[3, 1] = torch.nan
    assert classifier()(broken, torch.arange(8) % CLASSES).isnan()


@pytest.mark.parametrize("wrong", [4, -1, -100, 2**40])
@pytest.mark.parametrize("side", ["sketches", "photos"])
def test_a_label_without_a_class_is_an_error(wrong: int, side: str) -> None:
    labels = {"sketches": [0, 1], "photos": [2, 3]}
    labels[side][1] = wrong
    with pytest.raises(
        InkseekError, match=r"classification: labels must be 0\.\.3, one for each of its 4 classes, not"
    ):
        classifier()(normal(2), labels["sketches"], normal(2, seed=1), labels["photos"])


def test_nothing_is_read_back_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "on_host", lambda _: False)
    for wrong in (4, -1, -100):  # what nobody looked at, torch's kernel refuses: -100 among them
        with pytest.raises(Exception, match="out of bounds"):
            classifier()(normal(2), [0, wrong])
    term = classifier(torch.float32)
    with FakeTensorMode(allow_non_fake_inputs=True):
        sketches, photos = torch.randn(6, DIM, requires_grad=True), torch.randn(5, DIM, requires_grad=True)
        labels, photo_labels = torch.zeros(6, dtype=torch.int64), torch.zeros(5, dtype=torch.int64)
        torch.autograd.backward(term(sketches, labels, photos, photo_labels))
        assert sketches.grad is not None


def test_a_recipe_fills_in_classes_and_dim() -> None:
    objective = build_objective({"quadruplet": {}, "classification": {"weight": 0.5}}, classes=7, dim=3)
    term = objective.parts["classification"]
    assert isinstance(term, Classification)
    assert term.classifier.weight.shape == (7, 3)
    assert repr(objective).endswith("+ 0.5 * Classification(classes=7, scale=10)")
    assert {name for name in objective.state_dict() if "classification" in name} == {
        "parts.classification.classifier.weight",
        "parts.classification.classifier.bias",
    }
    with pytest.raises(InkseekError, match="classification: classes is missing"):
        build_objective({"classification": {}})
    with pytest.raises(InkseekError, match="rdvc: no distance"):
        (classifier() + RDVC()).require_whole()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 0}, "classification: classes must be a whole number of at least 1, not 0"),
        ({"dim": 2.0}, "classification: dim must be a whole number of at least 1, not 2.0"),
        ({"scale": 0}, "classification: scale must be above 0, not 0"),
        ({"smoothing": 1}, "classification: smoothing must be at least 0 and below 1, not 1"),
    ],
)
def test_wrong_options_are_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InkseekError) as error:
        Classification(**{"classes": 4, "dim": 5, **options})
    assert str(error.value) == message


def test_embeddings_of_another_dimension_are_an_error() -> None:
    with pytest.raises(InkseekError, match="classification: embeddings have 3 dimensions, and its dim is 5"):
        classifier()(normal(2, 3), [0, 1])


def test_descent_learns_classes_that_a_nearest_photo_then_finds() -> None:
    labels = torch.arange(16) % CLASSES
    sketches, photos, term = normal(16), normal(16, seed=1), classifier()
    optimiser = torch.optim.Adam([sketches, photos, *term.parameters()], lr=0.05)
    first = term(sketches, labels, photos, labels).item()
    for _ in range(100):
        optimiser.zero_grad()
        loss = term(sketches, labels, photos, labels)
        torch.autograd.backward(loss)
        optimiser.step()
    assert loss.item() < 0.05 < first
    nearest = Batch(sketches, labels, photos, labels).relations("cosine").distance.argmin(1)
    assert (labels[nearest] == labels).double().mean() > 0.9
