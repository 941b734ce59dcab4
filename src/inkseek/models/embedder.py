"""The embedder: backbone features, then a linear head; its output is the raw embedding that losses read."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from inkseek.models.backbone import feature_dim


class Embedder(nn.Module):
    """Pixels [N, 3, H, W] to raw embeddings [N, dim]; losses and rankings use them at unit length.

    Args:
        backbone: gives one feature vector a picture.
        dim: length of the embedding; `None` leaves the head out, so that the embedding is the backbone's own feature
            (the frozen baseline).
    """

    def __init__(self, backbone: nn.Module, dim: int | None) -> None:
        super().__init__()
        self.backbone = backbone
        self.head: nn.Module = nn.Identity() if dim is None else nn.Linear(feature_dim(backbone), dim)
        self.dim = feature_dim(backbone) if dim is None else dim

    def without_head(self) -> Embedder:
        """Return the backbone's feature as the embedding; the backbone is shared."""
        return Embedder(self.backbone, None)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the raw embeddings of a normalised batch."""
        return cast(torch.Tensor, self.head(self.backbone(pixels)))
