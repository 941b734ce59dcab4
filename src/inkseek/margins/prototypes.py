"""Prototype cross entropy: how well sketches find their class's mean photo among a batch's classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from inkseek.relations import Batch

SCALE = 10.0


def prototype_cross_entropy(batch: Batch) -> Tensor:
    """L = mean_i -log softmax_y(10 cos(z_i, c_y))[y_i] over sketches i, with c_y the unit mean photo of class y.

    Classes need no weights of their own, so that it can judge classes that were not trained on.

    Args:
        batch: one domain with `domains` of 0 and 1, as `Batch.union` gives it.

    Returns:
        A differentiable 0-d tensor; zero where no sketch meets a photo of its class.

    Source:
        Snell et al., Prototypical networks for few-shot learning, NeurIPS 2017, there by squared distance.
    """
    assert batch.domains is not None, "a union knows its items' domains"
    units, labels, sketch = batch.units[0], batch.anchor_labels, batch.domains[0] == 0
    classes = torch.unique(labels[~sketch])
    belongs = (classes[:, None] == labels) & ~sketch
    prototypes = normalize(belongs.to(units) @ units, dim=1)
    asked = sketch & torch.isin(labels, classes)
    if not asked.any():
        return units.sum() * 0
    return cross_entropy(SCALE * units[asked] @ prototypes.T, torch.searchsorted(classes, labels[asked]))
