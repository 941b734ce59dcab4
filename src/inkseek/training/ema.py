"""An exponential moving average of the weights, which is what gets measured and kept."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EMA:
    """theta_ema <- d theta_ema + (1 - d) theta, with d = min(decay, (1 + t) / (10 + t)) after t updates.

    The warm-up lets the average forget the untrained head. Buffers (BatchNorm statistics) are copied; parameters that
    do not learn stay as they are.

    Args:
        module: whose weights are averaged; it stays on its device, and what learns of it is settled.
        decay: 0 keeps the weights themselves.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        present = module.state_dict()  # shares its memory with the module
        self.state: dict[str, Tensor] = {key: value.clone() for key, value in present.items()}
        parameters = dict(module.named_parameters())
        self._learned = {key: present[key] for key, parameter in parameters.items() if parameter.requires_grad}
        self._buffers = {key: value for key, value in present.items() if key not in parameters}

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the module's present weights."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for key, value in self._learned.items():
            self.state[key].lerp_(value, 1 - decay)
        for key, value in self._buffers.items():
            self.state[key].copy_(value)
