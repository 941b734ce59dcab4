"""A weight found from gradients: so large that a regulariser pulls a given share of what its base loss does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from inkseek.errors import InkseekError
from inkseek.relations import Batch


@dataclass(frozen=True)
class Ratio:
    """A weight to be found in the first steps of training; `Triplet() + Ratio(0.5) * RDVC()`.

    Formula:
        w = r sum_t |dL_base/df| / sum_t |dL_term/df| over the first `steps` training batches t, norms over all
        embeddings f of a batch, both losses unweighted. While it is being found, w is what the steps so far say.

    Arguments:
        ratio: r, of the term's gradient to that of the objective's first relation-based term.
        steps: batches to look at.

    Raises:
        InkseekError: a ratio that is not above 0, or steps that are not a whole number of at least 1.
    """

    ratio: float
    steps: int = 50

    def __post_init__(self) -> None:
        for what, value, kind in (("ratio", self.ratio, int | float), ("steps", self.steps, int)):
            if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < float("inf"):
                raise InkseekError(f"a weight's {what} must be a number above 0, not {value!r}")

    def __mul__(self, other: Any) -> Any:
        """Scale the ratio by a number, or weigh a term."""
        if isinstance(other, int | float):
            return Ratio(self.ratio * other, self.steps)
        return NotImplemented  # a term knows how to be weighed

    __rmul__ = __mul__


class Calibration(nn.Module):
    """The weight of one term as it is being found; what it has seen is part of the state.

    Args:
        wanted: the ratio.
    """

    base_norm: Tensor
    term_norm: Tensor

    def __init__(self, wanted: Ratio) -> None:
        super().__init__()
        self.wanted, self.seen = wanted, 0
        self.register_buffer("base_norm", torch.zeros(()))
        self.register_buffer("term_norm", torch.zeros(()))

    @property
    def weight(self) -> Tensor:
        """The weight so far, a detached 0-d tensor; 0 before any gradient was seen."""
        there = self.term_norm > 0
        return torch.where(there, self.wanted.ratio * self.base_norm / torch.where(there, self.term_norm, 1), 0)

    def observe(self, batch: Batch, base: Tensor, term: Tensor) -> None:
        """Look at a training batch's two losses, unless enough have been seen."""
        inputs = [side for side in (batch.anchors, batch.candidates)[: 2 - batch.one_domain] if side.requires_grad]
        if self.seen >= self.wanted.steps or not self.training or not inputs or not torch.is_grad_enabled():
            return
        self.base_norm = self.base_norm.to(base.device) + _gradient_norm(base, inputs)
        self.term_norm = self.term_norm.to(term.device) + _gradient_norm(term, inputs)
        self.seen += 1

    def get_extra_state(self) -> dict[str, int]:
        """How many batches have been seen, for `state_dict`."""
        return {"seen": self.seen}

    def set_extra_state(self, state: Any) -> None:
        """Take the count of a `state_dict`."""
        self.seen = int(state["seen"])


def _gradient_norm(value: Tensor, inputs: list[Tensor]) -> Tensor:
    gradients = torch.autograd.grad(value, inputs, retain_graph=True, allow_unused=True)
    squares = [gradient.square().sum() for gradient in gradients if gradient is not None]
    return sum(squares, start=value.new_zeros(())).sqrt().float()
