"""L2: embeddings should be short before they are normalised."""

from __future__ import annotations

from torch import Tensor

from inkseek.losses.term import Term
from inkseek.relations import Batch


class L2(Term):
    """Mean squared length of the raw embeddings, the plain rival of SEC.

    Formula:
        L = (1/B) sum_i |f_i|^2 over the raw embeddings f_i of both domains together.

    Arguments:
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels); the labels are not read. An empty batch
        gives a differentiable zero.

    Recommendations:
        A weight of 1e-4 beside a loss on unit embeddings (SEC's code), or beside the N-pair loss on raw ones.

    Source:
        Sohn, Improved Deep Metric Learning with Multi-class N-pair Loss Objective, NeurIPS 2016; the baseline of Zhang
        et al., Deep Metric Learning with Spherical Embedding, NeurIPS 2020.
    """

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name)

    def forward(self, batch: Batch) -> Tensor:
        """The mean on a batch."""
        embeddings = batch.everyone
        return embeddings.square().sum() / max(len(embeddings), 1)
