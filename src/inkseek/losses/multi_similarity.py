"""Multi-similarity loss: hard positives and negatives mined by each other, and weighted by their similarities."""

from __future__ import annotations

import torch
from torch import Tensor

from inkseek.losses.log_sum import log1p_sum_exp
from inkseek.losses.term import RelationTerm, number
from inkseek.relations import Batch, Level, Relations


class MultiSimilarity(RelationTerm):
    """Soft maxima over each anchor's mined positives and negatives.

    Formula:
        L = (1/B) sum_a [ (1/alpha) log(1 + sum_p exp(-alpha (s_ap - threshold)))
                        + (1/beta) log(1 + sum_n exp(beta (s_an - threshold))) ] over all B anchors, s = cosine.
        Mined: a negative counts where s_an > min_p s_ap - epsilon, a positive where s_ap < max_n s_an + epsilon.
        With alpha = beta = 1, threshold 0, nothing mined and both "1 +" left out, L is log sum_(p,n) exp(D) an anchor,
        D = d(a,p) - d(a,n) (RDVC paper, Eq. 17).

    Arguments:
        alpha: sharpness over positives.
        beta: sharpness over negatives; 40 as in SEC's code (pytorch-metric-learning's default is 50).
        threshold: the similarity from which pairs count.
        epsilon: the mining margin; None mines nothing.
        level: `category`, `instance`, or None for the finest that the batch knows.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels), with `instances=` for instance level.
        A positive with s >= 1 - 1e-5 is left out, as in SEC's code. Nothing to compare gives a differentiable zero.

    Recommendations:
        24 classes x 5 items, as in the papers.

    Source:
        Wang et al., Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning, CVPR 2019, with the
        constants of Zhang et al., Deep Metric Learning with Spherical Embedding, NeurIPS 2020.
    """

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 40.0,
        threshold: float = 0.5,
        epsilon: float | None = 0.1,
        *,
        level: Level | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__("cosine", level, name)
        self.alpha = number(self, "alpha", alpha, above=0)
        self.beta = number(self, "beta", beta, above=0)
        self.threshold = number(self, "threshold", threshold)
        self.epsilon = None if epsilon is None else number(self, "epsilon", epsilon)

    def mined(self, batch: Batch) -> Relations:
        """The pairs that the loss counts."""
        relations = self.relations(batch)
        similarity = 1 - relations.distance.detach()
        # What is dropped is named, not what is kept, so that NaN stays and is seen.
        positive, negative = relations.positive & ~(similarity >= 1 - 1e-5), relations.negative
        if self.epsilon is not None and similarity.shape[1]:
            lowest = torch.where(positive, similarity, torch.inf).amin(1, keepdim=True)
            highest = torch.where(negative, similarity, -torch.inf).amax(1, keepdim=True)
            negative = negative & ~(similarity + self.epsilon <= lowest)
            positive = positive & ~(similarity - self.epsilon >= highest)
        return Relations(relations.distance, positive, negative)

    def forward(self, batch: Batch) -> Tensor:
        """The loss on a batch."""
        mined = self.mined(batch)
        above = 1 - self.threshold - mined.distance  # s - threshold
        pull = log1p_sum_exp(-self.alpha * above, mined.positive) / self.alpha
        push = log1p_sum_exp(self.beta * above, mined.negative) / self.beta
        return (pull + push).sum() / max(len(above), 1)

    def active(self, batch: Batch) -> Tensor:
        """Share of the batch's pairs that the mining kept, a detached 0-d tensor."""
        relations, mined = self.relations(batch), self.mined(batch)
        kept = (mined.positives + mined.negatives).sum()
        return kept / (relations.positives + relations.negatives).sum().clamp(min=1)

    def extra_repr(self) -> str:
        """Its four constants."""
        return f"alpha={self.alpha:g}, beta={self.beta:g}, threshold={self.threshold:g}, epsilon={self.epsilon}"
