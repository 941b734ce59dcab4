"""Classification: a linear layer should tell the classes that are seen in training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from inkseek import relations
from inkseek.distances import pairwise
from inkseek.errors import InkseekError
from inkseek.losses.term import Term, number
from inkseek.relations import Batch

NOBODY = torch.iinfo(torch.int64).min
"""The label that torch's cross entropy passes over; its own choice, -100, would hide a wrong one."""


class Classification(Term):
    """Softmax cross entropy over the seen classes, of sketches and photos alike, through one linear layer.

    Formula:
        L = (1/B) sum_i -log softmax_y(W s u_i + b) over all items i of both domains, y the item's class, u = f / |f|
        the unit embedding and s the scale; without a scale, W f_i + b of the raw embedding f. With smoothing e the
        target is 1 - e + e/C at y and e/C at the other classes, of C.

    Arguments:
        classes: C, how many; labels are 0..classes-1.
        dim: the embedding's.
        scale: s, of unit embeddings; None takes raw ones.
        smoothing: e, in [0, 1).
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels), both domains as one batch. An empty
        batch gives a differentiable zero. On a device, where a look at the labels would wait, a label without a class
        is the device's own assertion.

    Recommendations:
        Beside a loss over relations, `Quadruplet() + Classification(classes, dim)`; W and b want the head's learning
        rate. Raw embeddings lower it by growing, which no ranking sees and SEC works against: hence unit ones, and a
        scale, because a layer on length 1 takes long to become sure of anything.

    Source:
        Liu et al., Relation-aware meta-learning for zero-shot sketch-based image retrieval, arXiv 2412.00120, where it
        stands beside the quadruplet loss; the scale is a choice made here.
    """

    def __init__(
        self,
        classes: int,
        dim: int,
        *,
        scale: float | None = 10.0,
        smoothing: float = 0.0,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        for option, value in (("classes", classes), ("dim", dim)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InkseekError(f"{self.name}: {option} must be a whole number of at least 1, not {value!r}")
        self.scale = None if scale is None else number(self, "scale", scale, above=0)
        self.smoothing = number(self, "smoothing", smoothing)
        if not 0 <= self.smoothing < 1:
            raise InkseekError(f"{self.name}: smoothing must be at least 0 and below 1, not {smoothing!r}")
        self.classifier = nn.Linear(dim, classes)

    def forward(self, batch: Batch) -> Tensor:
        """The loss on a batch.

        Raises:
            InkseekError: a label without a class, or embeddings of another dimension.
        """
        labels = batch.everyone_labels
        self._check(labels, batch.anchors.shape[1])
        value: Tensor = cross_entropy(
            self._logits(batch), labels, reduction="sum", label_smoothing=self.smoothing, ignore_index=NOBODY
        )
        return value / max(len(labels), 1)

    def _logits(self, batch: Batch) -> Tensor:
        """Every item's logits [items, classes], in the embeddings' own precision."""
        units = batch.units[: 2 - batch.one_domain]
        inputs = batch.everyone if self.scale is None else self.scale * torch.cat(units)
        weight, bias = self.classifier.weight.to(inputs.dtype), self.classifier.bias.to(inputs.dtype)
        # The layer's own product would go backward in half precision where that happens under autocast.
        return bias - pairwise(inputs, weight, "dot")

    def _check(self, labels: Tensor, dim: int) -> None:
        classes, known = self.classifier.weight.shape
        if dim != known:
            raise InkseekError(f"{self.name}: embeddings have {dim} dimensions, and its dim is {known}")
        if relations.on_host(labels) and len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise InkseekError(
                f"{self.name}: labels must be 0..{classes - 1}, one for each of its {classes} classes, "
                f"not {int(labels.min())}..{int(labels.max())}"
            )

    def extra_repr(self) -> str:
        """Classes and scale, and the smoothing where there is one."""
        smoothing = f", smoothing={self.smoothing:g}" if self.smoothing else ""
        scale = "None" if self.scale is None else f"{self.scale:g}"
        return f"classes={self.classifier.out_features}, scale={scale}{smoothing}"
