"""The moments over all triplets against the triplets themselves."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkseek.errors import InkseekError
from inkseek.metrics.variance import Distance, batch_variances, relative_distances

Array = npt.NDArray[Any]


def every_triplet(a: Array, a_labels: Array, c: Array, c_labels: Array, distance: Distance, alone: bool) -> list[float]:
    def d(x: Array, y: Array) -> float:
        if distance == "cosine":
            return float(1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y))
        return float(((x - y) ** 2).sum())

    return [
        d(a[i], c[p]) - d(a[i], c[n])
        for i in range(len(a))
        for p in range(len(c))
        for n in range(len(c))
        if c_labels[p] == a_labels[i] != c_labels[n] and not (alone and i == p)
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["cosine", "sqeuclidean"]), st.booleans(), st.integers(1, 4))
def test_moments_and_sample_of_all_triplets(seed: int, distance: Distance, alone: bool, classes: int) -> None:
    rng = np.random.default_rng(seed)
    a, a_labels = rng.normal(size=(7, 3)), rng.integers(0, classes, 7)
    c, c_labels = (a, a_labels) if alone else (rng.normal(size=(9, 3)), rng.integers(0, classes, 9))
    explicit = every_triplet(a, a_labels, c, c_labels, distance, alone)
    found = relative_distances(a, a_labels, *(() if alone else (c, c_labels)), distance=distance)
    assert found.triplets == len(explicit)
    np.testing.assert_allclose(np.sort(found.sample), np.sort(explicit), atol=1e-12)
    if explicit:
        assert found.mean == pytest.approx(np.mean(explicit))
    else:
        assert np.isnan(found.mean)
    assert found.variance == pytest.approx(np.var(explicit, ddof=1) if len(explicit) > 1 else 0.0)


def test_blocks_join(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(40, 4)), rng.integers(0, 5, 40)
    whole = relative_distances(x, labels)
    monkeypatch.setattr("inkseek.metrics.variance._BLOCK_BYTES", 8 * 40 * 3)
    cut = relative_distances(x, labels)
    assert (cut.mean, cut.variance) == pytest.approx((whole.mean, whole.variance), rel=1e-12)
    np.testing.assert_allclose(cut.sample, whole.sample, atol=1e-12)


def test_the_sample_is_fixed_by_its_seed_and_even_over_triplets() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(80, 4)), rng.integers(0, 4, 80)
    whole = relative_distances(x, labels)
    drawn = relative_distances(x, labels, sample=20_000, seed=3)
    assert whole.triplets > 20_000 == len(drawn.sample)
    np.testing.assert_array_equal(drawn.sample, relative_distances(x, labels, sample=20_000, seed=3).sample)
    assert not np.array_equal(drawn.sample, relative_distances(x, labels, sample=20_000, seed=4).sample)
    assert (drawn.mean, drawn.variance) == (whole.mean, whole.variance)
    assert drawn.sample.mean() == pytest.approx(whole.mean, abs=0.01)
    assert drawn.sample.var() == pytest.approx(whole.variance, rel=0.05)


def test_near_collapse_the_variance_survives() -> None:
    rng = np.random.default_rng(0)
    x, labels = 1.0 + 1e-5 * rng.normal(size=(12, 3)), np.arange(12) % 3
    found = relative_distances(x, labels, distance="sqeuclidean")
    explicit = every_triplet(x, labels, x, labels, "sqeuclidean", alone=True)
    assert found.variance == pytest.approx(np.var(explicit, ddof=1), rel=1e-3)


def test_on_the_unit_sphere_squared_euclidean_has_four_times_the_variance_of_cosine() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 5))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    cosine, squared = (relative_distances(x, np.arange(20) % 4, distance=d) for d in ("cosine", "sqeuclidean"))
    assert squared.variance == pytest.approx(4 * cosine.variance)


def test_the_variance_of_a_batch_that_is_the_whole_set() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(12, 5)), np.repeat([3, 7, 9], 4)
    whole = relative_distances(x, labels, distance="sqeuclidean").variance
    found = batch_variances(x, labels, classes=3, each=4, batches=3, distance="sqeuclidean")
    assert found == pytest.approx([whole] * 3)
    y = rng.normal(size=(9, 5))
    with pytest.raises(InkseekError, match="come together"):
        batch_variances(x, labels, y, classes=3, each=4)
    across = batch_variances(x[[0, 4, 8]], [3, 7, 9], y[::3], [9, 3, 7], classes=3, each=1, batches=2)
    assert across == pytest.approx([relative_distances(x[[0, 4, 8]], [3, 7, 9], y[::3], [9, 3, 7]).variance] * 2)


def test_batches_are_of_p_classes_and_fixed_by_their_seed() -> None:
    """Embeddings of one class are one point, so that a batch's variance says which classes it holds."""
    rng = np.random.default_rng(0)
    centres, labels = rng.normal(size=(4, 6)), np.repeat(np.arange(4), [2, 5, 5, 5])

    def drawn(batches: int, seed: int) -> Array:
        return batch_variances(centres[labels], labels, classes=3, each=3, batches=batches, seed=seed)

    found = drawn(40, seed=5)
    of_classes = [np.repeat(trio, 3) for trio in combinations(range(4), 3)]
    possible = {round(relative_distances(centres[of], of).variance, 9) for of in of_classes}
    assert len(possible) == 4
    assert {round(v, 9) for v in found} == possible
    np.testing.assert_array_equal(found[:7], drawn(7, seed=5))
    assert not np.array_equal(found, drawn(40, seed=6))


@pytest.mark.parametrize(
    ("classes", "each", "message"), [(1, 3, "from 2 to the 3"), (4, 3, "from 2"), (2, 1, "no triplet")]
)
def test_batches_that_hold_no_triplet_are_refused(classes: int, each: int, message: str) -> None:
    with pytest.raises(InkseekError, match=message):
        batch_variances(np.eye(9), np.arange(9) % 3, classes=classes, each=each)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_a_set_without_triplets(labels: list[int]) -> None:
    found = relative_distances(np.eye(3), labels)
    assert (found.triplets, found.variance, len(found.sample)) == (0, 0.0, 0)
    assert np.isnan(found.mean)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.eye(3), [0, 1]), "a label for each row"),
        ((np.eye(3), [0.0, 1.0, 2.0]), "give integers"),
        ((np.full((3, 3), np.nan), [0, 1, 2]), "NaN or infinity"),
        ((np.eye(3), [0, 1, 2], np.eye(2), [0, 1]), "one model"),
        ((np.eye(3), [0, 1, 2], np.eye(3)), "come together"),
    ],
)
def test_what_does_not_fit_is_said(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InkseekError, match=message):
        relative_distances(*arguments)
