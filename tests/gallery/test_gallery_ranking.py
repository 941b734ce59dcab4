"""Folding near-duplicates and cutting off, beside the plain loops that say what they mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkseek.errors import InkseekError
from inkseek.gallery.ranking import NEAR_DUPLICATE, distance, fold, near_duplicates, within


def units(n: int, dim: int, seed: int) -> npt.NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@given(st.integers(0, 25), st.integers(1, 8), st.floats(0.1, 0.99), st.integers(0, 2**32 - 1))
def test_each_picture_joins_the_first_it_is_like(n: int, k: int, alike: float, seed: int) -> None:
    vectors = units(n, 3, seed)
    groups, whole = fold(vectors, alike, k)
    expected: list[list[int]] = []
    ended = False
    for i in range(n):
        for group in expected:
            if float(vectors[group[0]].astype(float) @ vectors[i]) >= alike - 1e-6:
                group.append(i)
                break
        else:
            if len(expected) == k:
                ended = True
                break
            expected.append([i])
    assert (groups, whole) == (expected, ended)
    # A ranking computed farther gives no other answer.
    if whole:
        assert fold(np.concatenate([vectors, units(5, 3, seed + 1)]), alike, k) == (groups, True)


def test_copies_fold_at_any_threshold() -> None:
    vectors = np.repeat(units(3, 512, 0), 2, axis=0)
    assert fold(vectors, 1.0, 9) == ([[0, 1], [2, 3], [4, 5]], False)


def test_what_counts_as_near_duplicate() -> None:
    assert near_duplicates(False) is None
    assert near_duplicates(True) == NEAR_DUPLICATE
    assert near_duplicates(0.9) == 0.9
    for wrong in (0.0, 1.5, float("nan")):
        with pytest.raises(InkseekError, match=r"cosine similarity in \(0, 1\]"):
            near_duplicates(wrong)


def test_the_cut_is_at_the_distance_of_the_best_plus_the_margin() -> None:
    a, *others = units(40, 8, 1)
    ranked = sorted((float(a @ other) for other in others), reverse=True)
    distances = sorted(float(np.linalg.norm(a.astype(float) - other)) for other in others)
    assert [distance(score) for score in ranked] == pytest.approx(distances, abs=1e-6)
    for margin in (0.05, 0.3, 4.0):
        assert within(ranked, margin) == sum(d < distances[0] + margin for d in distances)
    assert within([1.0000001, 1.0], 0.01) == 2
    assert within([], 0.1) == 0
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(InkseekError, match="must be above 0"):
            within(ranked, wrong)
