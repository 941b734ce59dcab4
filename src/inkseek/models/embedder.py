"""The embedder: backbone features, then a linear head; its output is the raw embedding that losses read."""

from __future__ import annotations

from collections import OrderedDict
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
        head_batchnorm: put a BatchNorm before the linear layer, as SEC's experiments do (Zhang et al., NeurIPS 2020).
    """

    def __init__(self, backbone: nn.Module, dim: int | None, *, head_batchnorm: bool = False) -> None:
        super().__init__()
        self.backbone = backbone
        features = feature_dim(backbone)
        self.head: nn.Module
        if dim is None:
            self.head = nn.Identity()
        elif head_batchnorm:
            parts = {"batchnorm": nn.BatchNorm1d(features), "linear": nn.Linear(features, dim)}
            self.head = nn.Sequential(OrderedDict(parts))
        else:
            self.head = nn.Linear(features, dim)
        self.dim = features if dim is None else dim

    def without_head(self) -> Embedder:
        """Return the backbone's feature as the embedding; the backbone is shared."""
        return Embedder(self.backbone, None)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the raw embeddings of a normalised batch."""
        return self.from_features(self.backbone(pixels))

    def from_features(self, features: torch.Tensor) -> torch.Tensor:
        """Return the raw embeddings [N, dim] of the backbone's features [N, d]."""
        return cast(torch.Tensor, self.head(features))
