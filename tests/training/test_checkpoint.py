"""A checkpoint is there whole or not at all, and nothing hostile is unpickled."""

from __future__ import annotations

import os
import pickle
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
