"""What a head is trained on where nothing below it changes: the backbone's features, computed once and kept."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from inkseek.datasets.sampling import Draw
from inkseek.models.embedding import backbone_features
from inkseek.training.pixels import Read, TrainingPixels
from inkseek.training.plan import Plan
from inkseek.training.processes import Processes


class TrainingFeatures(Dataset[Read]):
    """Draws to rows of features.

    Args:
        rows: float32 [N, d], the features of the training items.
    """

    def __init__(self, rows: npt.NDArray[np.float32]) -> None:
        self.rows = rows

    def __getitem__(self, draw: Draw) -> Read:
        """Return the features of one draw."""
        return Read(self.rows[draw.index], draw.index, ())


def open_source(plan: Plan, processes: Processes) -> Dataset[Read]:
    """Return what batches are read from: pixels, or features where a frozen backbone always gives the same ones.

    Raises:
        InkseekError: a picture whose features are wanted cannot be read.
    """
    recipe = plan.recipe
    if not plan.on_features:
        return TrainingPixels(plan.training, recipe.data.image_size, recipe.augment.build(), recipe.seed)
    # The others find in the cache what the first has computed.
    processes.on_first(lambda: backbone_features(plan.model, plan.training))
    return TrainingFeatures(backbone_features(plan.model, plan.training))
