"""Random numbers of a term that draws tuples: a function of a seed and the step, the same on every process."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import nn


class Draws(nn.Module):
    """Generators for one step after the other; the step is part of the state, so that a resumed run goes on with it.

    Args:
        seed: of the whole stream.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed, self.step = seed, 0

    def generator(self, device: torch.device) -> torch.Generator:
        """The present step's generator, always from its beginning."""
        generator = torch.Generator(device)
        # Hashed, because a generator may take the low half of a seed alone, and like seeds make like numbers.
        digest = hashlib.blake2b(f"{self.seed} {self.step}".encode(), digest_size=8).digest()
        generator.manual_seed(int.from_bytes(digest, "little", signed=True))
        return generator

    def advance(self) -> None:
        """Go to the next step; in evaluation mode every step is the same."""
        if self.training:
            self.step += 1

    def get_extra_state(self) -> dict[str, int]:
        """The step, for `state_dict`."""
        return {"step": self.step}

    def set_extra_state(self, state: Any) -> None:
        """Take the step of a `state_dict`."""
        self.step = int(state["step"])
