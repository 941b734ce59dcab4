"""The relation network: a margin for every sample or class, from its embedding and what a memory knows of its like."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from inkseek.margins.interval import Interval
from inkseek.margins.memory import Memory, class_means
from inkseek.relations import Batch

Granularity = Literal["sample", "class"]


class RelationNetwork(nn.Module):
    """Margins R(x) = m_min + (m_max - m_min) sigmoid(W2 relu(W1 u + b1) + b2) with u = [z; r].

    z is the unit embedding, detached, so that the embedding cannot move its own margin; r is what z reads in the
    memory. Without a memory u is z alone. W2 starts at zero and b2 where R is `start`: training begins at the fixed
    margin.

    Args:
        dim: of the embeddings.
        memory: read before it is written; None for none.
        compared: u has also the distance by coordinate |z - r| and the cosine of z and r; needs a memory.
        hidden: rows of W1.
        interval: m_min and m_max.
        start: the margin before the first step, inside of the interval.
        granularity: `class` gives all of a batch's samples of a class their mean margin, `sample` each its own.

    Raises:
        InkseekError: `start` is outside of the interval.

    Source:
        Liu et al., arXiv 2412.00120: a network turns a sample's feature and the memory into its class's margin. Layers,
        bounds and start are choices made here; hidden sizes of this order are those of Shu et al., Meta-Weight-Net,
        NeurIPS 2019.
    """

    def __init__(
        self,
        dim: int,
        memory: Memory | None = None,
        *,
        compared: bool = False,
        hidden: int = 128,
        interval: Interval = Interval(),  # noqa: B008 - frozen
        start: float = 0.3,
        granularity: Granularity = "class",
    ) -> None:
        super().__init__()
        self.memory = memory
        self.compared = compared and memory is not None
        self.granularity, self.interval = granularity, interval
        inputs = dim if memory is None else 2 * dim + (dim + 1) * self.compared
        self.hidden, self.out = nn.Linear(inputs, hidden), nn.Linear(hidden, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.constant_(self.out.bias, interval.place(start))

    def forward(self, batch: Batch) -> Tensor:
        """The margins of a batch's anchors, [anchors, 1].

        Raises:
            InkseekError: the items' domains are unknown.
        """
        both, anchors = batch.union, len(batch.anchors)
        assert both.domains is not None, "a union knows its items' domains"
        margins = self.of(both.units[0].detach(), both.domains[0])
        if self.granularity == "sample":
            return margins[:anchors]
        alike = (batch.anchor_labels[:, None] == both.anchor_labels).to(margins)
        return alike @ margins / alike.sum(1, keepdim=True)

    def of(self, units: Tensor, domains: Tensor) -> Tensor:
        """The margin of every sample by itself, [samples, 1].

        Args:
            units: unit embeddings [samples, dim].
            domains: int64 [samples], 0 for sketches and 1 for photos.
        """
        u = units
        if self.memory is not None:
            r = self.memory.read(units, domains).vector
            parts = [units, r]
            if self.compared:
                parts += [(units - r).abs(), torch.cosine_similarity(units, r, dim=1)[:, None]]
            u = torch.cat(parts, dim=1)
        return self.interval(self.out(torch.relu(self.hidden(u))))

    def remember(self, batch: Batch) -> None:
        """Write a batch's class means into the memory, if there is one; after the batch's margins were read."""
        if self.memory is not None:
            self.memory.write(class_means(batch.union, self.memory.classes))
