"""An exponential moving average of the weights, which is what gets measured and kept."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EMA:
    """theta_ema <- d theta_ema + (1 - d) theta, with d = min(decay, (1 + t) / (10 + t)) after t updates.

    The warm-up lets the average forget the untrained head. Buffers (BatchNorm statistics) are copied.

    Args:
        module: whose weights are averaged.
        decay: 0 keeps the weights themselves.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.state: dict[str, Tensor] = {key: value.detach().clone() for key, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average towards the module's present weights."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        learned = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
        for key, value in module.state_dict().items():
            if key in learned:
                self.state[key].lerp_(value, 1 - decay)
            else:
                self.state[key].copy_(value)
