from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkseek.gallery.index import FlatIndex


@given(st.integers(0, 30), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_it_finds_what_sorting_all_products_finds(n: int, k: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    # Whole numbers, so that products are exact and ties common.
    vectors = chance.integers(-3, 4, (n, 5)).astype(np.float32)
    queries = chance.integers(-3, 4, (2, 5)).astype(np.float32)
    ids = chance.permutation(1000)[:n].astype(np.int64)
    index = FlatIndex(5)
    index.add(ids, vectors)
    gone = ids[: n // 3]
    index.remove(gone)
    kept = np.isin(ids, gone, invert=True)
    assert len(index) == kept.sum()
    assert sorted(index.ids.tolist()) == sorted(ids[kept].tolist())
    scores, found = index.search(queries, k)
    for query, row_scores, row_ids in zip(queries, scores, found, strict=True):
        products = {int(i): float(v @ query) for i, v in zip(ids[kept], vectors[kept], strict=True)}
        best = sorted(products.values(), reverse=True)[:k]
        assert row_scores.tolist() == best
        assert [products[i] for i in row_ids.tolist()] == best
        assert len(set(row_ids.tolist())) == len(best)
    some = chance.permutation(ids[kept])[: n // 2]
    np.testing.assert_array_equal(index.vectors(some), vectors[[ids.tolist().index(i) for i in some]])
    scores, found = index.search(queries, k, among=some)
    for query, row_scores, row_ids in zip(queries, scores, found, strict=True):
        products = {int(i): float(v @ query) for i, v in zip(some, index.vectors(some), strict=True)}
        assert row_scores.tolist() == sorted(products.values(), reverse=True)[:k]
        assert [products[i] for i in row_ids.tolist()] == row_scores.tolist()


def test_copies_come_in_the_order_of_their_ids() -> None:
    index = FlatIndex(2)
    index.add(np.array([9, 3, 7]), np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32))
    _, ids = index.search(np.array([[1, 0]], dtype=np.float32), 3)
    assert ids.tolist() == [[3, 9, 7]]


def test_a_library_that_changes_faiss_changes_nothing_here() -> None:
    """pytorch-metric-learning loads this module, which replaces methods of every index."""
    importlib.import_module("faiss.contrib.torch_utils")
    index = FlatIndex(2)
    index.add(np.array([9, 3, 7]), np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32))
    scores, ids = index.search(np.array([[1, 0]], dtype=np.float32), 3, among=np.array([7, 9]))
    assert (ids.tolist(), scores.tolist()) == ([[9, 7]], [[1, 0]])
    index.remove(np.array([9]))
    assert index.ids.tolist() == [3, 7]
    with pytest.raises(ValueError, match="queries of 3 numbers"):
        index.search(np.zeros((1, 3), dtype=np.float32), 1)
