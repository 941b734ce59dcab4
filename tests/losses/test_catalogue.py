"""Losses by name: what a recipe may say, and what the list of losses shows."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from inkseek.errors import InkseekError
from inkseek.losses import RDVC, SEC, Triplet, build, build_objective, describe
from inkseek.losses.catalogue import TERMS


def test_builds_by_name() -> None:
    triplet = build("triplet", {"margin": 0.3, "distance": "cosine", "level": "instance", "name": "fine"})
    assert isinstance(triplet, Triplet)
    assert (triplet.margin, triplet.distance, triplet.level, triplet.name) == (0.3, "cosine", "instance", "fine")
    rdvc = build("rdvc", {"reduction": "sum"})
    assert isinstance(rdvc, RDVC)
    assert rdvc.reduction == "sum"
    assert isinstance(build("sec"), SEC)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tripplet", {}, "no loss is named 'tripplet'; did you mean 'triplet'?"),
        ("zzz", None, "no loss is named 'zzz'; there are: triplet, semi_hard_triplet, n_pair, "),
        ("triplet", {"margn": 1}, "triplet: no option is named 'margn'; did you mean 'margin'?"),
        ("rdvc", {"margin": 1}, "rdvc: no option is named 'margin'"),
        ("rdvc", {"pairs": "mine"}, "rdvc: pairs must be all or mined or sampled, not 'mine'; did you mean 'mined'?"),
        ("triplet", {"margin": "1"}, "triplet: margin must be a finite number, not '1'"),
        ("sec", {"rho": None}, "sec: rho must be a finite number, not None"),
    ],
)
def test_mistakes_are_one_line_errors(name: str, options: dict[str, Any] | None, message: str) -> None:
    with pytest.raises(InkseekError) as error:
        build(name, options)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_builds_an_objective_from_a_recipe() -> None:
    objective = build_objective({"triplet": {"margin": 0.5}, "rdvc": {"weight": 0.25, "pairs": "all"}, "sec": None})
    assert objective.weights == {"triplet": 1.0, "rdvc": 0.25, "sec": 1.0}
    embeddings = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    labels = [0, 0, 0, 1, 1, 1]
    expected = Triplet(margin=0.5) + 0.25 * RDVC() + SEC()
    assert torch.equal(objective(embeddings, labels), expected(embeddings, labels))


def test_a_recipe_may_hold_one_loss_twice() -> None:
    objective = build_objective(
        {"category": {"loss": "triplet", "level": "category"}, "instance": {"loss": "triplet", "weight": 2}}
    )
    assert objective.weights == {"category": 1.0, "instance": 2.0}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({}, "the objective is empty"),
        ({"tripplet": {}}, "did you mean 'triplet'"),
        ({"fine": {"loss": "tripplet"}}, "did you mean 'triplet'"),
        ({"sec": {"weight": "heavy"}}, "weight must be a finite number, not 'heavy'"),
        ({"sec": {"wieght": 1}}, "no option is named 'wieght'; did you mean 'weight'"),
        ({"sec": 1.0}, "sec: its options must be a mapping"),
    ],
)
def test_mistakes_in_a_recipe_are_errors(recipe: Any, message: str) -> None:
    with pytest.raises(InkseekError, match=message):
        build_objective(recipe)


def test_every_loss_is_described() -> None:
    descriptions = describe()
    assert [description.name for description in descriptions] == list(TERMS)
    for description in descriptions:
        assert description.summary.endswith(".")
        assert list(description.sections) == ["Formula", "Arguments", "Inputs", "Recommendations", "Source"]
        assert all(description.sections.values())
        assert all(f"{option}:" in description.sections["Arguments"] for option in description.options)
    assert descriptions[0].options == {"margin": 1.0, "distance": "sqeuclidean", "level": None, "name": None}
