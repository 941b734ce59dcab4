"""The interval that learned margins stay in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from inkseek.errors import InkseekError


@dataclass(frozen=True)
class Interval:
    """From m_min to m_max; any real number x stands for m_min + (m_max - m_min) sigmoid(x).

    Attributes:
        smallest: m_min.
        largest: m_max.

    Raises:
        InkseekError: m_min is not below m_max, or either is not finite.
    """

    smallest: float = 0.05
    largest: float = 1.0

    def __post_init__(self) -> None:
        if not -math.inf < self.smallest < self.largest < math.inf:
            raise InkseekError(f"margins from {self.smallest} to {self.largest}: write the smaller number first")

    def __call__(self, x: Tensor) -> Tensor:
        """The margins that real numbers stand for."""
        return self.smallest + (self.largest - self.smallest) * torch.sigmoid(x)

    def place(self, margin: float) -> float:
        """The real number that stands for a margin.

        Raises:
            InkseekError: the margin is not inside.
        """
        if not self.smallest < margin < self.largest:
            raise InkseekError(f"the margin starts at {margin}, not between {self.smallest} and {self.largest}")
        share = (margin - self.smallest) / (self.largest - self.smallest)
        return math.log(share / (1 - share))
