"""A memory whose least used slots are written anew: least-recently-used access."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from inkseek.errors import InkseekError
from inkseek.margins.memory import Keys, ReadOut

_START = 1e-6


class LRUA(nn.Module):
    """Slots that keys of any class share; what is neither read nor written for long makes room.

    Read: w^r = softmax_i(cos(q, M_i) / tau), r = sum_i w^r_i M_i. Write: key j goes to the j-th least used slot, with
    the weights w^w_j = g w^r(k_j) + (1 - g) onehot(slot j); the chosen slots are emptied, M <- M + sum_j w^w_j k_j, and
    rows longer than 1 are brought back to 1: keys have length 1, and a slot that is often read would otherwise grow for
    ever. Usage: w^u <- gamma w^u + sum_j (w^r(k_j) + w^w_j). Slots used alike are taken in their order.

    Args:
        dim: of the embeddings.
        classes: how many are seen; a batch has two keys for each of its own.
        slots: how many there are, at least as many as a batch has keys.
        temperature: tau; 1 is nearly flat, as cosines are at most 1.
        decay: gamma, in [0, 1).
        gate: g, in [0, 1]; a constant, as writing is detached and would give a learned gate no gradient.

    Source:
        Santoro et al., Meta-learning with memory-augmented neural networks, ICML 2016 (slots, gamma, the start at 1e-6;
        there tau = 1). That RAMLN (arXiv 2412.00120) means this memory is a choice made here; so are class means as
        keys, g, tau and the bound on the length.
    """

    slots: Tensor
    usage: Tensor

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        slots: int = 128,
        temperature: float = 0.1,
        decay: float = 0.95,
        gate: float = 0.5,
    ) -> None:
        super().__init__()
        self.classes, self.temperature, self.decay, self.gate = classes, temperature, decay, gate
        self.register_buffer("slots", torch.full((slots, dim), _START))
        self.register_buffer("usage", torch.zeros(slots))

    def read(self, queries: Tensor, domains: Tensor) -> ReadOut:  # noqa: ARG002
        """Read all slots, whatever the query's domain."""
        slots = self.slots.to(queries)
        weights = (normalize(queries, dim=1) @ normalize(slots, dim=1).T / self.temperature).softmax(1)
        return ReadOut(weights @ slots, weights)

    @torch.no_grad()
    def write(self, keys: Keys) -> None:
        """Write the keys over the least used slots.

        Raises:
            InkseekError: there are more keys than slots.
        """
        n, vectors = len(keys.vectors), keys.vectors.to(self.slots)
        if n > len(self.slots):
            raise InkseekError(
                f"a batch writes {n} class means, and the memory has {len(self.slots)} slots: raise slots"
            )
        read = self.read(vectors, keys.domains).weights
        chosen = self.usage.argsort(stable=True)[:n]
        write = self.gate * read
        write[torch.arange(n, device=chosen.device), chosen] += 1 - self.gate
        slots = self.slots.index_fill(0, chosen, 0) + write.T @ vectors
        self.slots.copy_(slots / slots.norm(dim=1, keepdim=True).clamp(min=1))
        self.usage.mul_(self.decay).add_((read + write).sum(0))

    def extra_repr(self) -> str:
        """Slots, tau, gamma and g."""
        return f"slots={len(self.slots)}, temperature={self.temperature:g}, decay={self.decay:g}, gate={self.gate:g}"
