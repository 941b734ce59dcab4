"""Checkpoints: everything that a run needs to go on as if it had never stopped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from inkseek.errors import InkseekError

_STATE = "state.pt"
_FIGURES = "figures.json"


class Checkpoints:
    """The folder `checkpoints/` of a run: `step-N/`, and the one-line files `last` and `best` that name one of them.

    A checkpoint is written beside and renamed, and the one-line files are replaced whole, so that a kill at any moment
    leaves the previous checkpoint. Only the last and the best are kept.

    Args:
        folder: the run's `checkpoints`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, step: int, state: dict[str, Any], figures: dict[str, float | None], *, best: bool) -> None:
        """Write the state after `step` steps and make it the last, and the best where it is.

        Raises:
            InkseekError: the folder cannot be written or the disk is full; the previous checkpoint stands.
        """
        target = self.folder / f"step-{step}"
        beside: Path | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in self.folder.glob(".step-*"):  # by a run that was killed while it wrote
                shutil.rmtree(left, ignore_errors=True)
            beside = Path(tempfile.mkdtemp(prefix=".step-", dir=self.folder))
            torch.save(state, beside / _STATE)
            (beside / _FIGURES).write_text(json.dumps(figures) + "\n", encoding="utf-8")
            for file in (_STATE, _FIGURES):
                _flush(beside / file)
            if target.exists():
                shutil.rmtree(target)
            beside.rename(target)
            self._point("last", target.name)
            if best:
                self._point("best", target.name)
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise InkseekError(
                f"{target}: the checkpoint cannot be written ({reason}); the previous one stands: make room, then "
                "go on with --resume"
            ) from None
        finally:
            if beside is not None:
                shutil.rmtree(beside, ignore_errors=True)
        kept = {self._pointed("last"), self._pointed("best")}
        for old in self.folder.glob("step-*"):
            if old.name not in kept:
                shutil.rmtree(old, ignore_errors=True)

    def read(self, which: str = "last") -> tuple[dict[str, Any], dict[str, float | None]] | None:
        """Return the state and figures of the `last` or `best` checkpoint, or None where there is none.

        Nothing is unpickled beyond tensors, numbers and containers of them.

        Raises:
            InkseekError: the checkpoint is torn or is none.
        """
        name = self._pointed(which)
        if name is None:
            return None
        folder = self.folder / name
        try:
            state = torch.load(folder / _STATE, map_location="cpu", weights_only=True)
            figures = json.loads((folder / _FIGURES).read_text(encoding="utf-8"))
        except Exception as error:  # hostile bytes trip the restricted unpickler in ways of their own
            reason = " ".join(str(error).split())[:160]
            raise InkseekError(
                f"{folder}: not a checkpoint ({reason}); remove {self.folder.parent} to start again"
            ) from None
        if not isinstance(state, dict) or not isinstance(figures, dict):
            raise InkseekError(f"{folder}: not a checkpoint; remove {self.folder.parent} to start again")
        return state, figures

    def _pointed(self, which: str) -> str | None:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            name = (self.folder / which).read_text(encoding="utf-8").strip()
            if name.startswith("step-") and name.removeprefix("step-").isdecimal():
                return name
        return None

    def _point(self, which: str, name: str) -> None:
        beside = self.folder / f".{which}"
        beside.write_text(name + "\n", encoding="utf-8")
        _flush(beside)
        beside.replace(self.folder / which)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
