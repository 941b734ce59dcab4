"""Several processes: every rank sees the whole batch, and gradients find the way back to the rank they belong to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed

from inkseek.relations import Batch


def gather(batch: Batch, *, even: bool = False) -> Batch:
    """The batch of all processes together, the items of rank 0 first, each side apart.

    Every rank then computes the same whole-batch loss, unscaled: `objective(gather(Batch(embeddings, labels)))`. The
    backward pass sums the ranks' gradients and hands each rank its slice, so that after DistributedDataParallel has
    averaged over ranks, a parameter's gradient is exactly that of one process with the whole batch. An objective's own
    parameters (proxies, a learned margin) get that gradient on every rank already and stay outside of it.

    Args:
        batch: this rank's share. Either every rank brings instances and domains, or none does.
        even: all ranks bring equally many items. Without this promise their numbers are exchanged first, for which the
            host waits; then ranks may bring different numbers, none included.

    Returns:
        The same batch where there is one process, or no process group.
    """
    if not distributed.is_available() or not distributed.is_initialized() or distributed.get_world_size() == 1:
        return batch
    anchors = _Gathered(batch.anchors, even)
    if batch.one_domain:
        return Batch(
            anchors.rows(batch.anchors),
            anchors.rows(batch.anchor_labels),
            instances=None if batch.instances is None else anchors.rows(batch.instances[0]),
            domains=None if batch.domains is None else anchors.rows(batch.domains[0]),
        )
    candidates = _Gathered(batch.candidates, even)

    def both(sides: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor] | None:
        return None if sides is None else (anchors.rows(sides[0]), candidates.rows(sides[1]))

    return Batch(
        anchors.rows(batch.anchors),
        anchors.rows(batch.anchor_labels),
        candidates.rows(batch.candidates),
        candidates.rows(batch.candidate_labels),
        instances=both(batch.instances),
        domains=both(batch.domains),
    )


class _Gathered:
    """How many rows each rank brings, and the gathering of tensors of so many rows."""

    def __init__(self, rows: Tensor, even: bool) -> None:
        self.sizes = [len(rows)] * distributed.get_world_size()
        if not even:
            counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in self.sizes]
            distributed.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
            self.sizes = torch.cat(counts).tolist()

    def rows(self, mine: Tensor) -> Tensor:
        """Every rank's rows, in the order of ranks."""
        gathered: Tensor = _AllGather.apply(mine, self.sizes)
        return gathered


class _AllGather(torch.autograd.Function):
    """All ranks' rows under one another; backward, the sum over ranks of what reached this rank's rows."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes = sizes
        padded = mine.new_zeros((max(sizes), *mine.shape[1:]))
        padded[: len(mine)] = mine
        parts = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        total = upstream[0].contiguous().clone()
        distributed.all_reduce(total)
        rank = distributed.get_rank()
        start = sum(ctx.sizes[:rank])
        return total[start : start + ctx.sizes[rank]], None
