"""A term with a margin: a number, a tensor by class or by anchor, a parameter, or a module that reads the batch."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from inkseek.errors import InkseekError
from inkseek.losses.term import RelationTerm, number
from inkseek.relations import Batch, Level, Metric

Margin = float | Tensor | nn.Module


class MarginTerm(RelationTerm):
    """A relation-based term whose tuples should be a margin apart.

    Args:
        margin: a number or 0-d tensor; a tensor [classes] gives each anchor that of its label, one of 0..classes-1; a
            tensor [anchors, 1] gives each its own. A parameter is learned, another tensor is kept as a buffer. A module
            is called with the batch and returns such a tensor.
        distance: as for every relation-based term.
        level: as for every relation-based term.
        name: as for every term.

    Raises:
        InkseekError: a margin that is not finite, or a tensor of another shape or type.
    """

    def __init__(self, margin: Margin, distance: Metric, level: Level | None, name: str | None) -> None:
        super().__init__(distance, level, name)
        self.margin: Any
        if isinstance(margin, nn.Module | nn.Parameter):
            self.margin = margin
        elif isinstance(margin, Tensor):
            self.register_buffer("margin", margin)
        else:
            self.margin = number(self, "margin", margin)
        if isinstance(margin, Tensor):
            self._check(margin)

    def margins(self, batch: Batch, distance: Tensor) -> Tensor:
        """Every anchor's margin, [anchors, 1] in the distances' own precision.

        Raises:
            InkseekError: the margins are not as many as the anchors.
        """
        if isinstance(self.margin, nn.Module):
            margin = cast(Tensor, self.margin(batch))
            self._check(margin)
        elif isinstance(self.margin, Tensor):
            margin = self.margin
        else:
            # A number is filled in where the distances lie; made here and copied there, it would wait for the device.
            margin = distance.new_full((), self.margin)
        margin = margin.to(distance)
        if margin.ndim == 1:
            margin = margin[batch.anchor_labels, None]
        try:
            return margin.expand(len(distance), 1)
        except RuntimeError:
            raise InkseekError(
                f"{self.name}: {len(margin)} margins, one for each anchor, meet {len(distance)} anchors"
            ) from None

    def learned_margins(self, batch: Batch) -> Tensor | None:
        """Every anchor's margin, detached, [anchors, 1]; None where it is a number or a fixed tensor."""
        if not isinstance(self.margin, nn.Module | nn.Parameter):
            return None
        with torch.no_grad():
            return self.margins(batch, batch.relations(self.distance, self.level).distance)

    def _check(self, margin: Tensor) -> None:
        if not margin.is_floating_point() or margin.ndim > 2 or (margin.ndim == 2 and margin.shape[1] != 1):
            raise InkseekError(f"{self.name}: a margin tensor must be floats [], [classes] or [anchors, 1]")

    def extra_repr(self) -> str:
        """Margin and distance, and the level where one is given."""
        margin = self.margin
        if isinstance(margin, Tensor):
            margin = f"tensor{list(margin.shape)}"
        elif isinstance(margin, nn.Module):
            margin = type(margin).__name__
        level = f", level={self.level!r}" if self.level else ""
        return f"margin={margin}, distance={self.distance!r}{level}"
