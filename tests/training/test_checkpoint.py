"""A checkpoint is there whole or not at all, and nothing hostile is unpickled."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from inkseek.errors import InkseekError
from inkseek.training.checkpoint import Checkpoints


def test_last_and_best_are_kept_and_the_rest_is_not(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.read() is None
    for step, best in ((1, True), (2, True), (3, False), (4, False)):
        checkpoints.write(step, {"step": step, "x": torch.tensor(step)}, {"best": 0.5}, best=best)
    last, best_one = checkpoints.read("last"), checkpoints.read("best")
    assert last is not None
    assert best_one is not None
    assert (last[0]["step"], best_one[0]["step"], last[1]) == (4, 2, {"best": 0.5})
    names = sorted(path.name for path in checkpoints.folder.iterdir())
    assert names == ["best", "last", "step-2", "step-4"]


def test_a_failed_write_leaves_the_previous_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(1, {"step": 1}, {}, best=True)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InkseekError, match=r"No space left.*previous one stands"):
        checkpoints.write(2, {"step": 2}, {}, best=True)
    read = checkpoints.read()
    assert read is not None
    assert read[0] == {"step": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "last", "step-1"]


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(1, {"step": 1}, {}, best=True)
    for content in (pickle.dumps(Evil()), b"", b"torn"):
        (tmp_path / "step-1" / "state.pt").write_bytes(content)
        with pytest.raises(InkseekError, match="not a checkpoint"):
            checkpoints.read()
    torch.save({"step": Evil()}, tmp_path / "step-1" / "state.pt")
    with pytest.raises(InkseekError, match="not a checkpoint"):
        checkpoints.read()
    assert not (tmp_path / "ran").exists()


def test_a_pointer_elsewhere_is_no_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    (tmp_path / "last").write_text("../../etc")
    assert checkpoints.read() is None


# Killed by itself at one moment of writing the second checkpoint: half of the state written; all of it, not yet
# renamed; renamed, not yet pointed at.
KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from inkseek.training import checkpoint

folder, moment = Path(sys.argv[1]), sys.argv[2]
checkpoints = checkpoint.Checkpoints(folder)
checkpoints.write(1, {"step": 1, "x": torch.ones(9)}, {"best": 0.5}, best=True)

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def half(state, path):
    path.write_bytes(b"PK half of it")
    die()

if moment == "half":
    torch.save = half
elif moment == "unnamed":
    Path.rename = die
else:
    Path.replace = die
checkpoints.write(2, {"step": 2, "x": torch.zeros(9)}, {"best": 0.7}, best=True)
"""


@pytest.mark.parametrize("moment", ["half", "unnamed", "unpointed"])
def test_a_kill_while_writing_leaves_the_previous_one(moment: str, tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), moment], check=False)
    assert killed.returncode == -signal.SIGKILL
    checkpoints = Checkpoints(tmp_path)
    for which in ("last", "best"):
        read = checkpoints.read(which)
        assert read is not None
        assert (read[0]["step"], read[1]) == (1, {"best": 0.5})
    checkpoints.write(2, {"step": 2}, {}, best=False)
    read = checkpoints.read()
    assert read is not None
    assert read[0]["step"] == 2
    left = {path.name for path in tmp_path.iterdir()} - {".last"}
    assert left == {"best", "last", "step-1", "step-2"}


FULL = """
import resource, sys
from pathlib import Path
import torch
from inkseek.errors import InkseekError
from inkseek.training.checkpoint import Checkpoints
from inkseek.training.log import Log

folder = Path(sys.argv[1])
log = Log(folder / "log.jsonl", keep=0)
checkpoints = Checkpoints(folder / "checkpoints")
checkpoints.write(1, {"step": 1}, {}, best=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for write in (
    lambda: checkpoints.write(2, {"x": torch.ones(100_000)}, {}, best=True),
    lambda: [log.write(step, {"loss": 1.0}) for step in range(2000)],
):
    try:
        write()
    except InkseekError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files here")
def test_no_room_is_one_line_and_the_previous_one_stands(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    checkpoint, log = done.stdout.splitlines()
    assert "step-2: the checkpoint cannot be written" in checkpoint
    assert "the previous one stands: make room, then go on with --resume" in checkpoint
    assert "log.jsonl: the log cannot be written (File too large); the last checkpoint stands" in log
    read = Checkpoints(tmp_path / "checkpoints").read()
    assert read is not None
    assert read[0]["step"] == 1
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["best", "last", "step-1"]
