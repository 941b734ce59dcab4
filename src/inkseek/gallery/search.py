"""A gallery: add folders, then ask with a drawing or a picture."""

from __future__ import annotations

import os
import shlex
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from inkseek.errors import InkseekError
from inkseek.gallery.index import FlatIndex, Index
from inkseek.gallery.indexing import Progress, Report, absolute, index_folder, pictures_below
from inkseek.gallery.store import ModelRecord, Picture, Store
from inkseek.images.preprocessing import Domain
from inkseek.images.reading import read_picture
from inkseek.images.strokes import Stroke, draw_strokes
from inkseek.models.bundle import Model, load

Query = str | os.PathLike[str] | Image.Image | Sequence[Stroke]


@dataclass(frozen=True)
class Hit:
    """A picture that was found.

    Attributes:
        id: names this picture in this gallery for good.
        path: its file.
        score: cosine similarity of query and picture, in [-1, 1].
        width: in pixels, upright.
        height: in pixels, upright.
    """

    id: int
    path: Path
    score: float
    width: int
    height: int


class Gallery:
    """Pictures searchable by drawing; get one with `inkseek.open_gallery`.

    Searching follows what other processes write meanwhile, and may be done from any thread.

    Attributes:
        path: the gallery's file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._store = Store(path) if path.exists() else None
        self._model: Model | None = None
        self._index: Index | None = None
        self._fingerprint = ""
        self._revision: tuple[int, int] | None = None
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return 0 if self._store is None else len(self._store)

    @property
    def store(self) -> Store:
        """The file behind the gallery.

        Raises:
            InkseekError: nothing has been added yet, so there is none.
        """
        if self._store is None:
            raise InkseekError(
                f"there is no gallery {self.path}; make one with "
                f"`inkseek index DIR --gallery {_quoted(self.path)} --model runs/...` (`inkseek demo` trains a model)"
            )
        return self._store

    @property
    def record(self) -> ModelRecord:
        """What the gallery remembers of the model that made it.

        Raises:
            InkseekError: it has none.
        """
        record = self.store.model
        if record is None:
            raise InkseekError(f"the gallery {self.path} has no model yet; {_name_a_model(self.path)}")
        return record

    @property
    def model(self) -> Model:
        """The model that made the gallery, loaded on first use from where it was.

        Raises:
            InkseekError: there is none, it is no longer there, or another one has taken its place.
        """
        with self._lock:
            if self._model is None:
                record = self.record
                if not record.path:
                    raise InkseekError(
                        f"the model that made {self.path} was never saved; save it and index again with --model"
                    )
                try:
                    model = load(record.path)
                except InkseekError as error:
                    raise InkseekError(
                        f"the model that made {self.path} cannot be loaded ({error}); if it has moved, "
                        f"say where to: `{self._command('PATH', rebuild=False)}`"
                    ) from error
                self._check(model, record, record.path)
                self._model = model
            return self._model

    def add(
        self,
        folder: str | os.PathLike[str],
        model: Model | str | os.PathLike[str] | None = None,
        *,
        rebuild: bool = False,
        batch_size: int = 32,
        progress: Progress | None = None,
    ) -> Report:
        """Bring the gallery up to date with the pictures below a folder; what is already there is not embedded again.

        Args:
            folder: searched with all its subfolders; files that are gone from it leave the gallery.
            model: a model or where to load it from; may be left out when the gallery has one.
            rebuild: start afresh when `model` is not the one that made the gallery, instead of refusing.
            batch_size: pictures in one forward pass and one transaction.
            progress: called with (pictures done, pictures to do).

        Raises:
            InkseekError: the folder is missing or holds no picture, there is no model, or it is not the one that made
                the gallery.
        """
        where = absolute(folder)
        found = pictures_below(where)
        model, reference = self._choose(model)
        record = None if self._store is None else self._store.model
        if record is not None and not rebuild:
            self._check(model, record, reference)
        with self._lock:
            if self._store is None:
                self._store = Store(self.path)
            if (new := ModelRecord(reference, model.fingerprint, model.dim)) != record:
                self._store.remember_model(new)
            self._model = model
        return index_folder(self._store, model, where, found, batch_size=batch_size, progress=progress)

    def search(self, query: Query, k: int = 20, domain: Domain = "sketch") -> list[Hit]:
        """Return the k pictures most like the query, best first.

        Args:
            query: a picture's file, a picture, or strokes [(xs, ys), ...] as QuickDraw has them.
            k: how many.
            domain: `sketch` for a drawing, `photo` for "more like this".

        Raises:
            InkseekError: no such file or unreadable, a blank drawing, or a gallery without a model.
        """
        if isinstance(query, str | os.PathLike):
            picture = read_picture(Path(query).expanduser())
        elif isinstance(query, Image.Image):
            picture = query
        else:
            picture = draw_strokes(query)
        # One forward pass at a time: two would only share the same cores.
        with self._lock:
            index = self._current_index()
            return self._hits(index, self.model.embed([picture], domain), k)

    def similar(self, picture: int, k: int = 20) -> list[Hit]:
        """Return the k pictures most like one of the gallery's own, itself left out.

        Raises:
            InkseekError: no picture has this id.
        """
        vector = self.store.vector(picture)
        if vector is None:
            raise InkseekError(f"the gallery {self.path} holds no picture {picture}")
        with self._lock:
            hits = self._hits(self._current_index(), vector[None], k + 1)
        return [hit for hit in hits if hit.id != picture][:k]

    @property
    def attributions(self) -> list[str]:
        """What the indexed folders say about whose pictures these are (their `ATTRIBUTION.txt`)."""
        return [] if self._store is None else sorted({text for text in self._store.folders.values() if text})

    def picture(self, picture: int) -> Picture | None:
        """Return what is known of a picture; None when no picture has this id."""
        found = self.store.pictures([picture])
        return found[0] if found else None

    def close(self) -> None:
        """Close the gallery's file."""
        if self._store is not None:
            self._store.close()

    def _hits(self, index: Index, query: npt.NDArray[np.float32], k: int) -> list[Hit]:
        if k < 1:
            raise InkseekError(f"k is {k}; ask for at least one picture")
        scores, ids = index.search(query, k)
        score_of = dict(zip(ids[0].tolist(), scores[0].tolist(), strict=True))
        return [
            Hit(found.id, found.path, score_of[found.id], found.width, found.height)
            for found in self.store.pictures(list(score_of))
        ]

    def _current_index(self) -> Index:
        """Return the index, brought up to date with the store by what came and what went."""
        revision = self.store.revision
        if self._index is None or revision != self._revision:
            record = self.record
            if self._index is None or record.fingerprint != self._fingerprint:
                # New, or another process has built the gallery again with another model.
                self._index, self._fingerprint = FlatIndex(record.dim), record.fingerprint
                if self._model is not None and self._model.fingerprint != record.fingerprint:
                    self._model = None
            known = self._index.ids
            gone = np.setdiff1d(known, self.store.ids(), assume_unique=True)
            self._index.remove(gone)
            # Ids only ever grow, so what is new lies above the highest one known.
            self._index.add(*self.store.vectors(after=int(known.max(initial=0))))
            self._revision = revision
        return self._index

    def _choose(self, model: Model | str | os.PathLike[str] | None) -> tuple[Model, str]:
        """Return the model to index with, and the name under which to load it again."""
        if model is None:
            if self._store is None or self._store.model is None:
                raise InkseekError(f"the gallery {self.path} has no model yet; {_name_a_model(self.path)}")
            return self.model, self._store.model.path
        if isinstance(model, Model):
            return model, "" if model.path is None else str(model.path.expanduser().resolve())
        loaded = load(Path(model) if isinstance(model, os.PathLike) else model)
        return loaded, str(model) if loaded.path is None else str(loaded.path.expanduser().resolve())

    def _check(self, model: Model, record: ModelRecord, reference: str) -> None:
        if model.fingerprint != record.fingerprint:
            raise InkseekError(
                f"{reference or 'this model'} is not the model that made {self.path} (fingerprint "
                f"{model.fingerprint[:12]}, the gallery's is {record.fingerprint[:12]}); embed everything again with "
                f"`{self._command(reference or 'PATH', rebuild=True)}`"
            )

    def _command(self, model: str, *, rebuild: bool) -> str:
        """Return the command line that indexes this gallery's folders with a model."""
        folders = list(self.store.folders) or [Path("DIR")]
        first = f"inkseek index {_quoted(folders[0])} --gallery {_quoted(self.path)} --model {_quoted(model)}"
        others = [f"inkseek index {_quoted(folder)} --gallery {_quoted(self.path)}" for folder in folders[1:]]
        return " && ".join([first + " --rebuild" * rebuild, *(others if rebuild else [])])


def open_gallery(path: str | os.PathLike[str]) -> Gallery:
    """Open a gallery's file; where there is none yet, it is made by the first `add`.

    Raises:
        InkseekError: the file is no gallery, is damaged, or was made by a newer Inkseek.
    """
    return Gallery(Path(path).expanduser())


def _name_a_model(gallery: Path) -> str:
    return (
        f"name one with `inkseek index DIR --gallery {_quoted(gallery)} --model runs/...`, "
        "or let `inkseek demo` train one"
    )


def _quoted(value: object) -> str:
    return shlex.quote(str(value))
