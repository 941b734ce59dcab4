"""Relative distances D = d(a,p) - d(a,n): exact moments over all triplets of a set, or of each of its mini-batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from inkseek.errors import InkseekError

Distance = Literal["cosine", "sqeuclidean"]
Floats = npt.NDArray[np.float64]

_BLOCK_BYTES = 2**25


@dataclass(frozen=True, eq=False)
class RelativeDistances:
    """The relative distances of every triplet (anchor, positive, negative) of a set.

    Attributes:
        mean: of D over all triplets; NaN without triplets. Below 0 where positives are nearer than negatives.
        variance: of D over all triplets, unbiased (RDVC, Eq. 6); 0 with fewer than two triplets.
        triplets: how many there are.
        sample: D of triplets drawn evenly, for densities; all of them where they are no more than the sample's size.
        distance: what d is.
    """

    mean: float
    variance: float
    triplets: int
    sample: Floats
    distance: Distance


def relative_distances(
    anchors: npt.ArrayLike,
    anchor_labels: npt.ArrayLike,
    candidates: npt.ArrayLike | None = None,
    candidate_labels: npt.ArrayLike | None = None,
    *,
    distance: Distance = "cosine",
    sample: int = 1_000_000,
    seed: int = 0,
) -> RelativeDistances:
    """Measure D = d(a,p) - d(a,n) over all triplets in O(N^2) time and O(N) memory.

    With K_i positives and L_i negatives of anchor i at mean distances a_i, b_i and population variances s_i^2, t_i^2,
    and n_i = K_i L_i, N = sum n_i: the mean is sum n_i (a_i - b_i) / N, and the variance is
    sum n_i [s_i^2 + t_i^2 + (a_i - b_i - mean)^2] / (N - 1). Row means are taken before squares, because
    E[d^2] - E[d]^2 cancels near collapse.

    Args:
        anchors: [A, D] embeddings.
        anchor_labels: [A] integers; a candidate of the same label is a positive, any other a negative.
        candidates: [C, D] embeddings of the other domain; None takes the anchors themselves, each without itself.
        candidate_labels: [C] integers.
        distance: `cosine`, 1 - cos, or `sqeuclidean` of the vectors as they are.
        sample: how many triplets to draw for densities.
        seed: of the draw.

    Returns:
        Moments and sample.

    Raises:
        InkseekError: arrays that do not fit together, or hold NaN or infinity.
    """
    a, a_labels = _side(anchors, anchor_labels, "anchor", distance)
    alone = candidates is None
    if candidates is None or candidate_labels is None:
        if candidates is not None or candidate_labels is not None:
            raise InkseekError("candidates and their labels come together: give both, or neither")
        c, c_labels = a, a_labels
    else:
        c, c_labels = _side(candidates, candidate_labels, "candidate", distance)
    if a.shape[1] != c.shape[1]:
        raise InkseekError(f"anchors have {a.shape[1]} dimensions, candidates {c.shape[1]}: use one model for both")

    # Candidates in the order of their labels: an anchor's positives are the columns from `start` to `stop`.
    order = np.argsort(c_labels, kind="stable")
    c, c_labels = c[order], c_labels[order]
    start, stop = (np.searchsorted(c_labels, a_labels, side=side) for side in ("left", "right"))
    itself = np.argsort(order) if alone else np.full(len(a), -1)
    positives = stop - start - alone
    negatives = len(c) - (stop - start)
    triplets = positives * negatives
    total = int(triplets.sum())

    # The t-th triplet of anchor i is its positive t // L_i with its negative t % L_i, so a number names a triplet.
    ends = np.cumsum(triplets)
    drawn = np.arange(total) if total <= sample else np.sort(np.random.default_rng(seed).integers(0, total, sample))
    owner = np.searchsorted(ends, drawn, side="right")
    within = drawn - (ends - triplets)[owner]
    relative = np.empty(len(drawn))

    gap, spread = np.zeros(len(a)), np.zeros(len(a))
    column = np.arange(len(c))
    for at in range(0, len(a), rows := max(1, _BLOCK_BYTES // (8 * len(c)))):
        block = slice(at, at + rows)
        d = _distances(a[block], c, distance)
        same = (column >= start[block, None]) & (column < stop[block, None])
        mean_positive, spread_positive = _moments(d, same & (column != itself[block, None]), positives[block])
        mean_negative, spread_negative = _moments(d, ~same, negatives[block])
        gap[block] = mean_positive - mean_negative
        spread[block] = spread_positive + spread_negative

        taken = slice(*np.searchsorted(owner, [at, at + rows]))
        i, t = owner[taken], within[taken]
        p, n = start[i] + t // negatives[i], t % negatives[i]
        p += (itself[i] >= 0) & (p >= itself[i])
        n = np.where(n < start[i], n, n + (stop - start)[i])
        relative[taken] = d[i - at, p] - d[i - at, n]

    mean = float(triplets @ gap) / total if total else float("nan")
    variance = float(triplets @ (spread + (gap - mean) ** 2)) / (total - 1) if total > 1 else 0.0
    return RelativeDistances(mean, variance, total, relative, distance)


def batch_variances(
    anchors: npt.ArrayLike,
    anchor_labels: npt.ArrayLike,
    candidates: npt.ArrayLike | None = None,
    candidate_labels: npt.ArrayLike | None = None,
    *,
    classes: int,
    each: int,
    batches: int = 1000,
    distance: Distance = "cosine",
    seed: int = 0,
) -> Floats:
    """Measure the variance of D within PK batches drawn from a set, as in Fig. 2b and 4a of the RDVC paper.

    Args:
        anchors: [A, D] embeddings.
        anchor_labels: [A] integers.
        candidates: [C, D] embeddings of the other domain; None draws from one domain.
        candidate_labels: [C] integers.
        classes: P, the classes of a batch, without repetition, of those that both sides have.
        each: K, the items of each class and side; without repetition where the class has as many.
        batches: how many to draw.
        distance: as for `relative_distances`.
        seed: of the draw; a batch depends on it and on the batch's number alone.

    Returns:
        [batches], the unbiased variance of D over all triplets of each batch (RDVC, Eq. 6).

    Raises:
        InkseekError: what `relative_distances` refuses; fewer than P classes; no batch, or one without triplets.
    """
    sides = [_side(anchors, anchor_labels, "anchor", distance)]
    if candidates is not None and candidate_labels is not None:
        sides.append(_side(candidates, candidate_labels, "candidate", distance))
    elif candidates is not None or candidate_labels is not None:
        raise InkseekError("candidates and their labels come together: give both, or neither")
    shared = np.unique(sides[0][1])
    shared = shared[np.isin(shared, sides[-1][1])]
    if not 2 <= classes <= len(shared):
        raise InkseekError(f"{classes} classes a batch: give a number from 2 to the {len(shared)} classes there are")
    if each < 3 - len(sides) or batches < 1:
        raise InkseekError(f"{batches} batches of {each} items a class hold no triplet: draw more")
    members = [{label: np.flatnonzero(labels == label) for label in shared} for _, labels in sides]
    result = np.empty(batches)
    for number in range(batches):
        rng = np.random.default_rng((seed, number))
        drawn = rng.choice(shared, classes, replace=False)
        batch: list[npt.NDArray[np.generic]] = []
        for (x, labels), of_class in zip(sides, members, strict=True):
            own = [rng.choice(of_class[label], each, replace=len(of_class[label]) < each) for label in drawn]
            index = np.concatenate(own)
            batch += [x[index], labels[index]]
        result[number] = relative_distances(*batch, distance=distance, sample=0).variance
    return result


def _moments(d: Floats, where: npt.NDArray[np.bool_], count: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return each row's mean and population variance over a mask; 0 and 0 for an empty row."""
    count = np.maximum(count, 1)
    mean = np.sum(d, axis=1, where=where) / count
    return mean, np.sum((d - mean[:, None]) ** 2, axis=1, where=where) / count


def _distances(a: Floats, c: Floats, distance: Distance) -> Floats:
    """Return [n, C] in float64: float32 would lose the variance of a set that is close to collapse."""
    d: Floats = a @ c.T
    if distance == "cosine":
        return np.subtract(1.0, d, out=d)
    d *= -2.0
    d += np.einsum("nd,nd->n", a, a)[:, None] + np.einsum("cd,cd->c", c, c)
    return np.maximum(d, 0.0, out=d)


def _side(
    x: npt.ArrayLike, labels: npt.ArrayLike, which: str, distance: Distance
) -> tuple[Floats, npt.NDArray[np.int64]]:
    vectors, y = np.asarray(x, dtype=np.float64), np.asarray(labels)
    if vectors.ndim != 2 or vectors.size == 0 or y.shape != (len(vectors),):
        raise InkseekError(
            f"{which}s have shape {vectors.shape} and labels {y.shape}: give a table and a label for each row"
        )
    if y.dtype.kind not in "iu":
        raise InkseekError(f"{which} labels are {y.dtype}: give integers, which no rounding can confuse")
    if not np.isfinite(vectors).all():
        raise InkseekError(f"{which} embeddings hold NaN or infinity: check the model")
    if distance == "cosine":
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return vectors, y.astype(np.int64)
