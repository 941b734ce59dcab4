"""Two real processes train what one trains: same batches, same augmentation, same weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from inkseek.training.checkpoint import Checkpoints
from inkseek.training.log import read_log
from inkseek.training.recipe import load_recipe
from inkseek.training.reporting import Reporter
from inkseek.training.trainer import train

# 9 sketches and 9 photos a batch: two processes have unequal shares. In float64 only the order of sums differs.
SETTINGS = [
    "data.image_size=32",
    "batch={classes: 3, sketches: 3, photos: 3}",
    "objective={triplet: {margin: 0.5}, rdvc: {weight: 0.5, pairs: sampled}, sec: {weight: 0.1}}",
    "optim.steps=20",
    "optim.clip=1.0",
    "validate={every: 15, on: pseudo-unseen, metric: mAP@all}",
    "model.dim=8",
    "model.head=kept",
    "threads=1",
    "precision=float64",
]

# What the bilevel step reads is gathered, so that every process learns the same margin and holds the same memory.
LEARNED_MARGIN = [
    "batch={classes: 7, sketches: 3, photos: 3}",
    "objective={quadruplet: {smooth: softplus, margin: {kind: relation, memory: lrua}}, classification: {}}",
    "meta={inner_rate: 5.0, lr: 0.05}",
    "optim.steps=8",
    "validate.on=none",
]

BACKBONE = "test_efficientnet"

# Run by each of two processes: the whole run at once; and in parts, stopped by a signal to one of them, and resumed.
WORKER = """
import os, signal, sys
from pathlib import Path
from torch import distributed
from inkseek.training.recipe import load_recipe
from inkseek.training.trainer import Interrupted, train

rank, store, folder, *overrides = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), *sys.argv[4:]
overrides, learned_margin = overrides[:overrides.index("--")], overrides[overrides.index("--") + 1:]
distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)

class Watcher:
    def __init__(self, stop_after=None):
        self.stop_after, self.steps, self.advice = stop_after, 0, []
    def started(self, plan, step): pass
    def validated(self, step, metric, value, best): pass
    def warned(self, step, advice): self.advice.append(advice)
    def stepped(self, step, figures):
        self.steps += 1
        if step == self.stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

def run(name, *more, watcher, resume=False):
    train(load_recipe("quickdraw-rdvc", [*overrides, *more]), folder / name, name="x", resume=resume, reporter=watcher)

watcher = Watcher()
run("two", watcher=watcher)
assert watcher.steps == (20 if rank == 0 else 0), "only the first process reports"
stopped = False
try:
    run("parts", "batch.parts=2", watcher=Watcher(stop_after=7))
except Interrupted:
    stopped = True
assert stopped, "a signal to one process stops both"
run("parts", "batch.parts=2", watcher=Watcher(), resume=True)
run("margin", *learned_margin, watcher=Watcher())
run("margin in parts", *learned_margin, "batch.parts=2", watcher=Watcher())
watcher = Watcher()
run("live", "model.batchnorm=live", "optim.steps=2", "batch.parts=2", "validate.on=none", watcher=watcher)
said = [advice.split(", not")[0] for advice in watcher.advice]
expected = [f"BatchNorm statistics are of each {of}" for of in (
    "process's share of the batch", "of the 2 parts of the batch")]
assert said == (expected if rank == 0 else []), said
distributed.destroy_process_group()
"""

LOOPBACK = os.environ | ({"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {})


def weights(run: Path, which: str = "last") -> dict[str, torch.Tensor]:
    read = Checkpoints(run / "checkpoints").read(which)
    assert read is not None
    embedder: dict[str, torch.Tensor] = read[0]["embedder"]
    return embedder


def logged(run: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "images/s"} for row in read_log(run / "log.jsonl")]


@pytest.fixture(scope="module")
def settings(tiny_quickdraw: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The recipe's overrides, with weights of a backbone that is quick."""
    torch.manual_seed(0)
    weights = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(timm.create_model(BACKBONE, pretrained=False).state_dict(), weights)
    return [*SETTINGS, f"data.root={tiny_quickdraw}", f"model.backbone={BACKBONE}", f"model.weights={weights}"]


@pytest.fixture(scope="module")
def runs(settings: list[str], tmp_path_factory: pytest.TempPathFactory, silent: Reporter) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                WORKER,
                str(rank),
                str(folder / "store"),
                str(folder),
                *settings,
                "--",
                *LEARNED_MARGIN,
            ],
            env=LOOPBACK,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    for name, more in (("one", []), ("margin of one", LEARNED_MARGIN)):
        recipe = load_recipe("quickdraw-rdvc", [*settings, *more])
        train(recipe, folder / name, name="x", resume=False, reporter=silent)
    return folder


@pytest.mark.parametrize("name", ["two", "parts"])
def test_two_processes_agree_with_one_over_twenty_steps(runs: Path, name: str) -> None:
    for which in ("last", "best"):
        expected, ours = weights(runs / "one", which), weights(runs / name, which)
        assert expected.keys() == ours.keys()
        for key, value in expected.items():
            torch.testing.assert_close(ours[key], value, rtol=0, atol=1e-8, msg=key)
    assert len(logged(runs / "one")) == 4
    for ours_row, row in zip(logged(runs / name), logged(runs / "one"), strict=True):
        assert ours_row == pytest.approx(row, abs=1e-6)


@pytest.mark.parametrize("name", ["margin", "margin in parts"])
def test_two_processes_learn_the_margin_that_one_learns(runs: Path, name: str) -> None:
    states = [Checkpoints(runs / of / "checkpoints").read() for of in ("margin of one", name)]
    (expected, ours) = (state[0] for state in states if state is not None)
    for part in ("embedder", "objective"):
        for key, value in expected[part].items():
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(ours[part][key], value, rtol=0, atol=1e-8, msg=key)
    margin = {key: value for key, value in ours["objective"].items() if ".margin." in key}
    assert margin["parts.quadruplet.margin.memory.usage"].sum() > 0
    assert margin["parts.quadruplet.margin.out.weight"].abs().max() > 1e-3, "it starts at zero"
    assert ours["bilevel"]["taken"] == expected["bilevel"]["taken"] == 8


def test_one_process_writes(runs: Path) -> None:
    names = sorted(path.name for path in (runs / "two").iterdir())
    assert names == ["bundle", "checkpoints", "environment.json", "log.jsonl", "recipe.yaml"]


def torchrun(settings: list[str], run: Path, *more: str) -> subprocess.Popen[str]:
    overrides = [item for one in (*settings, *more) for item in ("--set", one)]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    return subprocess.Popen(
        [*launcher, "inkseek", "train", "quickdraw-rdvc", *overrides, "--run", str(run), "--resume"],
        env=LOOPBACK | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_torchrun_starts_it_and_one_process_reports(settings: list[str], tmp_path: Path) -> None:
    process = torchrun(settings, tmp_path / "run", "optim.steps=2", "validate.on=none")
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert said.count("kept: step 2") == 1
    assert '"processes": 2' in (tmp_path / "run" / "environment.json").read_text()


@pytest.mark.soak
def test_two_processes_killed_and_resumed_are_as_never_killed(runs: Path, settings: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = torchrun(settings, run)
    while process.poll() is None and not (run / "checkpoints" / "last").exists():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert (run / "checkpoints" / "last").exists()
    again = torchrun(settings, run)
    said, _ = again.communicate(timeout=240)
    assert again.returncode == 0, said
    assert all(torch.equal(value, weights(run)[key]) for key, value in weights(runs / "two").items())
    assert logged(run) == logged(runs / "two")
