"""TensorBoard, where a recipe asks for it: the log's figures once more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from inkseek.errors import InkseekError


class Tracker:
    """Writes what the log writes to `run/tensorboard`, or nowhere.

    Args:
        run: the run's folder.
        how: the recipe's `track`.
        keep: steps after this one are of a run that was cut off, and are written again.

    Raises:
        InkseekError: the package is not installed.
    """

    def __init__(self, run: Path, how: Literal["tensorboard"] | None, *, keep: int) -> None:
        self._writer = None
        if how is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise InkseekError(
                "track: tensorboard needs a package that is not installed: pip install 'inkseek[tracking]'"
            ) from None
        self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=keep + 1)

    def write(self, step: int, row: Mapping[str, float]) -> None:
        """Write one line of the log."""
        if self._writer is not None:
            for name, value in row.items():
                # TensorBoard groups what has a slash and knows no blanks.
                self._writer.add_scalar(name.replace(" ", "/").replace(".", "/"), value, step)

    def close(self) -> None:
        """Have everything on disk."""
        if self._writer is not None:
            self._writer.close()
