"""SEC: embeddings should all have the same length before they are normalised."""

from __future__ import annotations

import torch
from torch import Tensor

from inkseek.errors import InkseekError
from inkseek.losses.term import Term, number
from inkseek.relations import Batch


class SEC(Term):
    """Spherical embedding constraint: the variance of the raw embeddings' lengths.

    Formula:
        L = (1/B) sum_i (|f_i| - mu_t)^2 with mu_t = (1 - rho) mu_{t-1} + rho mean_i |f_i|, over the raw embeddings f_i
        of both domains together. mu_t carries no gradient, so that the gradient is along f_i; mu_0 is the first mean.

    Arguments:
        rho: weight of the present batch in mu_t, in (0, 1]; 1 is the plain batch mean. Below 1 the moving mean is a
            buffer, updated in training mode only.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels); the labels are not read. An empty batch
        gives a differentiable zero.

    Recommendations:
        Beside a loss on unit embeddings, with a weight of 0.5 to 1; give raw embeddings: normalised ones all have
        length 1, and the constraint nothing to do.

    Source:
        Zhang et al., Deep Metric Learning with Spherical Embedding, NeurIPS 2020.
    """

    moving_mean: Tensor

    def __init__(self, rho: float = 1.0, *, name: str | None = None) -> None:
        super().__init__(name)
        self.rho = number(self, "rho", rho)
        if not 0 < self.rho <= 1:
            raise InkseekError(f"{self.name}: rho must be above 0 and at most 1, not {rho!r}")
        if self.rho < 1:
            self.register_buffer("moving_mean", torch.tensor(torch.nan))  # NaN until the first batch has been seen

    def forward(self, batch: Batch) -> Tensor:
        """The constraint on a batch."""
        norms: Tensor = torch.linalg.vector_norm(batch.everyone, dim=1)
        if not len(norms):
            return norms.sum()
        loss: Tensor = (norms - self._centre(norms.detach().mean())).square().mean()
        return loss

    def _centre(self, mean: Tensor) -> Tensor:
        if self.rho == 1:
            return mean
        moved = (1 - self.rho) * self.moving_mean + self.rho * mean
        centre = torch.where(self.moving_mean.isnan(), mean, moved)
        if self.training:
            self.moving_mean.copy_(centre)
        return centre

    def extra_repr(self) -> str:
        """The weight of the present batch."""
        return f"rho={self.rho}"
