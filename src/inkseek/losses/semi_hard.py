"""Semi-hard triplet loss: negatives that are farther than the positive, but not by the margin."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inkseek import relations
from inkseek.compiled import by_rows, compiled
from inkseek.losses.margin import Margin, MarginTerm
from inkseek.losses.sorting import argsort_rows, search_rows
from inkseek.losses.term import one_of
from inkseek.losses.tuples import Chosen, Intervals
from inkseek.relations import Batch, Level, Metric, Relations, row_blocks

Negatives = Literal["nearest", "all"]


class SemiHardTriplet(MarginTerm):
    """Hinge over semi-hard triplets: one negative a positive pair as in FaceNet and SEC, or all that qualify.

    Formula:
        nearest: L = (1/M) sum_(a,p) [d(a,p) - d(a,n) + m]_+ over all M positive pairs whose anchor has a negative; n is
        the nearest negative with d(a,n) > d(a,p), or the farthest of all where none is farther than the positive.
        all: L = (1/N) sum_(a,p,n) [d(a,p) - d(a,n) + m] over the N triplets with d(a,p) < d(a,n) < d(a,p) + m (RDVC
        paper, Eq. 2).

    Arguments:
        margin: m, as for the triplet loss.
        distance: `sqeuclidean`, `euclidean` or `cosine` on unit embeddings, or `dot` on raw ones.
        negatives: `nearest` or `all`.
        level: `category`, `instance`, or None for the finest that the batch knows.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels), with `instances=` for instance level.
        No such triplet in the batch gives a differentiable zero.

    Recommendations:
        40 classes x 3 items with m = 0.2 on squared Euclidean distance, as in the papers. `nearest` is what their
        tables call SHT; what pytorch-metric-learning's semi-hard miner keeps is `all`.

    Source:
        Schroff et al., FaceNet, CVPR 2015; Zhang et al., Deep Metric Learning with Spherical Embedding, NeurIPS 2020.
    """

    def __init__(
        self,
        margin: Margin = 0.2,
        distance: Metric = "sqeuclidean",
        *,
        negatives: Negatives = "nearest",
        level: Level | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(margin, distance, level, name)
        self.negatives: Negatives = one_of(self, "negatives", negatives, ("nearest", "all"))

    def forward(self, batch: Batch) -> Tensor:
        """The loss on a batch."""
        hinges, count = self._hinges(batch)
        return hinges.sum() / count.clamp(min=1)

    def active(self, batch: Batch) -> Tensor:
        """Share of the selected triplets whose hinge is not zero, a detached 0-d tensor; 1 by definition for `all`."""
        hinges, count = self._hinges(batch)
        if self.negatives == "all":
            return (count > 0).to(hinges.dtype)
        return (hinges > 0).sum() / count.clamp(min=1)

    def mined(self, batch: Batch) -> Chosen | Intervals:
        """The selected triplets."""
        relations = self.relations(batch)
        if self.negatives == "nearest":
            return nearest_farther(relations)
        distance, margins = relations.distance.detach(), self.margins(batch, relations.distance).detach()
        column, valid = relations.packed
        own = distance.gather(1, column)
        negatives = torch.where(relations.negative, distance, torch.inf)
        order = argsort_rows(negatives)
        values = negatives.gather(1, order)
        low = torch.searchsorted(values, own, right=True)
        high = torch.searchsorted(values, own + margins)
        return Intervals(column, order, low, torch.where(valid, torch.maximum(low, high), low))

    def _hinges(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Each positive pair's sum of hinges [anchors, K], and the number of triplets."""
        mined, distance = self.mined(batch), self.relations(batch).distance
        margins = self.margins(batch, distance)
        if isinstance(mined, Chosen):
            return torch.relu(mined.differences(distance) + margins * mined.valid), mined.count
        # Every hinge of the run is active, so that their sum needs no other case.
        own = distance.gather(1, mined.positive)
        return (mined.lengths * (own + margins) - mined.sums(distance)).to(distance.dtype), mined.count

    def extra_repr(self) -> str:
        """Margin and distance, and which negatives where not the default."""
        return super().extra_repr() + ("" if self.negatives == "nearest" else f", negatives={self.negatives!r}")


def nearest_farther(relations: Relations) -> Chosen:
    """For each positive pair its anchor's nearest negative that is farther than the positive, or else the farthest."""
    column, valid = relations.packed
    chosen = [
        _nearest_farther(distance, relations.negative[rows], distance.gather(1, column[rows]))
        for rows in row_blocks(relations.distance)
        for distance in [relations.distance.detach()[rows]]
    ]
    return Chosen(column, torch.cat(chosen), valid & (relations.negatives > 0))


def _nearest_farther(distance: Tensor, negative: Tensor, positives: Tensor) -> Tensor:
    """The columns of the chosen negatives, int64 [anchors, K], for a block of anchors and K positives' distances."""
    if relations.on_host(distance):
        own, order = positives.sort(1)
        chosen = torch.zeros_like(order)
        places = search_rows(own, distance)
        by_rows(_choose, *(x.numpy() for x in (distance.contiguous(), negative, places, chosen)))
        return torch.empty_like(order).scatter_(1, order, chosen)
    negatives = torch.where(negative, distance, torch.inf)
    order = negatives.argsort(1)
    place = torch.searchsorted(negatives.gather(1, order), positives, right=True)
    last = (negative.sum(1, keepdim=True) - 1).clamp(min=0)
    return order.gather(1, torch.minimum(place, last))


@compiled
def _choose(
    distance: npt.NDArray[Any],
    negative: npt.NDArray[np.bool_],
    places: npt.NDArray[np.int32],
    chosen: npt.NDArray[np.int64],
) -> None:
    """Write the chosen negatives of each anchor, for its positives in ascending order.

    Of the negatives that are farther than as many of the positives the nearest is kept.
    """
    k = chosen.shape[1]
    nearest = np.empty(k + 1, distance.dtype)
    column = np.empty(k + 1, np.int64)
    for i in range(len(chosen)):
        row, is_negative = distance[i], negative[i]
        nearest[:] = np.inf
        column[:] = -1
        for c in range(len(row)):
            j = places[i, c]
            if not row[c] >= nearest[j] and is_negative[c] and nearest[j] == nearest[j]:
                nearest[j], column[j] = row[c], c
        found: Any = column[k]
        if found < 0:  # some positives have nothing farther
            found, farthest = 0, -np.inf
            for c in range(len(row)):
                if is_negative[c] and row[c] > farthest:
                    found, farthest = c, row[c]
        for j in range(k, 0, -1):
            if column[j] >= 0 and nearest[k] == nearest[k]:  # NaN is the nearest to all, as it must not go unseen
                found = column[j]
            chosen[i, j - 1] = found
