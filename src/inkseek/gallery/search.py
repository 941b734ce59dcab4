"""A gallery: add folders, then ask with a drawing or a picture."""

from __future__ import annotations

import os
import shlex
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from inkseek.errors import InkseekError
from inkseek.gallery.backend import Finder, Place, Records
from inkseek.gallery.cutoff import Cutoff, margin_of
from inkseek.gallery.examples import Example, Query, combine, picture_of
from inkseek.gallery.filters import Filter
from inkseek.gallery.indexing import Progress, Report, index_folder, pictures_below
from inkseek.gallery.ranking import distance, fold, near_duplicates, within
from inkseek.gallery.ray_engine import RayEngine
from inkseek.gallery.sources import absolute
from inkseek.gallery.sqlite import SqliteFile
from inkseek.gallery.store import ModelRecord, Picture
from inkseek.images.preprocessing import Domain
from inkseek.models.bundle import Model, load
from inkseek.models.runtime import Runtime, with_runtime

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Hit:
    """A picture that was found.

    Attributes:
        id: names this picture in this gallery for good.
        path: its file.
        score: cosine similarity of query and picture, in [-1, 1].
        width: in pixels, upright.
        height: in pixels, upright.
        duplicates: ids of the near-duplicates folded into this hit, best first; none unless that was asked for.
    """

    id: int
    path: Path
    score: float
    width: int
    height: int
    duplicates: tuple[int, ...] = ()

    @property
    def distance(self) -> float:
        """Euclidean distance of query and picture as unit vectors, in [0, 2]."""
        return distance(self.score)


class Gallery:
    """Pictures searchable by drawing; get one with `inkseek.open_gallery`.

    Searching follows what other processes write meanwhile, and may be done from any thread.

    Attributes:
        place: where it is.
        runtime: what embeds pictures.
    """

    def __init__(self, place: Place, runtime: Runtime = "torch") -> None:
        self.place = place
        self.runtime: Runtime = runtime
        self._store: Records | None = None
        self._finder: Finder | None = None
        self._model: Model | None = None
        self._folders: tuple[object, dict[Path, int]] | None = None
        self._open(create=False)
        self._lock = threading.RLock()
        self._model_lock = threading.RLock()

    def __len__(self) -> int:
        return 0 if self._store is None else len(self._store)

    def _open(self, *, create: bool) -> None:
        opened = self.place.open(create=create)
        if opened is not None:
            self._store, self._finder = opened

    def create(self) -> Records:
        """Return what the gallery holds, and make it where there is none yet."""
        if self._store is None:
            self._open(create=True)
        return self.store

    @property
    def name(self) -> str:
        """What it is called: the path of its file, or its address."""
        return self.place.name

    @property
    def path(self) -> Path:
        """The gallery's file.

        Raises:
            InkseekError: it is not in a file.
        """
        if not isinstance(self.place, SqliteFile):
            raise InkseekError(f"the gallery {self.name} is not in a file of its own")
        return self.place.path

    @property
    def store(self) -> Records:
        """What the gallery holds.

        Raises:
            InkseekError: nothing has been added yet, so there is none.
        """
        if self._store is None:
            raise InkseekError(
                f"there is no gallery {self.name}; make one with "
                f"`inkseek index DIR {self.place.options} --model runs/...` (`inkseek demo` trains a model)"
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
            raise InkseekError(f"the gallery {self.name} has no model yet; {_name_a_model(self.place)}")
        return record

    @property
    def model(self) -> Model:
        """The model that made the gallery, loaded on first use from where it was.

        Raises:
            InkseekError: there is none, it is no longer there, or another one has taken its place.
        """
        with self._model_lock:
            record = self.record
            if self._model is None or self._model.fingerprint != record.fingerprint:
                # Not loaded yet, or another process has built the gallery again with another model.
                if not record.path:
                    raise InkseekError(
                        f"the model that made {self.name} was never saved; save it and index again with --model"
                    )
                try:
                    model = load(record.path)
                except InkseekError as error:
                    raise InkseekError(
                        f"the model that made {self.name} cannot be loaded ({error}); if it has moved, "
                        f"say where to: `{self._command('PATH', rebuild=False)}`"
                    ) from error
                self._check(model, record, record.path)
                self._model = with_runtime(model, self.runtime)
            return self._model

    def add(
        self,
        folder: str | os.PathLike[str],
        model: Model | str | os.PathLike[str] | None = None,
        *,
        rebuild: bool = False,
        batch_size: int = 32,
        progress: Progress | None = None,
        engine: RayEngine | None = None,
    ) -> Report:
        """Bring the gallery up to date with the pictures below a folder; what is already there is not embedded again.

        Args:
            folder: searched with all its subfolders; files that are gone from it leave the gallery.
            model: a model or where to load it from; may be left out when the gallery has one.
            rebuild: start afresh when `model` is not the one that made the gallery, instead of refusing.
            batch_size: pictures in one forward pass and one transaction.
            progress: called with (pictures done, pictures to do).
            engine: Ray reads and embeds, on one machine or many, and from more than folders (`RayEngine`); by default
                this process does it alone.

        Raises:
            InkseekError: the folder is missing or holds no picture, there is no model, or it is not the one that made
                the gallery.
        """
        where = absolute(folder)
        found = pictures_below(where) if engine is None else None
        model, reference = self._choose(model)
        record = None if self._store is None else self._store.model
        if record is not None and not rebuild:
            self._check(model, record, reference)
        with self._model_lock:
            model = with_runtime(model, self.runtime)
            store = self.create()
            if (new := ModelRecord(reference, model.fingerprint, model.dim)) != record:
                store.remember_model(new)
            self._model = model
        if engine is not None:
            return engine.index(store, model, where, batch_size=batch_size, progress=progress)
        assert found is not None  # as this engine has looked
        return index_folder(store, model, where, found, batch_size=batch_size, progress=progress)

    def search(
        self,
        query: Query | Example | Sequence[Example],
        k: int = 20,
        domain: Domain = "sketch",
        *,
        only: Filter | None = None,
        collapse: bool | float = False,
        cutoff: Cutoff | None = None,
    ) -> list[Hit]:
        """Return the k pictures most like the query, best first.

        Args:
            query: a picture's file, a picture, or strokes [(xs, ys), ...] as QuickDraw has them; or examples with
                weights, which are combined into one query.
            k: how many.
            domain: `sketch` for a drawing, `photo` for "more like this"; an example brings its own.
            only: leave out what does not pass; the answer is of the k nearest among those that do.
            collapse: fold near-duplicates into the best of them, so that the k pictures differ; a number is the cosine
                similarity from which two count as near-duplicates.
            cutoff: leave out what is this much farther away than the best picture, in Euclidean distance of unit
                vectors; `margin` takes the margin that the model has learned, `auto` the same or, where there is none,
                half way from the best picture to what is usual in this gallery (`cutoff.halfway`).

        Raises:
            InkseekError: no such file or unreadable, a blank drawing, examples that cancel out, or a gallery without a
                model.
        """
        examples = _examples(query, domain)
        vector = self.vector(examples)
        hits = self.find(vector, k, only=only, collapse=collapse)
        return self.cut(vector, hits, cutoff, _domain_of(examples[0]))

    def similar(
        self,
        picture: int,
        k: int = 20,
        *,
        only: Filter | None = None,
        collapse: bool | float = False,
        cutoff: Cutoff | None = None,
    ) -> list[Hit]:
        """Return the k pictures most like one of the gallery's own, itself left out; options as in `search`.

        Raises:
            InkseekError: no picture has this id.
        """
        vector = self.vector([Example(picture)])
        hits = self.find(vector, k, only=only, collapse=collapse, without=(picture,))
        return self.cut(vector, hits, cutoff, "photo")

    # The steps of a search, for a server that shares the expensive one among several askers

    def embed(self, pictures: Sequence[tuple[Image.Image, Domain]]) -> Vector:
        """Embed pictures of any domains in one forward pass: float32 [N, dim], rows of unit length.

        Raises:
            BlankSketch: a sketch is blank.
        """
        model = self.model
        if not pictures:
            return np.empty((0, model.dim), dtype=np.float32)
        pixels = np.stack([model.prepare(picture, domain) for picture, domain in pictures])
        # One forward pass at a time: two would only share the same cores.
        with self._model_lock:
            return model.embed_pixels(pixels)

    def vector(self, examples: Sequence[Example]) -> Vector:
        """Return what examples ask for together: a unit vector [dim] (see `examples.combine`).

        Raises:
            InkseekError: a query that cannot be read, an id that no picture has, or examples that cancel out.
        """
        pictures = [(picture_of(ex.query), ex.domain) for ex in examples if not isinstance(ex.query, int)]
        embedded = iter(self.embed(pictures) if pictures else ())
        vectors = [self._known(ex.query) if isinstance(ex.query, int) else next(embedded) for ex in examples]
        if not vectors:
            raise InkseekError("nothing was asked; give at least one example")
        return combine(np.stack(vectors), [example.weight for example in examples])

    def find(
        self,
        vector: Vector,
        k: int = 20,
        *,
        only: Filter | None = None,
        collapse: bool | float = False,
        without: Sequence[int] = (),
    ) -> list[Hit]:
        """Return the k pictures nearest to a unit vector [dim], best first.

        Args:
            vector: as `embed` or `vector` gave it.
            k: how many.
            only: see `search`; so is `collapse`.
            without: ids that are left out.

        Raises:
            InkseekError: k is below 1, or the vector is not of this gallery's model.
        """
        if k < 1:
            raise InkseekError(f"k is {k}; ask for at least one picture")
        alike = near_duplicates(collapse)
        with self._lock:
            if vector.shape != (self.record.dim,):
                raise InkseekError(
                    f"the query has the shape {vector.shape} and the gallery {self.name} is of vectors of length "
                    f"{self.record.dim}; ask again if it has been built with another model meanwhile"
                )
            finder = self._finder
            assert finder is not None  # as the store is open, which `record` has asked for
            if only is not None and only.folder is not None:
                only = replace(only, folder=absolute(only.folder))
            wanted = k if alike is None else 2 * k
            while True:
                scores, ids = finder.nearest(vector, wanted + len(without), only)
                kept = np.isin(ids, np.asarray(without, dtype=np.int64), invert=True)
                found, score = ids[kept], scores[kept]
                if alike is None:
                    groups, whole = [[position] for position in range(min(k, len(found)))], True
                else:
                    groups, whole = fold(finder.vectors_of(found), alike, k)
                if whole or len(ids) < wanted + len(without):
                    break
                wanted *= 2
        best = {int(found[first]): (float(score[first]), found[rest].tolist()) for first, *rest in groups}
        return [
            Hit(picture.id, picture.path, score, picture.width, picture.height, tuple(duplicates))
            for picture in self.store.pictures(list(best))
            for score, duplicates in (best[picture.id],)
        ]

    def cut(self, vector: Vector, hits: list[Hit], cutoff: Cutoff | None, domain: Domain = "sketch") -> list[Hit]:
        """Return the hits before the cut-off of the query `vector`: those with D < D_min + margin; see `search`.

        Raises:
            InkseekError: the margin is not above 0, or the model has learned none.
        """
        if cutoff is None or not hits:
            return hits
        with self._lock:
            assert self._finder is not None  # as it has found the hits
            margin = margin_of(cutoff, self.model, vector, hits[0].score, self._finder, domain)
        return hits[: within([hit.score for hit in hits], margin)]

    @property
    def attributions(self) -> list[str]:
        """What the indexed folders say about whose pictures these are (their `ATTRIBUTION.txt`)."""
        return [] if self._store is None else sorted({text for text in self._store.folders.values() if text})

    @property
    def folders(self) -> dict[Path, int]:
        """Every folder that pictures lie in, sorted, with how many of them lie in it itself."""
        revision = self.store.revision
        if self._folders is None or self._folders[0] != revision:
            self._folders = revision, self.store.folder_counts()
        return self._folders[1]

    def picture(self, picture: int) -> Picture | None:
        """Return what is known of a picture; None when no picture has this id."""
        found = self.store.pictures([picture])
        return found[0] if found else None

    def close(self) -> None:
        """Close the gallery's file."""
        if self._store is not None:
            self._store.close()

    def _known(self, picture: int) -> Vector:
        """Return the vector of one of the gallery's own pictures."""
        vector = self.store.vector(picture)
        if vector is None:
            raise InkseekError(f"the gallery {self.name} holds no picture {picture}")
        return vector

    def _choose(self, model: Model | str | os.PathLike[str] | None) -> tuple[Model, str]:
        """Return the model to index with, and the name under which to load it again."""
        if model is None:
            if self._store is None or self._store.model is None:
                raise InkseekError(f"the gallery {self.name} has no model yet; {_name_a_model(self.place)}")
            return self.model, self._store.model.path
        if isinstance(model, Model):
            return model, "" if model.path is None else str(model.path.expanduser().resolve())
        loaded = load(Path(model) if isinstance(model, os.PathLike) else model)
        return loaded, str(model) if loaded.path is None else str(loaded.path.expanduser().resolve())

    def _check(self, model: Model, record: ModelRecord, reference: str) -> None:
        if model.fingerprint != record.fingerprint:
            raise InkseekError(
                f"{reference or 'this model'} is not the model that made {self.name} (fingerprint "
                f"{model.fingerprint[:12]}, the gallery's is {record.fingerprint[:12]}); embed everything again with "
                f"`{self._command(reference or 'PATH', rebuild=True)}`"
            )

    def _command(self, model: str, *, rebuild: bool) -> str:
        """Return the command line that indexes this gallery's folders with a model."""
        folders = list(self.store.folders) or [Path("DIR")]
        first = f"inkseek index {_quoted(folders[0])} {self.place.options} --model {_quoted(model)}"
        others = [f"inkseek index {_quoted(folder)} {self.place.options}" for folder in folders[1:]]
        return " && ".join([first + " --rebuild" * rebuild, *(others if rebuild else [])])


def open_gallery(where: str | os.PathLike[str] | Place, *, runtime: Runtime = "torch") -> Gallery:
    """Open a gallery; where there is none yet, it is made by the first `add`.

    Args:
        where: its file, or a place in Milvus (`milvus.MilvusCollection`).
        runtime: what embeds pictures; `onnx` needs the extra `export`, and exports a model when it first meets it.

    Raises:
        InkseekError: the file is no gallery, is damaged, or was made by a newer Inkseek; Milvus does not answer.
    """
    return Gallery(SqliteFile(Path(where).expanduser()) if isinstance(where, str | os.PathLike) else where, runtime)


def _name_a_model(place: Place) -> str:
    return f"name one with `inkseek index DIR {place.options} --model runs/...`, or let `inkseek demo` train one"


def _quoted(value: object) -> str:
    return shlex.quote(str(value))


def _domain_of(example: Example) -> Domain:
    return "photo" if isinstance(example.query, int) else example.domain


def _examples(query: Query | Example | Sequence[Example], domain: Domain) -> list[Example]:
    if isinstance(query, Example):
        return [query]
    if isinstance(query, Sequence) and not isinstance(query, str) and query and isinstance(query[0], Example):
        return [cast(Example, example) for example in query]
    return [Example(cast(Query, query), domain=domain)]
