"""A tracker holds what the log holds, of resumed runs too, and never decides on a run's fate."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import tracking as theirs

from inkseek.errors import InkseekError
from inkseek.models.bundle import load
from inkseek.training.log import read_log
from inkseek.training.plan import Plan, make_plan
from inkseek.training.recipe import Recipe, load_recipe
from inkseek.training.tracking import Tracker
from inkseek.training.trainer import Interrupted, train

ROWS = {
    10: {"loss": 1.0, "triplet": 1.0, "triplet.active": 0.5},
    20: {"loss": 2.0, "validation mAP@all": 0.5},
    30: {"loss": 3.0},
}
SETTINGS = {"seed": 0, "optim": {"lr": {"head": 0.001}, "clip": None}, "data": {"name": "emoji"}, "list": [1]}


def write(tracker: Tracker, steps: list[int]) -> None:
    for step in steps:
        tracker.write(step, ROWS[step])
    tracker.close()


@pytest.fixture
def mlflow_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """MLflow's plain files: a store without a server or a network."""
    store = tmp_path / "store"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    yield store
    import mlflow

    mlflow.end_run()


def mlflow_runs() -> list[Any]:
    import mlflow

    client = mlflow.MlflowClient()
    return list(client.search_runs([of.experiment_id for of in client.search_experiments()]))


def mlflow_history(run: Any, key: str) -> list[tuple[int, float]]:
    import mlflow

    return sorted((m.step, m.value) for m in mlflow.MlflowClient().get_metric_history(run.info.run_id, key))


def test_tensorboard_holds_the_figures_and_forgets_what_is_written_again(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write(Tracker(tmp_path, "tensorboard", keep=0, settings=SETTINGS), [10, 20, 30])
    again = Tracker(tmp_path, "tensorboard", keep=20, settings=SETTINGS)
    again.write(30, {"loss": 7.0})
    again.close()
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [(event.step, event.value) for event in read.Scalars("loss")] == [(10, 1.0), (20, 2.0), (30, 7.0)]
    assert {"validation/mAP@all", "triplet/active"} < set(read.Tags()["scalars"])
    assert [path.name for path in tmp_path.iterdir()] == ["tensorboard"]


@pytest.mark.usefixtures("mlflow_store")
def test_mlflow_holds_figures_and_settings_and_a_resumed_run_is_the_same_one(tmp_path: Path) -> None:
    folder = tmp_path / "my run"
    folder.mkdir()
    write(Tracker(folder, "mlflow", keep=0, settings=SETTINGS), [10, 20])
    write(Tracker(folder, "mlflow", keep=20, settings=SETTINGS), [30])
    (run,) = mlflow_runs()
    assert (run.info.run_name, run.info.status) == ("my run", "FINISHED")
    assert run.data.params == {"seed": "0", "optim.lr.head": "0.001", "data.name": "emoji", "list": "[1]"}
    assert mlflow_history(run, "loss") == [(10, 1.0), (20, 2.0), (30, 3.0)]
    assert mlflow_history(run, "validation mAP_all") == [(20, 0.5)]
    assert mlflow_history(run, "triplet.active") == [(10, 0.5)]


def test_one_process_of_several_tracks_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher's variables do not make accelerate wait for the others, who track nothing."""
    from accelerate import PartialState

    PartialState._reset_state()
    for name, value in (("LOCAL_RANK", "0"), ("WORLD_SIZE", "2"), ("RANK", "0")):
        monkeypatch.setenv(name, value)
    write(Tracker(tmp_path, "tensorboard", keep=0, settings=SETTINGS), [10])
    assert PartialState().num_processes == 1
    assert not torch.distributed.is_initialized()
    assert os.environ["LOCAL_RANK"] == "0"


def test_nothing_is_written_unless_asked_for(tmp_path: Path) -> None:
    write(Tracker(tmp_path, None, keep=0, settings=SETTINGS), [10])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("missing", "name", "message"),
    [
        ("accelerate.tracking", "tensorboard", r"needs accelerate.*pip install 'inkseek\[tracking\]'"),
        (None, "tensorboard", r"track: tensorboard needs a package.*pip install 'inkseek\[tracking\]'"),
        (None, "comet_ml", "track: comet_ml needs a package that is not installed: pip install comet-ml"),
    ],
)
def test_a_package_that_is_missing_is_named_before_anything_is_done(
    missing: str | None, name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    else:
        monkeypatch.setattr(theirs, "_available_trackers", [])
    with pytest.raises(InkseekError, match=message):
        make_plan(load_recipe("emoji-rdvc", [f"track={name}", "data.root=nowhere"]), "x")


def test_a_service_that_cannot_start_is_one_line(
    mlflow_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")  # MLflow refuses its plain files then, in many lines
    with pytest.raises(InkseekError, match=r"^track: mlflow cannot start \(.*\)$") as caught:
        Tracker(tmp_path, "mlflow", keep=0, settings=SETTINGS)
    assert "\n" not in str(caught.value)


class Watcher:
    """Asks a run to stop after a step; breaks the tracker's store before another."""

    def __init__(self, stop_after: int | None = None, spoil: Path | None = None) -> None:
        self.stop_after, self.spoil = stop_after, spoil
        self.advice: list[str] = []

    def started(self, plan: Plan, step: int) -> None: ...
    def validated(self, step: int, metric: str, value: float, best: bool) -> None: ...

    def stepped(self, step: int, figures: Mapping[str, float]) -> None:
        if step == self.stop_after:
            os.kill(os.getpid(), signal.SIGINT)
        if step == 1 and self.spoil is not None:
            self.spoil.rename(self.spoil.with_name("gone"))
            self.spoil.write_text("no folder any more")

    def warned(self, step: int, advice: str) -> None:
        self.advice.append(advice)


def recipe(root: Path, *more: str) -> Recipe:
    return load_recipe(
        "quickdraw-rdvc",
        [
            f"data.root={root}",
            "data.image_size=32",
            "batch={classes: 3, sketches: 2, photos: 2}",
            "optim.steps=4",
            "model.dim=8",
            "validate={every: 2, on: pseudo-unseen}",
            "threads=1",
            *more,
        ],
    )


def run(made: Recipe, folder: Path, watcher: Watcher, *, resume: bool = False) -> None:
    train(made, folder, name="x", resume=resume, reporter=watcher)


def test_a_tracked_run_stopped_and_resumed_is_as_one_that_was_neither(
    mlflow_store: Path, tiny_quickdraw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inkseek.training.trainer.LOG_EVERY", 1)
    threads = torch.get_num_threads()
    run(recipe(tiny_quickdraw), tmp_path / "plain", Watcher())
    tracked = recipe(tiny_quickdraw, "track=mlflow")
    watchers = Watcher(stop_after=3), Watcher()
    with pytest.raises(Interrupted):
        run(tracked, tmp_path / "tracked", watchers[0])
    run(tracked, tmp_path / "tracked", watchers[1], resume=True)
    assert [watcher.advice for watcher in watchers] == [[], []]
    assert load(tmp_path / "tracked").fingerprint == load(tmp_path / "plain").fingerprint
    assert json.loads((tmp_path / "tracked" / "tracker.json").read_text())["id"] == mlflow_runs()[0].info.run_id
    rows = read_log(tmp_path / "tracked" / "log.jsonl")
    (of,) = mlflow_runs()
    assert mlflow_history(of, "loss") == [(row["step"], row["loss"]) for row in rows if "loss" in row]
    assert [step for step, _ in mlflow_history(of, "validation mAP_all")] == [2, 4]
    assert of.data.params["optim.lr.head"] == "0.001"
    torch.set_num_threads(threads)


def test_a_tracker_that_fails_on_the_way_costs_a_warning_and_not_the_run(
    mlflow_store: Path, tiny_quickdraw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inkseek.training.trainer.LOG_EVERY", 1)
    watcher = Watcher(spoil=mlflow_store)
    run(recipe(tiny_quickdraw, "track=mlflow", "validate.on=none"), tmp_path / "run", watcher)
    (said,) = watcher.advice
    assert said.startswith("track: mlflow failed, and is not written to any more (")
    assert said.endswith("the run's figures are in log.jsonl")
    assert len(read_log(tmp_path / "run" / "log.jsonl")) == 4
    assert load(tmp_path / "run").card.step == 4
