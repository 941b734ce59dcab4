"""Which vectors are nearest: an exact index in memory, a cache that the store can always rebuild."""

from __future__ import annotations

from typing import Any, Protocol

import faiss
import numpy as np

from inkseek.gallery.backend import Ids, Vectors


class Index(Protocol):
    """Unit vectors under ids; all that a gallery asks of an engine."""

    def __len__(self) -> int: ...

    @property
    def ids(self) -> Ids:
        """The ids it holds [N], in any order."""

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Put in vectors [N, dim] under new ids [N]."""

    def remove(self, ids: Ids) -> None:
        """Take out ids."""

    def vectors(self, ids: Ids) -> Vectors:
        """Return the vectors [N, dim] of ids [N] that it holds."""

    def search(self, queries: Vectors, k: int, among: Ids | None = None) -> tuple[Vectors, Ids]:
        """Return the cosine similarities and ids [Q, min(k, N)] of each query's nearest vectors, best first.

        `among`, ids that it holds, leaves every other out: the answer is of the nearest of these, as many as there are.
        """


class FlatIndex:
    """Exact search by inner product, which is cosine similarity for unit vectors (FAISS, IndexFlatIP)."""

    def __init__(self, dim: int) -> None:
        self._faiss = faiss.IndexIDMap2(faiss.IndexFlatIP(dim))

    def __len__(self) -> int:
        return int(self._faiss.ntotal)

    @property
    def ids(self) -> Ids:
        """The ids it holds [N], in any order."""
        return np.asarray(faiss.vector_to_array(self._faiss.id_map), dtype=np.int64)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Put in vectors [N, dim] under new ids [N]."""
        self._faiss.add_with_ids(np.ascontiguousarray(vectors), ids)

    def remove(self, ids: Ids) -> None:
        """Take out ids."""
        self._faiss.remove_ids(faiss.IDSelectorBatch(ids))

    def vectors(self, ids: Ids) -> Vectors:
        """Return the vectors [N, dim] of ids [N] that it holds."""
        return np.asarray(self._faiss.reconstruct_batch(np.ascontiguousarray(ids)), dtype=np.float32)

    def search(self, queries: Vectors, k: int, among: Ids | None = None) -> tuple[Vectors, Ids]:
        """Return the cosine similarities and ids [Q, min(k, N)] of each query's nearest vectors, best first.

        Equal similarities (copies of one picture) come in the order of their ids. `among`, ids that it holds, leaves
        every other out: the answer is of the nearest of these, as many as there are.
        """
        k = min(k, len(self) if among is None else len(among))
        if k == 0:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        parameters = None
        if among is not None:
            bits = np.zeros(int(among.max()) + 1, dtype=bool)
            bits[among] = True
            bitmap = np.packbits(bits, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(bitmap), faiss.swig_ptr(bitmap))
            parameters = faiss.SearchParameters()
            parameters.sel = selector
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        scores, ids = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
        if queries.shape[1] != self._faiss.d:  # what is called next would read beyond them
            raise ValueError(f"queries of {queries.shape[1]} numbers meet vectors of {self._faiss.d}")
        asked, nearness, found = (faiss.swig_ptr(of) for of in (queries, scores, ids))
        # Not `search`: faiss.contrib.torch_utils, which other libraries load, has one without parameters in its place.
        index: Any = self._faiss
        index.search_c(len(queries), asked, k, nearness, found, parameters)
        order = np.lexsort((ids, -scores), axis=1)
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)
