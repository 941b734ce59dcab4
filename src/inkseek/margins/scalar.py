"""One learned margin for all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inkseek.margins.interval import Interval
from inkseek.relations import Batch


class ScalarMargin(nn.Module):
    """The margin m_min + (m_max - m_min) sigmoid(b) of a single learned number b.

    Args:
        interval: m_min and m_max.
        start: the margin before the first step, inside of the interval.

    Raises:
        InkseekError: `start` is outside of the interval.

    Source:
        A margin as one meta-learned parameter: Bhunia et al., Adaptive fine-grained sketch-based image retrieval, ECCV
        2022.
    """

    def __init__(self, *, interval: Interval = Interval(), start: float = 0.3) -> None:  # noqa: B008 - frozen
        super().__init__()
        self.interval = interval
        self.place = nn.Parameter(torch.tensor(interval.place(start)))

    def forward(self, batch: Batch) -> Tensor:  # noqa: ARG002
        """The margin, 0-d."""
        return self.interval(self.place)
