"""What a head is trained on where nothing below it changes: the backbone's features, computed once and kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from inkseek.datasets.items import Items
from inkseek.models.embedding import readable_features
from inkseek.training.loader import Inputs, Source
from inkseek.training.pixels import TrainingPixels
from inkseek.training.plan import Plan
from inkseek.training.processes import Processes


class TrainingFeatures(Source):
    """Draws to rows of features.

    Args:
        items: what draws refer to.
        rows: float32 [N, d], their features.
        unreadable: what is wrong with items that have none.
        seed: of the run.
    """

    def __init__(self, items: Items, rows: npt.NDArray[np.float32], unreadable: Mapping[int, str], seed: int) -> None:
        super().__init__(items, seed)
        self.rows, self.unreadable = rows, unreadable

    def read(self, index: int) -> Inputs | str:
        """Return an item's features."""
        return self.unreadable[index] if index in self.unreadable else np.asarray(self.rows[index])


def open_source(plan: Plan, processes: Processes) -> Source:
    """Return what batches are read from: pixels, or features where a frozen backbone always gives the same ones."""
    recipe, model = plan.recipe, plan.model
    if not plan.on_features:
        return TrainingPixels(plan.training, model.prepare, recipe.augment.build(model.prepare), recipe.seed)
    # The others find in the cache what the first has computed.
    processes.on_first(lambda: readable_features(model, plan.training))
    return TrainingFeatures(plan.training, *readable_features(model, plan.training), recipe.seed)
