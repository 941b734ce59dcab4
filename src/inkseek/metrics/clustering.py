"""How well k-means clusters of the embeddings agree with the classes: NMI, AMI, pairwise F1."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inkseek.errors import InkseekError
from inkseek.metrics.names import CLUSTERING

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Clustering:
    """What several k-means of one set of embeddings say.

    Attributes:
        figures: `NMI`, `AMI`, `F1` -> one figure a seed.
        clusters: k, the number of classes.
        seeds: of the k-means.
        restarts: initialisations of each, of which the one of least inertia counts.
        iterations: at most so many each.
    """

    figures: dict[str, tuple[float, ...]]
    clusters: int
    seeds: tuple[int, ...]
    restarts: int
    iterations: int

    def means(self) -> dict[str, float]:
        """Return each figure's mean over the seeds."""
        return {name: float(np.mean(values)) for name, values in self.figures.items()}

    def __str__(self) -> str:
        """Say how the figures came about, and how far they move with the seed."""
        spread = ", ".join(f"{name} {min(v):.4f} to {max(v):.4f}" for name, v in self.figures.items())
        return (
            f"NMI (arithmetic), AMI, F1 (of pairs): means over k-means of seeds {', '.join(map(str, self.seeds))} on "
            f"unit embeddings, k = {self.clusters} classes, k-means++, restarts {self.restarts}, at most "
            f"{self.iterations} iterations; by seed {spread}. NMI is high with many clusters whatever the embeddings: "
            "read AMI beside it"
        )


def cluster(
    embeddings: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    restarts: int = 1,
    iterations: int = 300,
) -> Clustering:
    """Cluster unit embeddings by k-means, k the number of classes, and hold the clusters against the classes.

    Args:
        embeddings: [N, D], brought to unit length; a zero vector stays zero.
        labels: [N] integers.
        seeds: one k-means for each. The experimental base of the SEC paper has one seed, 0, and 10 restarts.
        restarts: initialisations (k-means++) of each, of which the one of least inertia counts.
        iterations: at most so many Lloyd steps each.

    Raises:
        InkseekError: arrays that do not fit together, are empty, or hold NaN or infinity; no seed.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    x, y = np.asarray(embeddings, dtype=np.float32), np.asarray(labels)
    if x.ndim != 2 or x.size == 0 or y.shape != (len(x),) or y.dtype.kind not in "iu":
        raise InkseekError(
            f"embeddings have shape {x.shape}, labels {y.shape} of {y.dtype}: give a table and an integer for each row"
        )
    if not np.isfinite(x).all():
        raise InkseekError("the embeddings hold NaN or infinity: check the model")
    if not seeds:
        raise InkseekError("no seed was given: k-means needs one at least")
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    clusters = len(np.unique(y))
    figures: dict[str, list[float]] = {name: [] for name in CLUSTERING}
    for seed in seeds:
        means = KMeans(clusters, init="k-means++", n_init=restarts, max_iter=iterations, random_state=seed)
        with warnings.catch_warnings():
            # Fewer distinct embeddings than classes is what a collapsed model gives; its figures say so.
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = means.fit_predict(x)
        for name, value in zip(CLUSTERING, (nmi(y, found), ami(y, found), pairwise_f1(y, found)), strict=True):
            figures[name].append(value)
    return Clustering(
        {name: tuple(values) for name, values in figures.items()}, clusters, tuple(seeds), restarts, iterations
    )


def nmi(labels: npt.ArrayLike, clusters: npt.ArrayLike) -> float:
    """Normalised mutual information 2 I(C; Y) / (H(C) + H(Y)), the arithmetic normalisation."""
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(labels, clusters, average_method="arithmetic"))


def ami(labels: npt.ArrayLike, clusters: npt.ArrayLike) -> float:
    """Mutual information adjusted for chance: 0 for clusters that know nothing of the classes, however many."""
    from sklearn.metrics import adjusted_mutual_info_score

    return float(adjusted_mutual_info_score(labels, clusters, average_method="arithmetic"))


def pairwise_f1(labels: npt.ArrayLike, clusters: npt.ArrayLike) -> float:
    """F1 over pairs of items: 2 TP / (2 TP + FP + FN), TP the pairs of one class that share a cluster.

    With n_yc items of class y in cluster c, TP = sum C(n_yc, 2); pairs that share a cluster number sum C(n_c, 2), pairs
    of one class sum C(n_y, 2), all counted in integers.

    Returns:
        NaN where no two items share a class or a cluster.
    """
    y, c = np.asarray(labels), np.asarray(clusters)
    if y.shape != c.shape or y.ndim != 1:
        raise InkseekError(f"labels have shape {y.shape}, clusters {c.shape}: give one of each an item")
    _, y = np.unique(y, return_inverse=True)
    _, c = np.unique(c, return_inverse=True)
    both, in_cluster, in_class = (_pairs(of) for of in (y * (int(c.max(initial=0)) + 1) + c, c, y))
    return 2 * both / (in_cluster + in_class) if in_cluster + in_class else float("nan")


def _pairs(groups: Ints) -> int:
    """How many pairs of items are in one group."""
    sizes = np.unique(groups, return_counts=True)[1].astype(np.int64)
    return int((sizes * (sizes - 1) // 2).sum())
