"""A gallery in a SQLite file, searched in memory by an exact index that follows what any process writes."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inkseek.errors import InkseekError
from inkseek.gallery.backend import Finder, Ids, Records, Vectors
from inkseek.gallery.filters import Filter
from inkseek.gallery.index import FlatIndex, Index
from inkseek.gallery.store import Store

# Vectors that go from the store to the index at once: 16 MB at 512 dimensions.
_BLOCK = 8192
# Filters whose answers are kept until the gallery changes.
_FILTERS = 16


@dataclass(frozen=True)
class SqliteFile:
    """A gallery's file, there or not yet."""

    path: Path

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.path)

    @property
    def options(self) -> str:
        """What names it on the command line."""
        return f"--gallery {shlex.quote(str(self.path))}"

    def open(self, *, create: bool) -> tuple[Records, Finder] | None:
        """Open the file; without `create`, None when there is none yet.

        Raises:
            InkseekError: the file is no gallery, is damaged, or was made by a newer Inkseek.
        """
        if not create and not self.path.exists():
            return None
        store = Store(self.path)
        return store, CachedIndex(store)


class CachedIndex:
    """The index of a store's vectors, kept up to date with the store; one thread at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._index: Index | None = None
        self._fingerprint = ""
        self._revision: tuple[int, int] | None = None
        self._passing: dict[Filter, Ids] = {}
        self._samples: dict[int, Vectors] = {}

    def nearest(self, vector: Vectors, k: int, only: Filter | None = None) -> tuple[Vectors, Ids]:
        """Return cosine similarities and ids, each [min(k, N)], best first; see `Finder`."""
        index = self._current()
        scores, ids = index.search(vector[None], k, self._those_that_pass(only, index))
        return scores[0], ids[0]

    def vectors_of(self, ids: Ids) -> Vectors:
        """Return the vectors [N, dim] of ids [N] just found."""
        if self._index is None:
            raise InkseekError(f"gallery {self._store.path}: nothing has been searched for yet")
        return self._index.vectors(ids)

    def sample(self, most: int) -> Vectors:
        """Return the vectors [N, dim] of at most so many pictures, evenly over the order in which they came."""
        index = self._current()
        if most not in self._samples:  # every search asks, and all ids are sorted for it
            ids = np.sort(index.ids)
            self._samples[most] = index.vectors(ids[np.linspace(0, len(ids) - 1, min(most, len(ids))).astype(np.int64)])
        return self._samples[most]

    def _those_that_pass(self, only: Filter | None, index: Index) -> Ids | None:
        """Return the ids in the index that pass a filter; None when all do."""
        if only is None or only == Filter():
            return None
        if only not in self._passing:
            if len(self._passing) == _FILTERS:
                self._passing.clear()
            # What another process wrote since the index was brought up to date is not in it yet.
            self._passing[only] = np.intersect1d(self._store.ids(only), index.ids, assume_unique=True)
        return self._passing[only]

    def _current(self) -> Index:
        """Return the index, brought up to date with the store by what came and what went."""
        store = self._store
        if self._index is None or store.revision != self._revision:
            with store.snapshot():
                revision, model = store.revision, store.model
                dim, fingerprint = (0, "") if model is None else (model.dim, model.fingerprint)
                if self._index is None or fingerprint != self._fingerprint:
                    # New, or another process has built the gallery again with another model.
                    self._index, self._fingerprint = FlatIndex(dim), fingerprint
                index = self._index
                # Ids only ever grow, so what is new lies above the highest one known.
                highest = int(index.ids.max(initial=0))
                while len((block := store.vectors(highest, _BLOCK))[0]):
                    index.add(*block)
                    highest = int(block[0][-1])
                if len(index) != len(store):
                    index.remove(np.setdiff1d(index.ids, store.ids(), assume_unique=True))
            self._passing.clear()
            self._samples.clear()
            self._revision = revision
        return self._index
