"""What a gallery asks of the place that it is kept in: a SQLite file, or Milvus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from inkseek.gallery.filters import Filter
from inkseek.gallery.store import Content, Entry, ModelRecord, Picture, Stamp

Ids = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


class Records(Protocol):
    """The gallery's only truth: its pictures, what is in them, and the model that made it. See `store.Store`."""

    @property
    def model(self) -> ModelRecord | None:
        """The model that made the vectors; None before the first indexing."""

    def remember_model(self, model: ModelRecord) -> None:
        """Write down the model that makes the vectors; vectors of any other model are removed."""

    @property
    def folders(self) -> dict[Path, str]:
        """Each indexed folder with the attribution that its pictures ask for ('' where none does)."""

    def remember_folder(self, folder: Path, attribution: str) -> None:
        """Write down that a folder is indexed, and the attribution that its pictures ask for."""

    def add(self, entries: Iterable[Entry]) -> None:
        """Put files in; a file already there is replaced."""

    def remove(self, paths: Iterable[Path]) -> None:
        """Take files out, with every content that no file has any more."""

    @property
    def revision(self) -> object:
        """Changes whenever the gallery does, by this process or another."""

    def __len__(self) -> int: ...

    def stamps_below(self, folder: Path) -> dict[Path, Stamp]:
        """Return the indexed files below a folder."""

    def folder_counts(self) -> dict[Path, int]:
        """Return every folder that pictures lie in, sorted, with how many of them lie in it itself."""

    def has_content(self, sha256: bytes) -> bool:
        """Whether a picture with this hash of its file is there."""

    def hashes(self) -> npt.NDArray[np.bytes_]:
        """Return the hashes of all contents, 32 bytes each [M]."""

    def contents(self, hashes: Sequence[bytes]) -> dict[bytes, Content]:
        """Return what is in the files with these hashes, as far as it is there."""

    def ids(self, only: Filter | None = None) -> Ids:
        """Return the id of every picture, or of those that pass a filter, ascending."""

    def vectors(self, after: int = 0, most: int | None = None) -> tuple[Ids, Vectors]:
        """Return ids [N] and vectors [N, dim] of the pictures with an id above `after`, the first `most` of them."""

    def vector(self, picture: int) -> Vectors | None:
        """Return one picture's vector [dim]; None when there is no such id."""

    def pictures(self, ids: Sequence[int]) -> list[Picture]:
        """Return the pictures of these ids, in their order; an id that is no longer there is left out."""

    def thumbnail(self, picture: int) -> bytes | None:
        """Return a picture's thumbnail as a JPEG; None when there is no such id."""

    def close(self) -> None:
        """Let go of it."""


class Finder(Protocol):
    """Finds a gallery's nearest pictures as they are at the moment of asking."""

    def nearest(self, vector: Vectors, k: int, only: Filter | None = None) -> tuple[Vectors, Ids]:
        """Return cosine similarities and ids, each [min(k, N)], of the pictures nearest to a unit vector [dim].

        They come best first. The answer is of the nearest among those that pass the filter, as many as there are.
        """

    def vectors_of(self, ids: Ids) -> Vectors:
        """Return the vectors [N, dim] of ids [N] just found; zeros for one that has gone meanwhile."""

    def sample(self, most: int) -> Vectors:
        """Return the vectors [N, dim] of at most so many pictures, from all over the gallery, always the same ones."""


class Place(Protocol):
    """Where a gallery is, or will be."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def options(self) -> str:
        """What names it on the command line."""

    def open(self, *, create: bool) -> tuple[Records, Finder] | None:
        """Open the gallery there; without `create`, None when there is none yet.

        Raises:
            InkseekError: what is there is no gallery, or cannot be opened.
        """
