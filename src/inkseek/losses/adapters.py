"""The losses of pytorch-metric-learning as terms, with the constants of their papers; needs the extra `competitors`."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from inkseek.errors import InkseekError
from inkseek.losses.term import Term
from inkseek.relations import Batch


class Adapted(Term):
    """Any loss of pytorch-metric-learning 2.9 as a term: `Adapted(TripletMarginLoss()) + RDVC("cosine")`.

    It reads labels, not instances. Its parameters are the term's, and so in the objective's state. RDVC rides on it
    with a `distance` of its own, because it cannot be asked for one.

    Args:
        loss: a loss object of the library, called as `loss(embeddings, labels)`.
        against: whether two domains are told apart, anchors against candidates as `ref_emb`; otherwise both are one
            batch, which is what losses with proxies want.
        classes: how many proxies or centres labels choose from, so that labels must be 0..classes-1; None without them.
        name: the term's name in the log; the loss's class in lower case by default.
    """

    def __init__(
        self, loss: nn.Module, *, against: bool = False, classes: int | None = None, name: str | None = None
    ) -> None:
        super().__init__(name or (type(loss).__name__.lower() if type(self) is Adapted else None))
        self.loss, self.against, self.classes = loss, against, classes

    def forward(self, batch: Batch) -> Tensor:
        """The library's value on a batch.

        Raises:
            InkseekError: a label without a proxy.
        """
        if self.classes is not None:
            labels = batch.everyone_labels
            if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.classes:
                raise InkseekError(
                    f"{self.name}: labels must be 0..{self.classes - 1}, one for each of its {self.classes} classes, "
                    f"not {int(labels.min())}..{int(labels.max())}"
                )
        if self.against and not batch.one_domain:
            value = self.loss(
                batch.anchors, batch.anchor_labels, ref_emb=batch.candidates, ref_labels=batch.candidate_labels
            )
        else:
            value = self.loss(batch.everyone, batch.everyone_labels)
        # Where there is nothing to compare, some of the library's losses return a number without a graph.
        return torch.as_tensor(value, device=batch.anchors.device) + 0 * batch.everyone.sum()

    def extra_repr(self) -> str:
        """The library's name for the loss."""
        return type(self.loss).__name__


class SoftTriple(Adapted):
    """Softmax over classes of several centres each, softly assigned, with a margin; centres too many grow together.

    Formula:
        s_c = sum_k softmax_k(x.w_ck / gamma) x.w_ck; L = CE(scale (s - margin at the own class)) + merge R, R the mean
        distance of a class's own centres.

    Arguments:
        classes: how many; labels are 0..classes-1.
        dim: the embedding's.
        centres: centres a class.
        scale: lambda.
        gamma: softness of the assignment.
        margin: delta.
        merge: tau, the weight of R.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels), both domains as one batch. Needs
        pytorch-metric-learning.

    Recommendations:
        Random or PK batches; the centres want a learning rate of their own, 100 times the backbone's.

    Source:
        Qian et al., SoftTriple Loss: Deep Metric Learning Without Triplet Sampling, ICCV 2019.
    """

    def __init__(
        self,
        classes: int,
        dim: int,
        *,
        centres: int = 10,
        scale: float = 20.0,
        gamma: float = 0.1,
        margin: float = 0.01,
        merge: float = 0.2,
        name: str | None = None,
    ) -> None:
        sparse = _library("regularizers").SparseCentersRegularizer(classes, centres)
        loss = _library("losses").SoftTripleLoss(
            classes, dim, centres, scale, gamma, margin, weight_regularizer=sparse, weight_reg_weight=merge
        )
        super().__init__(loss, classes=classes, name=name)


class RankedList(Adapted):
    """Positives inside a ball, negatives outside a larger one, nearer negatives weighing more.

    Formula:
        L = (1/B) sum_a [ (1 - balance) mean_p [d_ap - (boundary - margin)]_+ + balance sum_n w_n [boundary - d_an]_+ ],
        w_n normalised from exp(temperature (boundary - d_an)), d Euclidean on unit embeddings.

    Arguments:
        margin: m, between the two balls.
        boundary: alpha, the larger ball's radius.
        temperature: T of the negatives' weights.
        balance: lambda.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels), both domains as one batch. Needs
        pytorch-metric-learning.

    Recommendations:
        A batch of classes x items, 60 x 3 in the paper.

    Source:
        Wang et al., Ranked List Loss for Deep Metric Learning, CVPR 2019; on the last layer alone (RLL-H).
    """

    def __init__(
        self,
        margin: float = 0.4,
        *,
        boundary: float = 1.2,
        temperature: float = 10.0,
        balance: float = 0.5,
        name: str | None = None,
    ) -> None:
        with warnings.catch_warnings():
            # It warns of overflow from a temperature of 5 on; the paper's exp(10 x 1.2) is far from it.
            warnings.filterwarnings("ignore", message="Values of Tp or Tn are too high")
            loss = _library("losses").RankedListLoss(margin, temperature, balance, boundary, 0)
        super().__init__(loss, name=name)


class Circle(Adapted):
    """Similarities that are far from their optimum weigh more, positives and negatives in one soft maximum.

    Formula:
        L = softplus( LSE_n(gamma [s_n + m]_+ (s_n - m)) + LSE_p(-gamma [1 + m - s_p]_+ (s_p - 1 + m)) ) an anchor.

    Arguments:
        margin: m.
        gamma: the scale.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels). Needs pytorch-metric-learning.

    Recommendations:
        A batch of classes x items, 16 x 5 in the paper.

    Source:
        Sun et al., Circle Loss: A Unified Perspective of Pair Similarity Optimization, CVPR 2020.
    """

    def __init__(self, margin: float = 0.4, *, gamma: float = 80.0, name: str | None = None) -> None:
        super().__init__(_library("losses").CircleLoss(margin, gamma), against=True, name=name)


class ProxyAnchor(Adapted):
    """Every proxy as an anchor against the whole batch.

    Formula:
        L = (1/|P+|) sum_(p in P+) log(1 + sum_(x of p) exp(-alpha (s - delta)))
          + (1/|P|) sum_p log(1 + sum_(x not of p) exp(alpha (s + delta))), P+ the proxies with items in the batch.

    Arguments:
        classes: how many; labels are 0..classes-1.
        dim: the embedding's.
        margin: delta.
        alpha: the scale.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels), both domains as one batch. Needs
        pytorch-metric-learning.

    Recommendations:
        Random batches of 180, and a learning rate of the proxies 100 times the backbone's.

    Source:
        Kim et al., Proxy Anchor Loss for Deep Metric Learning, CVPR 2020.
    """

    def __init__(
        self, classes: int, dim: int, *, margin: float = 0.1, alpha: float = 32.0, name: str | None = None
    ) -> None:
        super().__init__(_library("losses").ProxyAnchorLoss(classes, dim, margin, alpha), classes=classes, name=name)


class ProxyNCA(Adapted):
    """Softmax over the squared distances to one proxy a class.

    Formula:
        L = -log softmax_c(-scale |x - w_c|^2) at the own class, on unit vectors; scale 1 is ProxyNCA in its probability
        form, 9 is ProxyNCA++'s low temperature.

    Arguments:
        classes: how many; labels are 0..classes-1.
        dim: the embedding's.
        scale: of the squared distances.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels), both domains as one batch. Needs
        pytorch-metric-learning.

    Recommendations:
        ProxyNCA++ is scale 9 with a learning rate of the proxies far above the backbone's (4 against 4e-3 there).

    Source:
        Movshovitz-Attias et al., No Fuss Distance Metric Learning using Proxies, ICCV 2017; Teh et al., ProxyNCA++,
        ECCV 2020.
    """

    def __init__(self, classes: int, dim: int, *, scale: float = 1.0, name: str | None = None) -> None:
        loss = _library("losses").ProxyNCALoss(classes, dim, softmax_scale=scale)
        super().__init__(loss, classes=classes, name=name)


class Angular(Adapted):
    """The angle at the negative of a triplet should be small.

    Formula:
        L = mean_(a,p) log(1 + sum_n exp(4 tan^2(alpha) (a + p).n - 2 (1 + tan^2(alpha)) a.p)), on unit vectors.

    Arguments:
        alpha: the angle in degrees.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels). Needs pytorch-metric-learning.

    Recommendations:
        A batch of classes x items; often beside the N-pair loss.

    Source:
        Wang et al., Deep Metric Learning with Angular Loss, ICCV 2017.
    """

    def __init__(self, alpha: float = 40.0, *, name: str | None = None) -> None:
        super().__init__(_library("losses").AngularLoss(alpha), against=True, name=name)


class GeneralizedLifted(Adapted):
    """Soft maximum of an anchor's positive distances against that of its negatives' nearness.

    Formula:
        L = (1/B) sum_a [ log sum_p exp(d_ap) + log sum_n exp(margin - d_an) ]_+, d Euclidean on unit vectors.

    Arguments:
        margin: m.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels). Needs pytorch-metric-learning.

    Recommendations:
        A batch of classes x items, 18 x 4 in the paper.

    Source:
        Hermans et al., In Defense of the Triplet Loss for Person Re-Identification, 2017.
    """

    def __init__(self, margin: float = 1.0, *, name: str | None = None) -> None:
        super().__init__(_library("losses").GeneralizedLiftedStructureLoss(margin, 0), against=True, name=name)


class TupletMargin(Adapted):
    """One positive against all negatives of the batch, with a margin on the positive's angle.

    Formula:
        L = mean_(a,p) log(1 + sum_n exp(scale (cos t_an - cos(t_ap - margin)))), t angles.

    Arguments:
        margin: beta in degrees.
        scale: s.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels). Needs pytorch-metric-learning.

    Recommendations:
        In the paper beside `0.5 * IntraPairVariance()`.

    Source:
        Yu and Tao, Deep Metric Learning with Tuplet Margin Loss, ICCV 2019.
    """

    def __init__(self, margin: float = 5.73, *, scale: float = 64.0, name: str | None = None) -> None:
        super().__init__(_library("losses").TupletMarginLoss(margin, scale), against=True, name=name)


class IntraPairVariance(Adapted):
    """Positives' similarities near their mean, and negatives' near theirs: RDVC's closest relative.

    Formula:
        L = mean_p [(1 - positive) mean(s_p) - s_p]_+^2 + mean_n [s_n - (1 + negative) mean(s_n)]_+^2 over the batch.

    Arguments:
        positive: epsilon of the positives.
        negative: epsilon of the negatives.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels). Needs pytorch-metric-learning.

    Recommendations:
        Never alone; a weight of 0.5 beside the tuplet margin loss.

    Source:
        Yu and Tao, Deep Metric Learning with Tuplet Margin Loss, ICCV 2019.
    """

    def __init__(self, positive: float = 0.01, negative: float = 0.01, *, name: str | None = None) -> None:
        super().__init__(_library("losses").IntraPairVarianceLoss(positive, negative), against=True, name=name)


class ThresholdConsistentMargin(Adapted):
    """A regulariser that pulls hard positives over one similarity and hard negatives under another.

    Formula:
        L = mean over s_p <= upper of (upper - s_p) + mean over s_n >= lower of (s_n - lower), s cosine.

    Arguments:
        upper: m+.
        lower: m-.
        name: the term's name in the log.

    Inputs:
        (embeddings, labels) or (sketches, sketch_labels, photos, photo_labels), both domains as one batch. Needs
        pytorch-metric-learning.

    Recommendations:
        Beside a base loss.

    Source:
        Zhang et al., Threshold-Consistent Margin Loss for Open-World Deep Metric Learning, ICLR 2024.
    """

    def __init__(self, upper: float = 0.9, lower: float = 0.5, *, name: str | None = None) -> None:
        loss = _library("losses").ThresholdConsistentMarginLoss(margin_plus=upper, margin_minus=lower)
        super().__init__(loss, name=name)  # its negatives are looked up among the anchors: one batch is all it can do


def _library(part: str) -> Any:
    """A module of pytorch-metric-learning.

    Raises:
        InkseekError: the library is not installed, or not a version whose constants and call are known here.
    """
    try:
        import pytorch_metric_learning as library
    except ImportError:
        raise InkseekError(
            "this loss is pytorch-metric-learning's, which is not installed: pip install 'inkseek[competitors]'"
        ) from None
    if not library.__version__.startswith("2."):
        raise InkseekError(
            f"pytorch-metric-learning {library.__version__} is installed, and 2.9 is needed: "
            "pip install 'inkseek[competitors]'"
        )
    return importlib.import_module(f"pytorch_metric_learning.{part}")
