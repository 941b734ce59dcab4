"""Scores equal for equal vectors, in the order asked for, and the query itself below all others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkseek.metrics.scoring import Own, Scores, Similarity, _originals


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.integers(-1, 1), min_size=2, max_size=2), min_size=1, max_size=20), st.integers(1, 4))
def test_rows_of_the_same_bytes_are_found_whatever_their_keys(rows: list[list[int]], keys: int) -> None:
    """Keys that collide cost time and no truth; equal rows have equal keys."""
    vectors = np.array(rows, dtype=np.float32)
    hashed = np.array([hash(tuple(row)) % keys for row in rows], dtype=np.uint64)
    assert _originals(vectors, hashed).tolist() == [rows.index(row) for row in rows]


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_scores_by_their_definitions(similarity: Similarity, copies: bool, threads: int) -> None:
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(2500, 5)).astype(np.float32)
    if copies:
        gallery[1000:1300] = gallery[7]
    order, queries = rng.permutation(2500), rng.normal(size=(3, 5)).astype(np.float32)
    found = np.empty((3, 2500), dtype=np.float32)
    Scores(gallery, similarity, order, threads)(queries, found)
    q, g = queries.astype(np.float64)[:, None], gallery[order].astype(np.float64)
    expected = (q * g).sum(axis=2)
    if similarity == "cosine":
        expected /= np.linalg.norm(q, axis=2) * np.linalg.norm(g, axis=1)
    if similarity == "euclidean":
        expected = (np.linalg.norm(q, axis=2) ** 2 - np.linalg.norm(q - g, axis=2) ** 2) / 2
    np.testing.assert_allclose(found, expected, atol=1e-5)
    if copies:
        of_copies = found[:, (order == 7) | ((order >= 1000) & (order < 1300))]
        assert (of_copies == of_copies[:, :1]).all()


def test_every_gallery_item_of_the_querys_id_is_left_out() -> None:
    scores = np.zeros((2, 4), dtype=np.float32)
    own = Own(["a", "x", "b"], ["b", "a", "c", "a"], 3, 4, np.array([3, 2, 1, 0]))
    own.leave_out(np.array([0, 2]), scores)
    assert (scores == -np.inf).tolist() == [[True, False, True, False], [False, False, False, True]]
