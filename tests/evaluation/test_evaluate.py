"""A model on a protocol, from pictures to named figures, with a real network and pictures drawn here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

import inkseek
from inkseek.datasets.items import Items
from inkseek.datasets.protocol import Protocol
from inkseek.errors import InkseekError
from inkseek.evaluation.evaluate import evaluate_embeddings, evaluate_items
from inkseek.images.preprocessing import Domain
from inkseek.metrics.names import CATEGORY_METRICS
from inkseek.metrics.ranking import rank
from inkseek.models.bundle import Model

CLASSES = ("disc", "box", "cross")


def draw(path: Path, shape: str, nth: int, domain: Domain) -> None:
    paper, ink = ("white", "black") if domain == "sketch" else ((230, 240, 250), (200, 60 + 40 * nth, 30))
    picture = Image.new("RGB", (120, 120), paper)
    pen = ImageDraw.Draw(picture)
    box = (20 + 6 * nth, 20, 100, 100 - 8 * nth)
    fill = None if domain == "sketch" else ink
    if shape == "disc":
        pen.ellipse(box, outline=ink, width=4, fill=fill)
    elif shape == "box":
        pen.rectangle(box, outline=ink, width=4, fill=fill)
    else:
        pen.line((box[0], box[1], box[2], box[3]), fill=ink, width=8)
        pen.line((box[0], box[3], box[2], box[1]), fill=ink, width=8)
    picture.save(path)


def items(folder: Path, domain: Domain, *, instances: bool = True) -> Items:
    rows = []
    for shape in CLASSES:
        for nth in range(3):
            path = folder / f"{domain}-{shape}-{nth}.png"
            draw(path, shape, nth, domain)
            rows.append((path, shape, domain, str(nth) if instances else "", "drawn"))
    return Items.from_rows(rows, CLASSES)


def test_a_real_model_on_drawn_pictures(tmp_path: Path, frozen_model: Model) -> None:
    queries, gallery = items(tmp_path, "sketch"), items(tmp_path, "photo")
    seen: list[tuple[int, int]] = []
    protocol = Protocol("drawn", queries, gallery, ("a note",))
    done = evaluate_items(frozen_model, protocol, progress=lambda *at: seen.append(at))
    metrics = done.results.metrics
    assert list(metrics) == [
        "mAP@all",
        "mAP@200 strict",
        "mAP@200 lenient",
        "P@100",
        "P@100 (min)",
        "mAP@all (VOC)",
        "mAP@200 strict (VOC)",
        "Acc@1",
        "Acc@5",
        "Acc@10",
    ]
    assert metrics["Acc@10"] == 1  # of 9 pictures
    assert metrics["P@100"] == pytest.approx(0.03)  # 3 relevant ones among 100 places
    assert metrics["mAP@all"] > 0.5  # 3 of 9 by chance
    assert done.results.counts == {"classes": 3, "queries": 9, "gallery": 9, "excluded": 0}
    assert done.results.fingerprint == frozen_model.fingerprint
    assert done.results.model == "frozen"
    assert done.results.notes == ("a note",)
    assert seen[-1] == (18, 18)
    assert [at for at, _ in seen] == sorted(at for at, _ in seen)
    own = rank(
        done.query_embeddings, queries.instances, done.gallery_embeddings, gallery.instances, metrics=["Acc@1"]
    ).micro()
    assert metrics["Acc@1"] == own["Acc@1"]


def test_the_public_evaluate_opens_protocol_and_model(
    tmp_path: Path, frozen_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Protocol("drawn/unseen", items(tmp_path, "sketch"), items(tmp_path, "photo"), ("NON-STANDARD: drawn",))
    monkeypatch.setattr("inkseek.evaluation.evaluate.open_protocol", lambda *_: opened)
    results = inkseek.evaluate(str(frozen_bundle), "drawn/unseen", root=tmp_path)
    assert results.protocol == "drawn/unseen"
    assert not results.standard
    assert "NON-STANDARD: drawn" in str(results)


def plain_items(labels: list[int], domain: Domain, instances: list[int] | None = None) -> Items:
    n = len(labels)
    return Items(
        paths=tuple(Path(f"{domain}-{i}.png") for i in range(n)),
        labels=np.array(labels),
        domains=np.full(n, domain),
        instances=np.full(n, -1) if instances is None else np.array(instances),
        sources=np.full(n, ""),
        classes=CLASSES,
    )


def toy(queries: Items, gallery: Items, **how: Any) -> Protocol:
    return Protocol("toy", queries, gallery, **how)


def test_instance_level_needs_instances_on_both_sides() -> None:
    x = np.eye(3, dtype=np.float32)
    one_side = evaluate_embeddings(
        x, x, toy(plain_items([0, 1, 2], "sketch", [0, 1, 2]), plain_items([0, 1, 2], "photo")), model="toy"
    )
    assert "Acc@1" not in one_side.results.metrics


def test_p_at_100_min_stands_beside_only_where_it_differs() -> None:
    rng = np.random.default_rng(0)
    q, g = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(240, 3)).astype(np.float32)
    many = evaluate_embeddings(
        q, g, toy(plain_items([0, 1, 0, 1], "sketch"), plain_items([0, 1] * 120, "photo")), model="toy"
    )
    assert list(many.results.metrics) == list(CATEGORY_METRICS)


def test_a_query_without_relevant_items_is_noted() -> None:
    x = np.eye(3, dtype=np.float32)
    done = evaluate_embeddings(
        x, x, toy(plain_items([0, 1, 2], "sketch"), plain_items([0, 1, 1], "photo")), model="toy"
    )
    assert done.results.counts["excluded"] == 1
    assert any("at category level, in no mean: 1" in note for note in done.results.notes)
    assert done.results.metrics["mAP@all"] == pytest.approx((1 + (1 + 2 / 3) / 2) / 2, abs=0.2)


def test_collapse_prints_both_bounds_and_no_gain() -> None:
    x = np.ones((6, 4), dtype=np.float32)
    labels = [0, 0, 1, 1, 2, 2]
    done = evaluate_embeddings(x, x, toy(plain_items(labels, "sketch"), plain_items(labels, "photo")), model="toy")
    metrics = done.results.metrics
    assert metrics["mAP@all (VOC)"] < metrics["mAP@all"] < metrics["mAP@all (VOC) optimistic"] == 1
    assert done.results.tie_rate == 1
    assert any("both bounds" in note and "mAP@all (VOC)" in note for note in done.results.notes)


def test_what_cannot_be_measured_is_said() -> None:
    x = np.eye(3, dtype=np.float32)
    full, empty = plain_items([0, 1, 2], "sketch"), plain_items([], "photo")
    with pytest.raises(InkseekError, match="nothing to measure"):
        evaluate_embeddings(x, x[:0], toy(full, empty), model="toy")
    with pytest.raises(InkseekError, match="leaves its convention open"):
        evaluate_embeddings(x, x, toy(full, full), model="toy", metrics=["mAP"])
    with pytest.raises(InkseekError, match="Acc@1 asks for a sketch's own photo"):
        evaluate_embeddings(x, x, toy(full, full), model="toy", metrics=["Acc@1"])
    paired = plain_items([0, 1, 2], "sketch", [0, 1, 2])
    with pytest.raises(InkseekError, match="category and at instance level"):
        evaluate_embeddings(x, x, toy(paired, paired), model="toy", metrics=["MRR"], instance_metrics=["MRR"])


def test_acc_is_of_the_instance_level_wherever_it_is_asked_for() -> None:
    """The photo of the same class stands first, the sketch's own photo second."""
    q, g = np.array([[1.0, 0.0]], dtype=np.float32), np.array([[0.6, 0.8], [1.0, 0.0]], dtype=np.float32)
    sketch, photos = plain_items([0], "sketch", [5]), plain_items([0, 0], "photo", [5, 6])
    for metrics, more in ((["Acc@1", "Acc@2"], []), ([], ["Acc@1", "Acc@2"])):
        done = evaluate_embeddings(q, g, toy(sketch, photos), model="toy", metrics=metrics, instance_metrics=more)
        assert dict(done.results.metrics) == {"Acc@1": 0.0, "Acc@2": 1.0}
