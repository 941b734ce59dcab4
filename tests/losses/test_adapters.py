"""pytorch-metric-learning's losses as terms: constants, two domains, parameters, RDVC on top."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
import torch
from torch import Tensor

from inkseek.errors import InkseekError
from inkseek.losses import RDVC, SEC, Adapted, Batch, Triplet, build, build_objective, describe
from inkseek.losses.adapters import SoftTriple
from inkseek.losses.catalogue import COMPETITORS
from inkseek.losses.term import default_name

pytest.importorskip("pytorch_metric_learning", reason="the extra 'competitors' is not installed")

LABELS = torch.arange(24) % 4
NAMES = [default_name(term) for term in COMPETITORS]


def normal(rows: int = 24, dim: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def made(name: str) -> Adapted:
    torch.manual_seed(0)
    options = {option: value for option, value in (("classes", 4), ("dim", 8)) if option in described(name)}
    term = build(name, options)
    assert isinstance(term, Adapted)
    return term


def described(name: str) -> dict[str, Any]:
    return next(description for description in describe() if description.name == name).options


@pytest.mark.parametrize("name", NAMES)
def test_value_is_the_librarys_and_descent_separates_classes(name: str) -> None:
    term, embeddings = made(name), normal()
    assert term(embeddings, LABELS).item() == pytest.approx(float(term.loss(embeddings, LABELS)))
    if name == "soft_triple":  # with ten centres a class of six items never comes together
        term = SoftTriple(4, 8, centres=2)
    optimiser = torch.optim.Adam([embeddings, *term.parameters()], lr=0.05)
    for _ in range(300 if name == "soft_triple" else 100):
        optimiser.zero_grad()
        # A regulariser of variances, alone, would be content with any embedding.
        objective: Any = term if name != "intra_pair_variance" else Triplet() + 0.5 * term
        torch.autograd.backward(objective(embeddings, LABELS))
        optimiser.step()
    distance = Batch(embeddings, LABELS).relations("cosine").distance + 2 * torch.eye(24)
    assert (LABELS[distance.argmin(1)] == LABELS).double().mean().item() > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_two_domains(name: str) -> None:
    term, sketches, photos = made(name), normal(), normal(16, seed=1)
    value = term(sketches, LABELS, photos, LABELS[:16])
    if term.against:
        expected = term.loss(sketches, LABELS, ref_emb=photos, ref_labels=LABELS[:16])
    else:
        expected = term.loss(torch.cat([sketches, photos]), torch.cat([LABELS, LABELS[:16]]))
    torch.testing.assert_close(value, expected)
    torch.autograd.backward(value)
    assert photos.grad is not None
    assert photos.grad.any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("labels", [[0], [0, 0, 0], [0, 1, 2]])
def test_little_to_compare_is_finite_and_differentiable(name: str, labels: list[int]) -> None:
    embeddings = normal(len(labels))
    loss = made(name)(embeddings, labels)
    torch.autograd.backward(loss)
    assert loss.isfinite()
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_rdvc_rides_on_it_with_a_distance(name: str) -> None:
    objective = made(name) + 0.5 * RDVC("cosine") + 0.1 * SEC()
    embeddings = normal()
    loss = objective(embeddings, LABELS)
    torch.testing.assert_close(objective.terms["rdvc"], RDVC("cosine")(embeddings, LABELS).detach())
    assert loss.item() == pytest.approx(
        (objective.terms[name] + 0.5 * objective.terms["rdvc"] + 0.1 * objective.terms["sec"]).item()
    )
    with pytest.raises(InkseekError, match="or give distance="):
        (made(name) + RDVC())(embeddings, LABELS)
    with pytest.raises(InkseekError, match="there is no term that mines triplets"):
        (made(name) + RDVC("cosine", pairs="mined"))(embeddings, LABELS)


def test_any_loss_of_the_library_can_be_adapted() -> None:
    from pytorch_metric_learning.losses import NTXentLoss, TripletMarginLoss

    embeddings = normal()
    term = Adapted(TripletMarginLoss(), against=True)
    assert term.name == "tripletmarginloss"
    assert repr(term) == "Adapted(TripletMarginLoss)"
    assert term(embeddings, LABELS).item() == pytest.approx(TripletMarginLoss()(embeddings, LABELS).item())
    objective = Adapted(NTXentLoss(), name="ntxent") + 0.5 * RDVC("cosine")
    objective(embeddings, LABELS)
    assert list(objective.terms) == ["ntxent", "rdvc"]


def test_papers_constants() -> None:
    from pytorch_metric_learning import losses

    def inner(name: str) -> Any:
        return made(name).loss

    soft = inner("soft_triple")
    assert (soft.centers_per_class, soft.la, soft.gamma, soft.margin, soft.weight_reg_weight) == (10, 20, 10, 0.01, 0.2)
    ranked = inner("ranked_list")
    assert (ranked.margin, ranked.alpha, ranked.Tn, ranked.Tp, ranked.imbalance) == (0.4, 1.2, 10, 0, 0.5)
    assert (inner("circle").m, inner("circle").gamma) == (0.4, 80)
    assert (inner("proxy_anchor").margin, inner("proxy_anchor").alpha) == (0.1, 32)
    assert (inner("proxy_nca").softmax_scale, inner("tuplet_margin").scale) == (1, 64)
    assert isinstance(inner("generalized_lifted"), losses.GeneralizedLiftedStructureLoss)
    assert (inner("threshold_consistent_margin").margin_plus, inner("threshold_consistent_margin").margin_minus) == (
        0.9,
        0.5,
    )


def test_proxies_learn_and_live_in_the_state() -> None:
    objective = build_objective({"proxy_anchor": None, "rdvc": {"weight": 0.1, "distance": "cosine"}}, classes=4, dim=8)
    assert [name for name, _ in objective.named_parameters()] == ["parts.proxy_anchor.loss.proxies"]
    torch.autograd.backward(objective(normal(), LABELS))
    (proxies,) = objective.parameters()
    assert proxies.grad is not None
    assert proxies.grad.abs().sum(1).gt(0).all()
    twin = build_objective({"proxy_anchor": None, "rdvc": {"weight": 0.1, "distance": "cosine"}}, classes=4, dim=8)
    twin.load_state_dict(objective.state_dict())
    assert torch.equal(twin(normal(), LABELS), objective(normal(), LABELS))


def test_a_label_without_a_proxy_is_an_error() -> None:
    with pytest.raises(InkseekError, match=r"labels must be 0\.\.3, one for each of its 4 classes, not 0\.\.7"):
        made("proxy_anchor")(normal(), torch.arange(24) % 8)
    with pytest.raises(InkseekError, match="classes is missing"):
        build("proxy_anchor", {"dim": 8})


def test_without_the_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("pytorch_metric_learning"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InkseekError, match=r"pip install 'inkseek\[competitors\]'"):
        build("circle")


def test_another_version_of_the_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import pytorch_metric_learning

    monkeypatch.setattr(pytorch_metric_learning, "__version__", "3.0.1")
    with pytest.raises(InkseekError, match=r"pytorch-metric-learning 3.0.1 is installed, and 2.9 is needed"):
        build("circle")


def test_inside_a_plain_loop_of_the_library() -> None:
    """Its sampler, its miner's data flow, our objective in the place of its loss."""
    from pytorch_metric_learning.samplers import MPerClassSampler
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 6
    points = torch.eye(6)[labels] + 0.2 * torch.randn(60, 6, generator=generator)
    torch.manual_seed(0)
    model = torch.nn.Linear(6, 4)
    loss_func = Triplet(margin=0.3) + 0.1 * RDVC()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(points, labels), batch_size=24, sampler=MPerClassSampler(labels, 4, 24, 240)
    )
    calculator = AccuracyCalculator(include=("precision_at_1",), k=1)

    def precision() -> float:
        with torch.no_grad():
            return float(calculator.get_accuracy(model(points), labels)["precision_at_1"])

    before = precision()
    for _ in range(6):
        for data, target in loader:
            optimiser.zero_grad()
            embeddings = model(data)
            loss = loss_func(embeddings, target)
            torch.autograd.backward(loss)
            optimiser.step()
    assert precision() > max(before, 0.9)
