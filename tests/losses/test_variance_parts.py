"""Parts of RDVC's variance, against plain loops and against RDVC itself."""

from __future__ import annotations

import statistics
from itertools import chain

import pytest
import torch
from torch import Tensor

from inkseek.errors import InkseekError
from inkseek.losses import RDVC, Batch, Triplet, VarianceParts

LABELS = [0, 0, 0, 1, 1, 2, 2, 2, 2, 3]


def embeddings() -> Tensor:
    return torch.randn(10, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def distances(batch: Batch) -> tuple[list[list[float]], list[list[float]]]:
    """Each anchor's distances to its positives and to its negatives."""
    d = batch.relations("sqeuclidean").distance.tolist()
    n = range(len(LABELS))
    positives = [[d[i][j] for j in n if j != i and LABELS[j] == LABELS[i]] for i in n]
    return positives, [[d[i][j] for j in n if LABELS[j] != LABELS[i]] for i in n]


def test_separate_is_the_two_variances() -> None:
    batch = Batch(embeddings(), LABELS)
    positives, negatives = distances(batch)
    expected = sum(statistics.variance(chain(*lists)) for lists in (positives, negatives))
    assert float(VarianceParts("separate", "sqeuclidean")(batch)) == pytest.approx(expected, rel=1e-12)


def test_between_is_the_variance_of_each_anchors_mean_difference() -> None:
    batch = Batch(embeddings(), LABELS)
    values = []
    for near, far in zip(*distances(batch), strict=True):
        if near:
            values += [statistics.fmean(near) - statistics.fmean(far)] * (len(near) * len(far))
    expected = statistics.variance(values)
    assert float(VarianceParts("between", "sqeuclidean")(batch)) == pytest.approx(expected, rel=1e-12)


def test_between_is_at_most_rdvc() -> None:
    batch = Batch(embeddings(), LABELS)
    assert 0 < float(VarianceParts("between", "cosine")(batch)) < float(RDVC("cosine")(batch))


def test_it_rides_on_a_base_loss() -> None:
    with pytest.raises(InkseekError, match="no distance"):
        VarianceParts()(embeddings(), LABELS)
    objective = Triplet(0.5, "cosine") + 0.5 * VarianceParts("between")
    apart = [term(embeddings(), LABELS) for term in (Triplet(0.5, "cosine"), VarianceParts("between", "cosine"))]
    assert torch.isclose(objective(embeddings(), LABELS), apart[0] + 0.5 * apart[1])
    with pytest.raises(InkseekError, match="part must be between or separate"):
        VarianceParts("both")  # type: ignore[arg-type]
