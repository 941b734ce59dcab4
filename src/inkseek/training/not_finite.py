"""A loss that is no longer a number: noticed at the step, and kept with the pictures that it came from."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from inkseek.datasets.items import Items
from inkseek.errors import InkseekError
from inkseek.training.processes import Processes


class FiniteWatch:
    """Looks at every step's loss once the next step is under way, so that a GPU never waits for the host to look.

    Args:
        run: the run's folder.
        items: what the batches are drawn from.
        processes: this process among the run's.
    """

    def __init__(self, run: Path, items: Items, processes: Processes) -> None:
        self.run, self.items, self.processes = run, items, processes
        self._pending: tuple[int, Tensor, npt.NDArray[np.int64]] | None = None

    def watch(self, step: int, loss: Tensor, index: npt.NDArray[np.int64]) -> None:
        """Look at the step before, and remember this one.

        Raises:
            InkseekError: the step before was not finite.
        """
        self.settle()
        self._pending = step, loss, index

    def settle(self) -> None:
        """Look at the last step now, as before anything of it is written.

        Raises:
            InkseekError: it was not finite; the batch is in `not-finite.json`.
        """
        if self._pending is None:
            return
        step, loss, index = self._pending
        self._pending = None
        value = float(loss)  # the whole batch's, so that all processes see the same
        if math.isfinite(value):
            return
        paths = self.processes.gathered([str(self.items.paths[i]) for i in index])
        file = self.run / "not-finite.json"
        if self.processes.first:
            text = json.dumps({"step": step, "loss": str(value), "pictures": paths}, indent=1)
            try:
                file.write_text(text + "\n", encoding="utf-8")
            except OSError as error:
                raise InkseekError(
                    f"the loss is {value} at step {step}, and {file} cannot be written: {error}"
                ) from None
        raise InkseekError(
            f"{self.run}: the loss is {value} at step {step}, whose pictures are in {file.name}; the last checkpoint "
            "stands: lower optim.lr, or set optim.clip"
        )
