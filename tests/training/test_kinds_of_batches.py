"""Every kind of batch trains end to end: photos alone, sketches against photos, everything against everything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from inkseek.datasets.items import Items
from inkseek.errors import InkseekError
from inkseek.models.bundle import Model, load
from inkseek.models.embedding import embed_items
from inkseek.training.features import open_source
from inkseek.training.learner import Learner
from inkseek.training.loader import open_loader
from inkseek.training.log import read_log
from inkseek.training.plan import Plan, make_plan
from inkseek.training.processes import Processes
from inkseek.training.recipe import Recipe, load_recipe
from inkseek.training.reporting import Reporter
from inkseek.training.trainer import train

ALONE = Processes(0, 1, torch.device("cpu"))


def recipe(root: Path, name: str, batch: str, *more: str) -> Recipe:
    overrides = [
        f"data={{name: {name}, root: '{root}', image_size: 32}}",
        f"batch={batch}",
        "model={dim: 8}",
        "optim.steps=4",
        "optim.ema=0",
        "threads=1",
        *more,
    ]
    return load_recipe("quickdraw-rdvc", overrides)


@pytest.fixture(scope="module")
def tiny_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sketches named after their photos, two of each: 8 classes of 3 objects."""
    root = tmp_path_factory.mktemp("data") / "pairs"
    for label in range(8):
        for number in range(3):
            points = [tuple(p) for p in np.random.default_rng(10 * label + number).integers(8, 56, (5, 2)).tolist()]
            photo = Image.new("RGB", (64, 64), (20 * label, 140, 90))
            ImageDraw.Draw(photo).polygon(points, fill=(200, 60, 40))
            sketch = Image.new("L", (64, 64), 255)
            ImageDraw.Draw(sketch).line([*points, points[0]], fill=0, width=2)
            for domain, picture, names in (
                ("photo", photo, [f"n{number}.jpg"]),
                ("sketch", sketch, [f"n{number}-1.png", f"n{number}-2.png"]),
            ):
                for name in names:
                    path = root / domain / f"class{label}" / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    picture.save(path)
    return root


@pytest.mark.parametrize(
    ("batch", "metric"),
    [("{classes: 3, photos: 2}", "R@1"), ("{photos: 6}", "mAP@R"), ("{classes: 3, photos: 5}", "R@1")],
)
def test_photos_alone_train_and_validate_on_pseudo_unseen_classes(
    tiny_photos: Path, tmp_path: Path, silent: Reporter, batch: str, metric: str
) -> None:
    validate = f"validate={{every: 2, on: pseudo-unseen, metric: {metric}}}"
    train(recipe(tiny_photos, "own", batch, validate), tmp_path / "run", name="x", resume=False, reporter=silent)
    model = load(tmp_path / "run")
    assert model.dim == 8
    values = [row[f"validation {metric}"] for row in read_log(tmp_path / "run" / "log.jsonl") if len(row) == 2]
    assert len(values) == 2
    if metric == "R@1":
        held = make_plan(recipe(tiny_photos, "own", batch, validate), "x").protocol
        assert held is not None
        assert max(values) == pytest.approx(nearest_is_alike(model, held.gallery), abs=1e-6)


def nearest_is_alike(model: Model, items: Items) -> float:
    """Share of pictures whose nearest other picture is of their class, one by one."""
    rows = embed_items(model, items, cached=False)
    hits = 0
    for i in range(len(items)):
        others = [j for j in range(len(items)) if j != i]
        best = max(others, key=lambda j: float(rows[i] @ rows[j]))
        hits += items.labels[best] == items.labels[i]
    return hits / len(items)


@pytest.mark.parametrize("batch", ["{classes: 2, pairs: 2}", "{pairs: 5}", "{pairs: 5, anchors: both}"])
def test_pairs_train_at_instance_level(tiny_pairs: Path, tmp_path: Path, silent: Reporter, batch: str) -> None:
    validate = "validate={every: 4, on: pseudo-unseen, metric: Acc@1}"
    train(recipe(tiny_pairs, "own", batch, validate), tmp_path / "run", name="x", resume=False, reporter=silent)
    assert any("validation Acc@1" in row for row in read_log(tmp_path / "run" / "log.jsonl"))


def learned(made: Recipe) -> tuple[Learner, list[float]]:
    plan = make_plan(made, "x")
    learner = Learner(plan, ALONE)
    pixels = open_source(plan, ALONE)
    losses = [
        float(learner.learn(step, read).loss)
        for step, read in enumerate(open_loader(pixels, plan.batches, 0, 1, ALONE, 0), start=1)
    ]
    return learner, losses


def test_both_domains_as_anchors_are_one_domain_that_knows_where_pictures_come_from(tiny_quickdraw: Path) -> None:
    kinds = {}
    for anchors in ("sketches", "both"):
        made = recipe(tiny_quickdraw, "quickdraw-photo", f"{{classes: 3, sketches: 2, photos: 2, anchors: {anchors}}}")
        plan = make_plan(made, "x")
        learner = Learner(plan, ALONE)
        pixels = open_source(plan, ALONE)
        (read,) = open_loader(pixels, plan.batches, 0, 1, ALONE, 0)
        kinds[anchors] = learner.learn(1, read).batch
    apart, together = kinds["sketches"], kinds["both"]
    assert (len(apart.anchors), len(apart.candidates), apart.one_domain) == (6, 6, False)
    assert (len(together.anchors), together.one_domain) == (12, True)
    assert together.domains is not None
    assert together.domains[0].tolist() == [0] * 6 + [1] * 6
    assert torch.equal(together.anchor_labels, torch.cat((apart.anchor_labels, apart.candidate_labels)))
    torch.testing.assert_close(together.anchors, apart.everyone)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ("{classes: 3, sketches: 2, photos: 2}", "sketches does not fit own, which holds photos alone"),
        ("{classes: 3, pairs: 2}", "pairs does not fit own"),
        ("{classes: 3, photos: 2, anchors: both}", "anchors: both does not fit own"),
        ("{classes: 30, photos: 2}", "batch.classes is 30"),
    ],
)
def test_what_does_not_fit_photos_alone_says_what_does(tiny_photos: Path, batch: str, message: str) -> None:
    with pytest.raises(InkseekError, match=message):
        make_plan(recipe(tiny_photos, "own", batch), "x")


def test_what_does_not_fit_sketches_and_photos_says_what_does(tiny_quickdraw: Path) -> None:
    with pytest.raises(InkseekError, match=r"which holds sketches too: write batch: \{classes: P, sketches: K"):
        make_plan(recipe(tiny_quickdraw, "quickdraw-photo", "{classes: 3, photos: 2}"), "x")


def test_fewer_classes_are_spread_over_the_seen_ones(tiny_photos: Path) -> None:
    plan = make_plan(recipe(tiny_photos, "own", "{classes: 2, photos: 2}", "data.classes=3"), "x")
    every = make_plan(recipe(tiny_photos, "own", "{classes: 2, photos: 2}"), "x").training
    labels = np.unique(plan.training.labels).tolist()
    seen = np.unique(every.labels).tolist()
    assert len(seen) > len(labels) == 3
    assert {labels[0], labels[-1]} == {seen[0], seen[-1]}
    for label in labels:
        assert (plan.training.labels == label).sum() == (every.labels == label).sum()
    with pytest.raises(InkseekError, match=r"data.classes: 99 of \d+ classes that can be trained on"):
        make_plan(recipe(tiny_photos, "own", "{classes: 2, photos: 2}", "data.classes=99"), "x")


STILL = "augment={flip: 0, rotation: 0, scale: 1, stroke: 0, colour: 0, grey: 0}"


def test_a_head_alone_learns_the_same_from_features_as_from_pixels(
    tiny_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for on_features in (True, False):
        plan = make_plan(recipe(tiny_photos, "own", "{classes: 3, photos: 2, parts: 2}", "model.tune=head", STILL), "x")
        assert plan.on_features
        with monkeypatch.context() as patch:
            patch.setattr(Plan, "on_features", on_features)
            learner = Learner(plan, ALONE)
            before = {key: value.clone() for key, value in plan.model.embedder.backbone.state_dict().items()}
            loader = open_loader(open_source(plan, ALONE), plan.batches, 0, 4, ALONE, 0)
            results.append([float(learner.learn(step, read).loss) for step, read in enumerate(loader, start=1)])
        assert all(torch.equal(value, before[key]) for key, value in plan.model.embedder.backbone.state_dict().items())
    assert len(set(results[0])) == 4
    # Adam's first update is the gradient's sign, so that rounding in what is nearly zero shows from the second step on.
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-4)
    assert results[0] == pytest.approx(results[1], rel=0.05)


@pytest.mark.parametrize("other", ["model.tune=full", "augment.flip=0.5", "precision=float64"])
def test_features_stand_for_pictures_only_where_they_never_change(tiny_photos: Path, other: str) -> None:
    made = recipe(tiny_photos, "own", "{classes: 3, photos: 2}", "model.tune=head", STILL, other)
    assert not make_plan(made, "x").on_features


def test_a_part_needs_a_picture(tiny_photos: Path) -> None:
    with pytest.raises(InkseekError, match=r"batch\.parts is 9, but a process has only 6 places"):
        learned(recipe(tiny_photos, "own", "{classes: 3, photos: 2, parts: 9}"))


def test_half_precision_trains_the_same_loss_in_full_precision(tiny_photos: Path) -> None:
    results = {}
    for precision in ("float32", "bfloat16", "float64"):
        learner, losses = learned(recipe(tiny_photos, "own", "{classes: 3, photos: 2}", f"precision={precision}"))
        assert {p.dtype for p in learner.embedder.parameters()} == {
            torch.float64 if precision == "float64" else torch.float32
        }
        results[precision] = losses
    assert results["float32"] == pytest.approx(results["float64"], rel=1e-3)
    assert results["bfloat16"] == pytest.approx(results["float32"], rel=0.2)
    assert results["bfloat16"] != results["float32"]
