"""Two real processes train what one trains: same batches, same augmentation, same weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from inkseek.training.checkpoint import Checkpoints
from inkseek.training.log import read_log
from inkseek.training.recipe import load_recipe
from inkseek.training.trainer import train
from test_kinds_of_batches import Silent

# 9 sketches and 9 photos a batch: two processes have unequal shares. In float64 only the order of sums differs.
SETTINGS = [
    "data.image_size=32",
    "batch={classes: 3, sketches: 3, photos: 3}",
    "objective={triplet: {margin: 0.5}, rdvc: {weight: 0.5, pairs: sampled}, sec: {weight: 0.1}}",
    "optim.steps=20",
    "optim.clip=1.0",
    "validate={every: 7, on: pseudo-unseen, metric: mAP@all}",
    "model.dim=8",
    "model.head=kept",
    "threads=1",
    "precision=float64",
    "workers=0",
]


def command(root: Path, run: Path, *more: str, resume: bool = False) -> list[str]:
    overrides = [item for one in (*SETTINGS, f"data.root={root}", *more) for item in ("--set", one)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    again = ["--resume"] if resume else []
    return [*torchrun, "-m", "--", "inkseek", "train", "quickdraw-rdvc", *overrides, "--run", str(run), *again]


def environment() -> dict[str, str]:
    loopback = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    return os.environ | loopback | {"OMP_NUM_THREADS": "1"}


def two_processes(root: Path, run: Path, *more: str, resume: bool = False) -> str:
    done = subprocess.run(
        command(root, run, *more, resume=resume), env=environment(), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def weights(run: Path, which: str = "last") -> dict[str, torch.Tensor]:
    read = Checkpoints(run / "checkpoints").read(which)
    assert read is not None
    embedder: dict[str, torch.Tensor] = read[0]["embedder"]
    return embedder


def logged(run: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "images/s"} for row in read_log(run / "log.jsonl")]


@pytest.fixture(scope="module")
def one(tiny_quickdraw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "one"
    recipe = load_recipe("quickdraw-rdvc", [*SETTINGS, f"data.root={tiny_quickdraw}"])
    train(recipe, folder, name="x", resume=False, reporter=Silent())
    return folder


@pytest.fixture(scope="module")
def two(tiny_quickdraw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "two"
    said = two_processes(tiny_quickdraw, folder)
    assert said.count("kept: step") == 1, "only the first process reports"
    return folder


def test_two_processes_agree_with_one_over_twenty_steps(one: Path, two: Path) -> None:
    for which in ("last", "best"):
        expected, ours = weights(one, which), weights(two, which)
        assert expected.keys() == ours.keys()
        for key, value in expected.items():
            torch.testing.assert_close(ours[key], value, rtol=0, atol=1e-8, msg=key)
    assert len(logged(one)) == len(logged(two)) == 5
    for ours_row, row in zip(logged(two), logged(one), strict=True):
        assert ours_row == pytest.approx(row, abs=1e-6)


def test_two_processes_in_parts_agree_too(one: Path, tiny_quickdraw: Path, tmp_path: Path) -> None:
    two_processes(tiny_quickdraw, tmp_path / "run", "batch.parts=2")
    for key, value in weights(one).items():
        torch.testing.assert_close(weights(tmp_path / "run")[key], value, rtol=0, atol=1e-8, msg=key)


def test_killed_and_resumed_by_two_is_as_never_killed(two: Path, tiny_quickdraw: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(
        command(tiny_quickdraw, run),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None and not (run / "checkpoints" / "last").exists():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert (run / "checkpoints" / "last").exists()
    two_processes(tiny_quickdraw, run, resume=True)
    assert all(torch.equal(value, weights(run)[key]) for key, value in weights(two).items())
    assert logged(run) == logged(two)


def test_live_batchnorm_is_said_to_be_of_each_process(tiny_quickdraw: Path, tmp_path: Path) -> None:
    said = two_processes(tiny_quickdraw, tmp_path / "run", "model.batchnorm=live", "optim.steps=2", "validate.on=none")
    assert "BatchNorm statistics are of each process's share" in " ".join(said.split())
