"""Learned margins of unseen classes: collected by class, and drawn in the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from inkseek.datasets.items import Items
from inkseek.datasets.protocol import Protocol
from inkseek.errors import InkseekError
from inkseek.evaluation.evaluate import Embeddings, Evaluation, evaluate_embeddings
from inkseek.evaluation.margins import margins_by_class
from inkseek.evaluation.report import write_report
from inkseek.images.preprocessing import Domain
from inkseek.margins.relation_network import RelationNetwork
from inkseek.models.bundle import Model
from inkseek.models.card import Card
from inkseek.models.embedder import Embedder

CLASSES = ["<cat>", "dog"]


class _Backbone(nn.Module):
    num_features = 4


def items(domain: Domain, each: int) -> Items:
    every = [(label, n) for label in range(len(CLASSES)) for n in range(each)]
    rows = [(Path(f"{domain}{label}{n}.png"), CLASSES[label], domain, "", "") for label, n in every]
    return Items.from_rows(rows, CLASSES)


def unit(rows: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    x = np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


@pytest.fixture
def evaluation() -> Evaluation:
    queries, gallery = items("sketch", 3), items("photo", 5)
    return evaluate_embeddings(unit(6, 0), unit(10, 1), Protocol("toy/unseen", queries, gallery), model="toy")


def model(margin: RelationNetwork | None) -> Model:
    card = Card(backbone="toy", dim=None, image_size=32, mean=(0, 0, 0), std=(1, 1, 1), preprocessing=1)
    return Model(Embedder(_Backbone(), None), card, margin=margin)


def test_every_item_has_its_own_margin_under_its_class(evaluation: Evaluation) -> None:
    torch.manual_seed(0)
    network = RelationNetwork(4, granularity="class")
    nn.init.normal_(network.out.weight)
    ours = model(network)
    found = margins_by_class(ours, evaluation)
    assert list(found) == ["sketch", "photo"]
    sides: list[tuple[Domain, Embeddings, int]] = [
        ("sketch", evaluation.query_embeddings, 3),
        ("photo", evaluation.gallery_embeddings, 5),
    ]
    for domain, embeddings, each in sides:
        expected = ours.margins(embeddings, domain)
        assert expected.std() > 0
        for label, name in enumerate(CLASSES):
            np.testing.assert_array_equal(found[domain][name], expected[label * each : (label + 1) * each])


def test_a_model_without_a_margin_says_how_to_get_one(evaluation: Evaluation) -> None:
    with pytest.raises(InkseekError, match="ramln-emoji"):
        margins_by_class(model(None), evaluation)


def test_the_report_draws_them(evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkseek.evaluation.report.retrieval_grid", lambda *_, **__: None)  # there are no pictures
    margins = margins_by_class(model(RelationNetwork(4)), evaluation)
    for name, given in (("with", margins), ("without", None)):
        write_report(tmp_path / name, title="toy", before=None, after=evaluation, log=[], margins=given)
    page = (tmp_path / "with").read_text(encoding="utf-8")
    assert "Learned margins" in page
    assert 'aria-label="learned margin of each class"' in page
    assert "&lt;cat&gt;" in page
    assert "<cat>" not in page
    assert "Learned margins" not in (tmp_path / "without").read_text(encoding="utf-8")
