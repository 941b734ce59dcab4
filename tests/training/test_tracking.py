"""TensorBoard's files hold what the log holds, of resumed runs once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from inkseek.errors import InkseekError
from inkseek.training.tracking import Tracker


def test_tensorboard_holds_the_figures_and_forgets_what_is_written_again(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra 'tracking' is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = Tracker(tmp_path, "tensorboard", keep=0)
    for step in (10, 20, 30):
        first.write(step, {"loss": step / 10, "validation mAP@all": 0.5})
    first.close()
    again = Tracker(tmp_path, "tensorboard", keep=20)
    again.write(30, {"loss": 7.0})
    again.close()
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [(event.step, event.value) for event in read.Scalars("loss")] == [(10, 1.0), (20, 2.0), (30, 7.0)]
    assert "validation/mAP@all" in read.Tags()["scalars"]


def test_nothing_is_written_unless_asked_for(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path, None, keep=0)
    tracker.write(1, {"loss": 1.0})
    tracker.close()
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InkseekError, match=r"pip install 'inkseek\[tracking\]'"):
        Tracker(tmp_path, "tensorboard", keep=0)
