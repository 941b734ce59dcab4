"""A memory with one slot for each seen class and domain, which follows the class's mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from inkseek.margins.memory import Keys, ReadOut


class ClassMemory(nn.Module):
    """A moving mean of every class, sketches and photos apart.

    Write: M[m,y] <- unit(rho M[m,y] + (1 - rho) k), and M[m,y] <- k the first time, for the key k of class y in domain
    m. Read: w = softmax_y(cos(q, M[m,y]) / tau) over the classes that domain m has seen, r = sum_y w_y M[m,y]; before
    anything was written, w is even and r zero.

    Args:
        dim: of the embeddings.
        classes: how many are seen.
        temperature: tau.
        keep: rho, in [0, 1).

    Source:
        Liu et al., arXiv 2412.00120, has an external memory of seen classes that is read by a weighted sum; slots by
        class and moving means are choices made here.
    """

    slots: Tensor
    written: Tensor

    def __init__(self, dim: int, classes: int, *, temperature: float = 0.1, keep: float = 0.9) -> None:
        super().__init__()
        self.classes, self.temperature, self.keep = classes, temperature, keep
        self.register_buffer("slots", torch.zeros(2, classes, dim))
        self.register_buffer("written", torch.zeros(2, classes, dtype=torch.bool))

    def read(self, queries: Tensor, domains: Tensor) -> ReadOut:
        """Read each query's own domain; the other's slots have weight zero."""
        slots = self.slots.to(queries).flatten(0, 1)
        own = one_hot(domains, 2)[:, :, None].bool()
        readable = (self.written | ~self.written.any(1, keepdim=True)) & own
        likeness = (normalize(queries, dim=1) @ slots.T).view(len(queries), 2, self.classes)
        weights = torch.where(readable, likeness / self.temperature, -torch.inf).flatten(1).softmax(1)
        return ReadOut(weights @ slots, weights)

    @torch.no_grad()
    def write(self, keys: Keys) -> None:
        """Move the slots of the keys' classes towards the keys."""
        at = (keys.domains, keys.labels)
        vectors = keys.vectors.to(self.slots)
        moved = normalize(self.keep * self.slots[at] + (1 - self.keep) * vectors, dim=1)
        self.slots[at] = torch.where(self.written[at][:, None], moved, vectors)
        self.written[at] = True

    def extra_repr(self) -> str:
        """Classes, tau and rho."""
        return f"classes={self.classes}, temperature={self.temperature:g}, keep={self.keep:g}"
