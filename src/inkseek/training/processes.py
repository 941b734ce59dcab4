"""The processes of one run: who is which, on what device, and what they have to agree on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import distributed

from inkseek.errors import InkseekError


@dataclass(frozen=True)
class Processes:
    """This process among those of the run.

    Attributes:
        rank: its number, from 0; the first one alone writes.
        world: how many there are.
        device: what it computes on.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def on_first(self, work: Callable[[], object]) -> None:
        """Let the first process do something while the others wait; a mistake that it meets is everybody's.

        Raises:
            InkseekError: the first process met one.
        """
        met: list[str | None] = [None]
        if self.first:
            try:
                work()
            except InkseekError as error:
                if self.world == 1:
                    raise
                met = [str(error)]
        if self.world > 1:
            distributed.broadcast_object_list(met, src=0, device=torch.device("cpu"))
            if met[0] is not None:
                raise InkseekError(met[0])

    def any(self, mine: bool) -> bool:
        """Whether any process says so: signals do not reach all of them between the same two steps."""
        if self.world == 1:
            return mine
        said = torch.tensor(int(mine))
        distributed.all_reduce(said, distributed.ReduceOp.MAX)
        return bool(said)

    def gathered(self, mine: list[str]) -> list[str]:
        """Every process's lines, in the order of ranks."""
        if self.world == 1:
            return mine
        lines: list[list[str]] = [[] for _ in range(self.world)]
        distributed.all_gather_object(lines, mine)
        return [line for of in lines for line in of]


@contextmanager
def joined(device: Literal["auto", "cpu", "cuda"]) -> Iterator[Processes]:
    """Join the processes that `torchrun` started, or be alone; leave them in the end.

    A process group that the caller has set up is used, and left to the caller.

    Args:
        device: `auto` takes the GPU of this process where there is one.

    Raises:
        InkseekError: `cuda`, where there is none, or more processes of a machine than GPUs.
    """
    local = int(os.environ.get("LOCAL_RANK", 0))
    if device == "cuda" and not torch.cuda.is_available():
        raise InkseekError("device is cuda, but PyTorch sees no GPU here; write device: cpu or auto")
    cuda = device != "cpu" and torch.cuda.is_available()
    if cuda and local >= torch.cuda.device_count():
        raise InkseekError(f"process {local} of this machine has no GPU: there are {torch.cuda.device_count()}")
    where = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(where)
    ours = int(os.environ.get("WORLD_SIZE", 1)) > 1 and not distributed.is_initialized()
    if ours:
        # What the processes agree on are small numbers on the host, for which no GPU should be waited for.
        distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        if distributed.is_initialized():
            yield Processes(distributed.get_rank(), distributed.get_world_size(), where)
        else:
            yield Processes(0, 1, where)
    finally:
        if ours:
            distributed.destroy_process_group()
