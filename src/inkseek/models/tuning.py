"""What is trained: which parameters learn, and whether BatchNorm keeps its statistics."""

from __future__ import annotations

from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from inkseek.models.embedder import Embedder

Tune = Literal["full", "head"]
BatchNormMode = Literal["frozen", "frozen-statistics", "live"]


def apply_tuning(embedder: Embedder, tune: Tune, batchnorm: BatchNormMode) -> None:
    """Set `requires_grad` throughout: `full` trains backbone and head, `head` the head alone.

    With `batchnorm="frozen"` the backbone's BatchNorm layers learn nothing either, as in SEC's code; with
    `frozen-statistics` their scales and shifts learn, and only the running means and variances stay; with `live` both
    follow the batches.
    """
    for parameter in embedder.backbone.parameters():
        parameter.requires_grad_(tune == "full")
    for parameter in embedder.head.parameters():
        parameter.requires_grad_(True)
    if batchnorm == "frozen":
        for module in embedder.backbone.modules():
            if isinstance(module, _BatchNorm):
                for parameter in module.parameters():
                    parameter.requires_grad_(False)


def set_train_mode(embedder: Embedder, tune: Tune, batchnorm: BatchNormMode) -> None:
    """Put the embedder into training mode; frozen parts stay in evaluation mode and keep their statistics."""
    embedder.train()
    if tune == "head":
        embedder.backbone.eval()
    if batchnorm != "live":
        for module in embedder.backbone.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def parameter_groups(embedder: Embedder) -> dict[str, list[nn.Parameter]]:
    """Return the parameters that learn, by the names that recipes give learning rates to: `backbone` and `head`."""
    return {
        "backbone": [p for p in embedder.backbone.parameters() if p.requires_grad],
        "head": [p for p in embedder.head.parameters() if p.requires_grad],
    }
