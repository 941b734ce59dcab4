"""What learns: network, objective and optimiser, one batch at a time, with all that a checkpoint must hold of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from inkseek.errors import InkseekError
from inkseek.losses.gather import gather
from inkseek.margins.bilevel import MetaStep
from inkseek.margins.relation_network import RelationNetwork
from inkseek.models.tuning import set_train_mode
from inkseek.relations import Batch
from inkseek.training.ema import EMA
from inkseek.training.loader import ReadBatch
from inkseek.training.optimisation import build_optimiser, clip, schedule, set_rates
from inkseek.training.plan import Plan
from inkseek.training.processes import Processes
from inkseek.training.whole_batch import backward


@dataclass(frozen=True, eq=False)
class Learned:
    """What one step came to.

    Attributes:
        loss: of the whole batch, detached, 0-d.
        batch: of all processes together, whose relations the loss has read.
        gradient: length of the gradient before it was clipped; None where nothing clips.
        meta: the bilevel step before it; None where there was none.
    """

    loss: Tensor
    batch: Batch
    gradient: Tensor | None
    meta: MetaStep | None


class Learner:
    """A plan's network and objective on this process's device, and the optimiser that moves them.

    Several processes hold the same weights: each embeds its share of a batch, all gather the embeddings and compute the
    same loss of the whole batch, and DistributedDataParallel averages the gradients, which then are the whole batch's.

    Whatever is random in the network is a function of (seed, step, rank, part).

    Args:
        plan: what to train; its model and objective are moved to the device.
        processes: this process among the run's.

    Raises:
        InkseekError: a share of the batch cannot be cut into so many parts.
    """

    def __init__(self, plan: Plan, processes: Processes) -> None:
        self.plan, self.processes, self.recipe = plan, processes, plan.recipe
        self.exact = self.recipe.precision == "float64"
        dtype = torch.float64 if self.exact else torch.float32
        self.embedder = plan.model.embedder.to(processes.device, dtype).to(memory_format=torch.channels_last)
        self.objective = plan.objective.to(processes.device, dtype)
        self.optimiser = build_optimiser(self.recipe.optim, plan.groups, self.embedder)
        self.ema = EMA(self.embedder, self.recipe.optim.ema)
        self._network: nn.Module = self.embedder.head if plan.on_features else self.embedder
        if processes.world > 1:
            on = [processes.device] if processes.device.type == "cuda" else None
            self._network = DistributedDataParallel(self._network, on, broadcast_buffers=self.live_batchnorm)
        self._normalise = plan.model.normalise
        self._classes = np.unique(plan.training.labels)
        anchors, size = plan.batches.anchors, plan.batches.size
        self._even = anchors % processes.world == 0 and (size - anchors) % processes.world == 0
        smallest = plan.batches.size // processes.world
        if self.recipe.batch.parts > smallest:
            raise InkseekError(f"batch.parts is {self.recipe.batch.parts}, but a process has only {smallest} places")

    @property
    def live_batchnorm(self) -> bool:
        """Whether some BatchNorm layer follows the statistics of what this process sees of a batch."""
        set_train_mode(self.embedder, self.recipe.model.tune, self.recipe.model.batchnorm)
        return any(isinstance(module, _BatchNorm) and module.training for module in self.embedder.modules())

    def learn(self, step: int, read: ReadBatch) -> Learned:
        """Take step number `step`, from 1, on this process's share of the batch."""
        recipe = self.recipe
        set_rates(self.optimiser, schedule(recipe.optim, step - 1))
        if not self.embedder.training:  # a measurement came between, or this is the first step
            set_train_mode(self.embedder, recipe.model.tune, recipe.model.batchnorm)
        inputs = read.inputs.to(self.processes.device, non_blocking=True)
        if not self.plan.on_features:
            inputs = self._normalise(inputs).to(torch.float64 if self.exact else torch.float32)
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        gathered: list[Batch] = []
        bilevel = self.plan.bilevel
        meta: MetaStep | None = None

        def loss_of(embeddings: Tensor) -> Tensor:
            nonlocal meta
            gathered.append(gather(self._batch(embeddings, read), even=self._even))
            if bilevel is not None and bilevel.due(step):
                meta = bilevel.step(gather(self._batch(torch.cat(features), read), even=self._even))
            loss: Tensor = self.objective(gathered[0])
            return loss

        self.optimiser.zero_grad(set_to_none=True)
        with _reads(self.embedder.head) as features:
            loss = backward(
                self._network,
                inputs,
                loss_of,
                parts=recipe.batch.parts,
                embed=self._embed,
                reseed=lambda part: _reseed(recipe.seed, step, self.processes.rank, part),
            )
        length = None if recipe.optim.clip is None else clip(self.optimiser, recipe.optim.clip)
        self.optimiser.step()
        self.ema.update()
        for module in self.objective.modules():
            if isinstance(module, RelationNetwork):
                module.remember(gathered[0])
        return Learned(loss, gathered[0], length, meta)

    def state(self) -> dict[str, Any]:
        """All that a checkpoint must hold."""
        return {
            "embedder": self.embedder.state_dict(),
            "objective": self.objective.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "ema": self.ema.state,
            "ema_updates": self.ema.updates,
            "bilevel": None if self.plan.bilevel is None else self.plan.bilevel.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.embedder.load_state_dict(state["embedder"])
        self.objective.load_state_dict(state["objective"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.ema.state = {key: value.to(self.processes.device) for key, value in state["ema"].items()}
        self.ema.updates = state["ema_updates"]
        if self.plan.bilevel is not None:
            self.plan.bilevel.load(state["bilevel"])

    def _embed(self, inputs: Tensor) -> Tensor:
        half = self.recipe.precision == "bfloat16"
        with torch.autocast(self.processes.device.type, torch.bfloat16, enabled=half):
            embeddings: Tensor = self._network(inputs)
        return embeddings

    def _batch(self, embeddings: Tensor, read: ReadBatch) -> Batch:
        """Sketches against photos, a batch holding its sketches first; or everything against everything."""
        items, index = self.plan.training, read.index
        labels = self._tensor(np.searchsorted(self._classes, items.labels[index]))
        instances = self._tensor(items.instances[index]) if items.paired else None
        sketch = items.domains[index] == "sketch"
        if not self.plan.batches.anchors:
            return Batch(embeddings, labels, instances=instances)
        if self.recipe.batch.anchors == "both":
            domains = self._tensor((~sketch).astype(np.int64))
            return Batch(embeddings, labels, instances=instances, domains=domains)
        n = int(sketch.sum())
        pair = None if instances is None else (instances[:n], instances[n:])
        return Batch(embeddings[:n], labels[:n], embeddings[n:], labels[n:], instances=pair)

    def _tensor(self, values: np.ndarray[Any, np.dtype[np.int64]]) -> Tensor:
        return torch.from_numpy(values).to(self.processes.device, non_blocking=True)


@contextmanager
def _reads(head: nn.Module) -> Iterator[list[Tensor]]:
    """Give what the head reads meanwhile, a tensor a pass, whatever wraps it and however the batch is parted."""
    seen: list[Tensor] = []
    with head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach())):
        yield seen


def _reseed(*numbers: int) -> None:
    digest = hashlib.blake2b(" ".join(map(str, numbers)).encode(), digest_size=8).digest()
    torch.manual_seed(int.from_bytes(digest, "little") >> 1)
