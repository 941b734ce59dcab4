"""The loop on real pictures: it learns, stops, is killed, goes on, and ends where it would have ended anyway."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from inkseek.datasets.records import pseudo_unseen
from inkseek.errors import InkseekError
from inkseek.models.bundle import Model, load
from inkseek.training.checkpoint import Checkpoints
from inkseek.training.log import read_log
from inkseek.training.plan import Plan
from inkseek.training.recipe import Recipe, load_recipe
from inkseek.training.trainer import Interrupted, train

SMALL = [
    "data.image_size=32",
    "batch.classes=3",
    "batch.sketches=2",
    "batch.photos=2",
    "optim.steps=8",
    "validate.every=3",
    "model.dim=8",
    "model.head=kept",
    "validate.on=pseudo-unseen",
    "threads=1",
]


class Watcher:
    """Keeps what a run says; asks it to stop after a step, as Ctrl-C would."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.steps: list[int] = []
        self.validations: list[int] = []
        self.advice: list[tuple[int, str]] = []

    def started(self, plan: Plan, step: int) -> None:
        self.plan, self.start = plan, step

    def stepped(self, step: int, figures: Mapping[str, float]) -> None:
        self.steps.append(step)
        if step == self.stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    def validated(self, step: int, metric: str, value: float, best: bool) -> None:
        self.validations.append(step)

    def warned(self, step: int, advice: str) -> None:
        self.advice.append((step, advice))


def recipe(root: Path, *more: str) -> Recipe:
    return load_recipe("quickdraw-rdvc", [f"data.root={root}", *SMALL, *more])


def run(root: Path, folder: Path, *more: str, resume: bool = False, stop_after: int | None = None) -> Watcher:
    watcher = Watcher(stop_after)
    train(recipe(root, *more), folder, name="quickdraw-rdvc", resume=resume, reporter=watcher)
    return watcher


def whole_and_stopped(root: Path, folder: Path, *more: str) -> Model:
    """Run in `whole` at once, and in `stopped` with a stop on the way; the weights are the same. Return the first's."""
    model = train(recipe(root, *more), folder / "whole", name="x", resume=False, reporter=Watcher())
    with pytest.raises(Interrupted):
        run(root, folder / "stopped", *more, stop_after=4)
    run(root, folder / "stopped", *more, resume=True)
    assert same(folder / "whole", folder / "stopped")
    return model


@pytest.fixture(scope="module")
def uninterrupted(tiny_quickdraw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    watcher = run(tiny_quickdraw, folder)
    assert watcher.steps == list(range(1, 9))
    assert watcher.validations == [3, 6, 8]
    return folder


def weights(folder: Path, which: str = "last") -> dict[str, torch.Tensor]:
    read = Checkpoints(folder / "checkpoints").read(which)
    assert read is not None
    embedder: dict[str, torch.Tensor] = read[0]["embedder"]
    return embedder


def same(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def equal(one: object, other: object) -> bool:
    """Whether two checkpoints, or what they are made of, are the same to the bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return (
            isinstance(other, dict) and one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
        )
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(equal, one, other))
    return one == other


def logged(folder: Path) -> list[dict[str, float]]:
    """The log without what a clock says."""
    return [{k: v for k, v in row.items() if k != "images/s"} for row in read_log(folder / "log.jsonl")]


def test_a_run_leaves_what_it_says(uninterrupted: Path) -> None:
    names = sorted(path.name for path in uninterrupted.iterdir())
    assert names == ["bundle", "checkpoints", "environment.json", "log.jsonl", "recipe.yaml"]
    model = load(uninterrupted)
    assert (model.dim, model.image_size, model.card.recipe) == (8, 32, "quickdraw-rdvc")
    rows = read_log(uninterrupted / "log.jsonl")
    assert [row["step"] for row in rows if "validation mAP@all" in row] == [3, 6, 8]
    (row,) = (row for row in rows if "loss" in row)
    assert {"loss", "triplet", "rdvc", "sec", "triplet.active", "triplet.mean", "triplet.variance", "lr"} <= set(row)
    assert row["images/s"] > 0


def test_the_bundle_is_the_best_checkpoint(uninterrupted: Path) -> None:
    read = Checkpoints(uninterrupted / "checkpoints").read("best")
    assert read is not None
    state = load(uninterrupted).embedder.state_dict()
    assert all(torch.equal(state[key], value) for key, value in read[0]["ema"].items())
    values = {r["step"]: r["validation mAP@all"] for r in read_log(uninterrupted / "log.jsonl") if len(r) == 2}
    assert load(uninterrupted).card.step == max(values, key=lambda step: (values[step], -step))


def test_stopped_and_resumed_is_as_never_stopped(uninterrupted: Path, tiny_quickdraw: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(Interrupted, match=r"after step 4.*--resume"):
        run(tiny_quickdraw, folder, stop_after=4)
    assert run(tiny_quickdraw, folder, resume=True).steps == [5, 6, 7, 8]
    assert same(folder, uninterrupted)
    assert load(folder).fingerprint == load(uninterrupted).fingerprint
    assert logged(folder) == logged(uninterrupted)


def test_workers_change_nothing(uninterrupted: Path, tiny_quickdraw: Path, tmp_path: Path) -> None:
    run(tiny_quickdraw, tmp_path / "run", "workers=2")
    assert same(tmp_path / "run", uninterrupted)


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.soak)])
def test_killed_and_resumed_is_as_never_killed(kills: int, tiny_quickdraw: Path, tmp_path: Path) -> None:
    """Killed after some progress, at any moment of a step, a validation or the writing of a checkpoint.

    The run is longer than can be seen to its end; what it has come to is held against one of just so many steps, which
    under constant rates is its beginning.
    """
    settings = [*SMALL, f"data.root={tiny_quickdraw}", "optim.schedule=constant"]
    overrides = [item for one in (*settings, "optim.steps=1000000") for item in ("--set", one)]
    folder, last = tmp_path / "run", tmp_path / "run" / "checkpoints" / "last"
    command = [sys.executable, "-m", "inkseek", "train", "quickdraw-rdvc", *overrides, "--run", str(folder), "--resume"]
    chance = random.Random(0)
    for _ in range(kills):
        before = last.read_text() if last.exists() else None
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and (not last.exists() or last.read_text() == before):
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 1))
        process.kill()
        assert process.wait() == -signal.SIGKILL
    steps = int(last.read_text().removeprefix("step-"))
    assert steps >= 3 * kills
    run(tiny_quickdraw, tmp_path / "whole", "optim.schedule=constant", f"optim.steps={steps}")
    whole, killed = (Checkpoints(tmp_path / name / "checkpoints").read() for name in ("whole", "run"))
    assert whole is not None
    assert killed is not None
    assert equal(whole, killed), "weights, average, optimiser, objective, figures: everything, to the bit"


def test_a_finished_run_is_opened_not_trained(uninterrupted: Path, tiny_quickdraw: Path) -> None:
    assert run(tiny_quickdraw, uninterrupted, resume=True).steps == []


def test_a_folder_is_never_taken_from_another_run(uninterrupted: Path, tiny_quickdraw: Path, tmp_path: Path) -> None:
    with pytest.raises(InkseekError, match="holds a run already"):
        run(tiny_quickdraw, uninterrupted)
    with pytest.raises(InkseekError, match="another recipe"):
        run(tiny_quickdraw, uninterrupted, "seed=5", resume=True)
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(InkseekError, match="not empty and not a run"):
        run(tiny_quickdraw, tmp_path)


def test_a_torn_picture_is_named_once_and_replaced(tiny_quickdraw: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_quickdraw, root)
    held_out = set(pseudo_unseen("quickdraw-photo"))
    torn = [folder / "1.jpg" for folder in sorted((root / "photo").iterdir()) if folder.name not in held_out]
    for path in torn:
        path.write_bytes(path.read_bytes()[:40])
    watcher = run(root, tmp_path / "run")
    assert watcher.steps == list(range(1, 9))
    named = [advice for _, advice in watcher.advice if "unreadable" in advice]
    assert named
    assert len(named) == len(set(named))
    assert {str(path) for path in torn} >= {line.split(": ")[1] for line in named}
    run(root, tmp_path / "again", "workers=2")
    assert same(tmp_path / "run", tmp_path / "again")


NOTHING_CHANGES = "augment={flip: 0, rotation: 0, scale: 1, stroke: 0, colour: 0, grey: 0}"
ON_FEATURES = ("model.tune=head", NOTHING_CHANGES)


def test_a_head_on_kept_features_meets_torn_pictures_alike(tiny_quickdraw: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_quickdraw, root)
    held_out = set(pseudo_unseen("quickdraw-photo"))
    torn = [folder / "1.jpg" for folder in sorted((root / "photo").iterdir()) if folder.name not in held_out]
    for path in torn:
        path.write_bytes(path.read_bytes()[:40])
    watcher = run(root, tmp_path / "run", *ON_FEATURES)
    assert watcher.plan.on_features
    named = [advice for _, advice in watcher.advice if "unreadable and replaced" in advice]
    on_pixels = run(root, tmp_path / "pixels", "model.tune=head", NOTHING_CHANGES.replace("colour: 0", "colour: 1e-9"))
    assert named == [advice for _, advice in on_pixels.advice if "unreadable and replaced" in advice]
    assert len(named) == len(set(named)) > 0
    run(root, tmp_path / "again", *ON_FEATURES, "workers=2")
    assert same(tmp_path / "run", tmp_path / "again")
    with pytest.raises(Interrupted):
        run(root, tmp_path / "stopped", *ON_FEATURES, stop_after=4)
    run(root, tmp_path / "stopped", *ON_FEATURES, resume=True)
    assert same(tmp_path / "run", tmp_path / "stopped")


@pytest.mark.parametrize("more", [(), ON_FEATURES])
def test_a_torn_picture_to_measure_on_ends_the_run_before_its_first_step(
    more: tuple[str, ...], tiny_quickdraw: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_quickdraw, root)
    torn = root / "photo" / sorted(pseudo_unseen("quickdraw-photo"))[0] / "1.jpg"
    torn.write_bytes(b"torn")
    watcher = Watcher()
    with pytest.raises(InkseekError) as caught:
        train(recipe(root, *more), tmp_path / "run", name="x", resume=False, reporter=watcher)
    said = str(caught.value)
    assert re.match(r"quickdraw-photo/pseudo-unseen: 1 of \d+ pictures .* cannot be read, .*validate\.on=none$", said)
    assert f"the first: {torn}: " in said
    assert watcher.steps == []
    run(root, tmp_path / "without", *more, "validate.on=none")


def test_a_class_without_a_readable_picture_stops_the_run(tiny_quickdraw: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_quickdraw, root)
    held_out = set(pseudo_unseen("quickdraw-photo"))
    for path in (root / "photo").glob("*/*.jpg"):
        if path.parent.name not in held_out:
            path.write_bytes(b"torn")
    with pytest.raises(InkseekError, match=r"no photo of class '\w+' can be read; the first: .*\.jpg"):
        run(root, tmp_path / "run")


def test_without_validation_all_seen_classes_train_and_the_last_step_is_kept(
    tiny_quickdraw: Path, tmp_path: Path
) -> None:
    watcher = run(tiny_quickdraw, tmp_path / "run", "validate.on=none")
    assert watcher.validations == []
    assert len(set(watcher.plan.training.labels.tolist())) == 40
    assert load(tmp_path / "run").card.step == 8


def test_a_dropped_head_leaves_the_backbones_feature(tiny_quickdraw: Path, tmp_path: Path) -> None:
    run(tiny_quickdraw, tmp_path / "kept", "model.head=kept")
    run(tiny_quickdraw, tmp_path / "dropped", "model.head=dropped")
    assert same(tmp_path / "kept", tmp_path / "dropped")
    kept, dropped = load(tmp_path / "kept"), load(tmp_path / "dropped")
    assert (kept.dim, dropped.dim) == (8, 1280)
    if kept.card.step == dropped.card.step:
        state = kept.embedder.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in dropped.embedder.state_dict().items())


def test_another_seed_is_another_run(uninterrupted: Path, tiny_quickdraw: Path, tmp_path: Path) -> None:
    run(tiny_quickdraw, tmp_path / "run", "seed=1")
    assert not same(tmp_path / "run", uninterrupted)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_pictures(tiny_quickdraw: Path, tmp_path: Path) -> None:
    with pytest.raises(InkseekError, match=r"the loss is (nan|inf) at step 2, .*not-finite\.json.*lower optim\.lr"):
        run(tiny_quickdraw, tmp_path / "run", "optim.lr.backbone=1e30", "optim.lr.head=1e30", "validate.every=100")
    said = json.loads((tmp_path / "run" / "not-finite.json").read_text())
    assert said["step"] == 2
    assert len(said["pictures"]) == 3 * (2 + 2)
    assert all(Path(path).is_file() for path in said["pictures"])


def test_what_the_objective_has_learned_goes_on_too(tiny_quickdraw: Path, tmp_path: Path) -> None:
    """Proxies, a ratio that is being found, and the step that draws depend on: all of it is in the checkpoint."""
    pytest.importorskip("pytorch_metric_learning", reason="the extra 'competitors' is not installed")
    more = (
        "objective.proxy_anchor={weight: 0.1}",
        "objective.rdvc={weight: {ratio: 0.5, steps: 5}, pairs: sampled}",
        "optim.lr.objective=0.1",
        "validate.on=none",
    )
    whole_and_stopped(tiny_quickdraw, tmp_path, *more)
    states = []
    for name in ("whole", "stopped"):
        read = Checkpoints(tmp_path / name / "checkpoints").read()
        assert read is not None
        states.append(read[0]["objective"])
    whole, stopped = states
    proxies = whole["parts.proxy_anchor.loss.proxies"]
    assert proxies.shape == (40, 8)
    assert torch.equal(proxies, stopped["parts.proxy_anchor.loss.proxies"])
    assert whole["parts.rdvc.draws._extra_state"] == stopped["parts.rdvc.draws._extra_state"] == {"step": 8}
    (logged,) = (row for row in read_log(tmp_path / "whole" / "log.jsonl") if "loss" in row)
    assert logged["rdvc.weight"] > 0
    assert logged["lr"] < 1e-3


def test_a_learned_margin_goes_on_too_and_is_in_the_bundle(tiny_quickdraw: Path, tmp_path: Path) -> None:
    more = (
        "batch={classes: 6, sketches: 2, photos: 2}",
        "objective={quadruplet: {smooth: softplus, margin: {kind: relation, memory: class}}, classification: {}}",
        "meta={every: 2, inner_rate: 5.0, lr: 0.05}",
        "validate.on=none",
    )
    trained = whole_and_stopped(tiny_quickdraw, tmp_path, *more)
    assert not any(module._forward_pre_hooks for module in trained.embedder.modules()), "nothing listens any more"
    read = Checkpoints(tmp_path / "whole" / "checkpoints").read()
    assert read is not None
    state = read[0]
    assert (state["bilevel"]["taken"], state["bilevel"]["skipped"]) == (4, 0)
    kept = {name: load(tmp_path / name) for name in ("whole", "stopped")}
    for model in kept.values():
        assert model.margin is not None
        for name, value in model.margin.state_dict().items():
            assert torch.equal(value, state["objective"][f"parts.quadruplet.margin.{name}"])
    (logged,) = (row for row in read_log(tmp_path / "whole" / "log.jsonl") if "loss" in row)
    assert logged["meta.skipped"] == 0
    assert 0.05 < logged["quadruplet.margin.min"] <= logged["quadruplet.margin"] <= logged["quadruplet.margin.max"] < 1
    embeddings = np.eye(3, 8, dtype=np.float32)
    margins = kept["whole"].margins(embeddings, "sketch")
    assert margins.shape == (3,)
    assert np.array_equal(margins, kept["stopped"].margins(embeddings, "sketch"))
    assert not np.array_equal(margins, kept["whole"].margins(embeddings, "photo"))
    assert kept["whole"].without_head().margin is None


def test_cropped_photos_train_and_the_bundle_crops_too(tiny_quickdraw: Path, tmp_path: Path) -> None:
    whole_and_stopped(tiny_quickdraw, tmp_path, "data.resize=48", "validate.on=none")
    model = load(tmp_path / "whole")
    assert (model.image_size, model.card.resize) == (32, 48)
    run(tiny_quickdraw, tmp_path / "squeezed", "validate.on=none")
    assert not same(tmp_path / "squeezed", tmp_path / "whole")


def test_a_run_that_learns_nothing_says_so_once(
    tiny_quickdraw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inkseek.training.trainer.LOG_EVERY", 1)
    watcher = run(tiny_quickdraw, tmp_path / "run", "objective={triplet: {margin: -5}}", "validate.on=none")
    assert [step for step, _ in watcher.advice] == [3]
    assert watcher.advice[0][1].startswith("triplet has hardly an active tuple left (0.00%): raise the margin")
