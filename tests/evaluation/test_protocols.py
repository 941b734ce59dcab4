"""What a protocol asks for: self left out, clusters, class galleries; in the figures, the notes and the report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inkseek.datasets.items import Items
from inkseek.datasets.protocol import Protocol
from inkseek.errors import InkseekError
from inkseek.evaluation.evaluate import Evaluation, evaluate_embeddings, evaluate_items
from inkseek.evaluation.report import write_report
from inkseek.evaluation.retrieval_grid import retrieval_grid
from inkseek.images.preprocessing import Domain
from inkseek.metrics.clustering import cluster
from inkseek.metrics.ranking import rank
from inkseek.models.bundle import Model

CLASSES = ("ant", "bee", "cat")


def items(folder: Path, domain: Domain, each: int, *, instances: int = 0) -> Items:
    rows = []
    for label, name in enumerate(CLASSES):
        for nth in range(each):
            path = folder / f"{domain}-{name}-{nth}.png"
            Image.new("RGB", (40, 40), (60 * label, 12 * nth, 90)).save(path)
            rows.append((path, name, domain, str(nth % instances) if instances else "", ""))
    return Items.from_rows(rows, CLASSES)


def embed(of: Items, seed: int, noise: float = 1.0) -> Any:
    rng = np.random.default_rng(seed)
    fixed = np.random.default_rng(99)
    of_class, of_instance = fixed.normal(size=(3, 12)), fixed.normal(size=(64, 12))
    x = of_class[of.labels] + (of.instances >= 0)[:, None] * of_instance[of.instances]
    return (x + noise * rng.normal(size=x.shape)).astype(np.float32)


@pytest.fixture
def one_domain(tmp_path: Path) -> Evaluation:
    pictures = items(tmp_path, "photo", 8)
    x = embed(pictures, 0)
    protocol = Protocol(
        "toy/unseen", pictures, pictures, metrics=("R@1", "R@2", "mAP@R", "P@100"), leave_self_out=True, clustering=True
    )
    return evaluate_embeddings(x, x, protocol, model="toy")


def test_one_domain_leaves_self_out_by_path_and_clusters(one_domain: Evaluation) -> None:
    results, pictures, x = one_domain.results, one_domain.queries, one_domain.query_embeddings
    assert list(results.metrics) == ["R@1", "R@2", "mAP@R", "P@100", "P@100 (min)", "NMI", "AMI", "F1"]
    ids = np.arange(len(x))
    expected = rank(
        x, pictures.labels, x, pictures.labels, metrics=["R@1", "R@2", "mAP@R", "P@100"], query_ids=ids, gallery_ids=ids
    ).micro()
    assert {name: results.metrics[name] for name in expected} == expected
    assert expected["R@1"] < 1  # every query would find itself
    clusters = cluster(x, pictures.labels)
    assert {name: results.metrics[name] for name in ("NMI", "AMI", "F1")} == clusters.means()
    assert str(clusters) in results.notes
    assert any("never meets itself" in note for note in results.notes)


def test_queries_that_are_part_of_the_gallery_are_left_out_by_path(tmp_path: Path) -> None:
    pictures = items(tmp_path, "photo", 5)
    x = embed(pictures, 0)
    some = np.array([7, 2, 11])
    protocol = Protocol("toy", pictures.pick(some), pictures, metrics=("R@1",), leave_self_out=True)
    part = evaluate_embeddings(x[some], x, protocol, model="toy").results.per_query["R@1"]
    whole = Protocol("toy", pictures, pictures, metrics=("R@1",), leave_self_out=True)
    np.testing.assert_array_equal(part, evaluate_embeddings(x, x, whole, model="toy").results.per_query["R@1"][some])


def test_one_domain_is_embedded_once(tmp_path: Path, frozen_model: Model) -> None:
    pictures = items(tmp_path, "photo", 3)
    seen: list[tuple[int, int]] = []
    protocol = Protocol("toy", pictures, pictures, metrics=("R@1",), leave_self_out=True, clustering=True)
    done = evaluate_items(frozen_model, protocol, progress=lambda *at: seen.append(at), cached=False)
    assert seen[-1] == (9, 9)
    assert done.results.metrics["R@1"] > 1 / 3
    assert done.gallery_embeddings is done.query_embeddings


@pytest.fixture
def fine_grained(tmp_path: Path) -> Evaluation:
    sketches, photos = items(tmp_path, "sketch", 8, instances=4), items(tmp_path, "photo", 4, instances=4)
    notes = ("NON-STANDARD: 21 classes expected, found 3",)
    protocol = Protocol("fine/unseen", sketches, photos, notes, metrics=("Acc@1", "Acc@2"), class_galleries=True)
    return evaluate_embeddings(embed(sketches, 1), embed(photos, 2), protocol, model="toy", instance_metrics=("Acc@1",))


def test_acc_in_the_class_gallery_and_in_the_joint_one(fine_grained: Evaluation) -> None:
    metrics, done = fine_grained.results.metrics, fine_grained
    assert list(metrics) == [f"Acc@{k} ({which} gallery)" for which in ("class", "joint") for k in (1, 2)]
    scores = (
        done.query_embeddings
        @ (done.gallery_embeddings / np.linalg.norm(done.gallery_embeddings, axis=1, keepdims=True)).T
    )
    own = done.queries.instances[:, None] == done.gallery.instances
    same = done.queries.labels[:, None] == done.gallery.labels
    for which, met in (("class", same), ("joint", np.ones_like(same))):
        place = ((scores > scores[own][:, None]) & met).sum(axis=1)
        for k in (1, 2):
            name = f"Acc@{k} ({which} gallery)"
            np.testing.assert_array_equal(done.results.per_query[name], place < k, err_msg=name)
    assert metrics["Acc@1 (joint gallery)"] < metrics["Acc@1 (class gallery)"]


def test_chance_and_what_is_taken_to_be_known_are_noted(fine_grained: Evaluation) -> None:
    notes = fine_grained.results.notes
    assert notes[0].startswith("NON-STANDARD")
    assert not fine_grained.results.standard
    assert "chance: Acc@1 (class gallery) 0.2500, Acc@2 (class gallery) 0.5000" in notes
    assert "chance: Acc@1 (joint gallery) 0.0833, Acc@2 (joint gallery) 0.1667" in notes
    assert any("taken to be known" in note for note in notes)


def test_a_class_without_a_gallery_is_said(tmp_path: Path) -> None:
    sketches, photos = items(tmp_path, "sketch", 2, instances=2), items(tmp_path, "photo", 2, instances=2)
    protocol = Protocol("fine", sketches, photos.of(classes=["ant", "bee"]), class_galleries=True, metrics=("Acc@1",))
    with pytest.raises(InkseekError, match="class 'cat' has queries and no gallery"):
        evaluate_embeddings(embed(sketches, 1), embed(protocol.gallery, 2), protocol, model="toy")


def test_results_know_their_queries(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    digests = []
    for folder, each in ((here, 4), (there, 4), (here, 3)):
        folder.mkdir(exist_ok=True)
        pictures = items(folder, "photo", each)
        x = embed(pictures, 0)
        protocol = Protocol("toy", pictures, pictures, metrics=("R@1",), leave_self_out=True)
        digests.append(evaluate_embeddings(x, x, protocol, model="toy").results.queries)
    assert digests[0] == digests[1] != digests[2]


def test_reports_of_one_domain_and_of_class_galleries(
    one_domain: Evaluation, fine_grained: Evaluation, tmp_path: Path
) -> None:
    for evaluation, expected in (
        (one_domain, ("NMI", "k-means of seeds 0, 1, 2", "never meets itself", "R@1 1.000")),
        (fine_grained, ("NON-STANDARD", "Acc@1 (class gallery)", "of its own class's gallery", "chance: Acc@1")),
    ):
        path = tmp_path / "report.html"
        write_report(path, title="toy", before=evaluation, after=evaluation, log=[])
        text = re.sub(r"data:image[^\"]*", "", path.read_text(encoding="utf-8"))
        for part in expected:
            assert part in text.replace("&#39;", "'"), part
        assert ("own picture" in text) == (evaluation is fine_grained)
    rows = retrieval_grid([("after", one_domain)], "R@1", top=23)
    for row in rows:
        ((_, _, hits),) = row.rankings
        assert row.picture not in {hit.picture for hit in hits}
    assert len(rows) > 3


def test_many_classes_are_plotted_by_their_ends() -> None:
    from inkseek.evaluation.plots import class_figure

    (axes,) = class_figure(None, {f"c{n:04}": n / 5000 for n in range(5000)}, "R@1").axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == [f"c{n:04}" for n in (*range(30), *range(4970, 5000))]
    assert "30 best and the 30 worst of 5000" in axes.get_xlabel()
