"""A margin in closed form: larger for an anchor far from its class's mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from inkseek.relations import Batch


class AnchorMargin(nn.Module):
    """Margins m_a = m_0 (1 - cos(z_a, c_a)), with c_a the unit mean of the batch's unit embeddings of a's class.

    The mean is of both domains, the anchor included. Nothing is learned, and nothing carries a gradient.

    Args:
        scale: m_0; margins are in [0, 2 m_0], and mostly below m_0.

    Source:
        The form follows what is said about Liu et al., Zero-shot sketch-based image retrieval via adaptive
        relation-aware metric learning, Pattern Recognition 2024 (a margin computed from each anchor in the embedding);
        its very formula is a choice made here.
    """

    def __init__(self, *, scale: float = 0.3) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, batch: Batch) -> Tensor:
        """The margins of a batch's anchors, [anchors, 1]."""
        anchors = batch.units[0].detach()
        everyone = anchors if batch.one_domain else torch.cat(batch.units).detach()
        alike = (batch.anchor_labels[:, None] == batch.everyone_labels).to(anchors)
        means = normalize(alike @ everyone, dim=1)
        return self.scale * (1 - (anchors * means).sum(1, keepdim=True))
