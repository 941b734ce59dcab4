"""A gallery's records and vectors in Milvus: its collections, what is written to them and what is found."""

from __future__ import annotations

import base64
import json
import logging
import shlex
import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from inkseek.errors import InkseekError
from inkseek.gallery.backend import Ids, Vectors
from inkseek.gallery.filters import Filter
from inkseek.gallery.milvus_rows import (
    MOST_TEXT,
    PICTURE_FIELDS,
    Row,
    below,
    content_row,
    path_of,
    picture_of,
    picture_row,
    slots_of,
    text_of,
    where,
)
from inkseek.gallery.store import Content, Entry, ModelRecord, Picture, Stamp

if TYPE_CHECKING:
    from inkseek.gallery.milvus import IndexKind, MilvusCollection

FORMAT_VERSION = 1

_BUILD: dict[str, dict[str, int]] = {"FLAT": {}, "HNSW": {"M": 32, "efConstruction": 360}, "IVF_FLAT": {"nlist": 1024}}
_LISTS = 64  # that an IVF_FLAT search looks through
_MOST_NEAREST = 16_384  # Milvus answers no more at once
_PAGE = 1_000

T = TypeVar("T")


class MilvusStore:
    """One gallery in Milvus, open; holds its records and finds what is nearest.

    Three collections make it up, each named after the gallery: `_pictures` (a file: path, stamp, hash, size in pixels,
    vector), `_contents` (what is in files with one hash: vector and thumbnail) and `_about` (the model, the folders). A
    row's key follows from what it is about, so writing the same again, after a kill or by two who index one archive,
    makes no second row: a picture's id is a hash of its path in 53 bits, which JavaScript holds exactly, and names that
    file for good. Where two paths meet in one id, the second takes another.

    Paths are kept as in URLs, every byte beyond letters and digits as %XX: a name need not be text, and none can end a
    string in a filter. Thumbnails are base64, as Milvus has no bytes.

    A batch is not one transaction: contents are written before the pictures that have them, so a kill leaves at worst
    contents that no picture has, which are used when the picture comes back.

    Args:
        place: where it is.

    Raises:
        InkseekError: see `MilvusCollection.open`.
    """

    def __init__(self, place: MilvusCollection) -> None:
        try:
            import pymilvus
        except ModuleNotFoundError:
            raise InkseekError("Milvus needs an extra: pip install 'inkseek[milvus]'") from None
        # They log each error before raising it; what is raised is said once, by whoever catches it.
        for logger in ("pymilvus", "milvus_lite"):
            logging.getLogger(logger).setLevel(logging.CRITICAL)
        if place.file is not None:
            # Milvus Lite has no clock to give; pymilvus asks, and goes on with its own.
            logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
        self._milvus = pymilvus
        self._place = place
        self._lock = threading.RLock()
        self._pictures, self._contents, self._about = (
            f"{place.collection}_{part}" for part in ("pictures", "contents", "about")
        )
        self._kind: str | None = None
        self._made = self._written = False
        self._sample: tuple[object, Vectors] | None = None
        # Hashes of contents that may have lost their last picture.
        self._suspects: set[str] = set()
        with self._errors():
            uri = place.uri if place.file is None else str(place.file)
            self._client = pymilvus.MilvusClient(uri, token=place.token)
            try:
                if self.is_made:
                    self._check_ours()
                    self._check_index()
            except BaseException:
                self._client.close()
                raise

    def _check_ours(self) -> None:
        fields = {field["name"] for field in self._client.describe_collection(self._about)["fields"]}
        if fields != {"key", "value", "nothing"}:
            raise InkseekError(f"{self._place.name} holds other things under this name; give another --collection")
        # A kill leaves them unloaded.
        for collection in (self._about, self._contents, self._pictures):
            if self._client.has_collection(collection) and self._client.list_indexes(collection):
                self._client.load_collection(collection)
        version = self._get_about("format") or str(FORMAT_VERSION)
        if not version.isdecimal() or int(version) > FORMAT_VERSION:
            raise InkseekError(f"{self._place.name} was made by a newer Inkseek (format {version}); upgrade Inkseek")

    def _check_index(self) -> None:
        wanted = self._place.index
        if wanted is not None and self.model is not None and wanted != (found := self.index):
            raise InkseekError(
                f"{self._place.name} is searched by {found}, not {wanted}; leave --index out, or copy the gallery into "
                "another --collection with it"
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Say Milvus's errors in one line that names the gallery."""
        try:
            yield
        except self._milvus.MilvusException as error:
            what = " ".join(str(error.message).split())[:200]
            place = self._place
            if "Open local milvus failed" in what:
                what = (
                    "Milvus Lite cannot open it: another process has, or it is no local Milvus; several processes "
                    f"share one through a server, `milvus-lite server --data-dir {shlex.quote(place.uri)}`"
                )
            elif "milvus-lite is required" in what:
                what = "a local Milvus needs an extra: pip install 'inkseek[milvus]'"
            elif isinstance(error, self._milvus.exceptions.ConnectError | TimeoutError) or "Fail connecting" in what:
                what = "no Milvus answers there; check the address, and that the server is up"
            elif "auth" in what.lower():
                what = f"it lets nobody in without INKSEEK_MILVUS_TOKEN ({what})"
            raise InkseekError(f"gallery {place.name}: {what}") from error

    @property
    def is_made(self) -> bool:
        """Whether there is a gallery under this name."""
        if not self._made:
            with self._errors():
                # The index comes last.
                made = self._client.has_collection(self._about) and self._client.list_indexes(self._about)
                self._made = bool(made)
        return self._made

    def close(self) -> None:
        """Write out what is still in memory, and close the connection."""
        with self._errors(), self._lock:
            self._flush()
            self._client.close()

    def _flush(self) -> None:
        # Milvus Lite walks through what it has not written out row by row, a second for ten thousand.
        if self._written:
            for collection in (self._contents, self._pictures):
                self._client.flush(collection)
            self._written = False

    # What the gallery is made of

    def _make_about(self) -> None:
        if self.is_made:
            return
        if self._client.has_collection(self._about):
            self._check_ours()
            self._client.drop_collection(self._about)  # a kill left it half made, before it held anything
        kind = self._milvus.DataType
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", kind.VARCHAR, max_length=MOST_TEXT, is_primary=True)
        schema.add_field("value", kind.VARCHAR, max_length=MOST_TEXT)
        schema.add_field("nothing", kind.FLOAT_VECTOR, dim=2)  # a collection must have a vector
        self._create(self._about, schema, "nothing", "FLAT")

    def _make_collections(self, dim: int) -> None:
        kind = self._milvus.DataType
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("sha256", kind.VARCHAR, max_length=64, is_primary=True)
        schema.add_field("width", kind.INT64)
        schema.add_field("height", kind.INT64)
        schema.add_field("thumbnail", kind.VARCHAR, max_length=MOST_TEXT, mmap_enabled=True)
        schema.add_field("vector", kind.FLOAT_VECTOR, dim=dim, mmap_enabled=True)
        self._create(self._contents, schema, "vector", "FLAT")
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", kind.INT64, is_primary=True)
        schema.add_field("path", kind.VARCHAR, max_length=MOST_TEXT)
        schema.add_field("size", kind.INT64)
        schema.add_field("mtime_ns", kind.INT64)
        schema.add_field("sha256", kind.VARCHAR, max_length=64)
        schema.add_field("width", kind.INT64)
        schema.add_field("height", kind.INT64)
        schema.add_field("vector", kind.FLOAT_VECTOR, dim=dim)
        self._create(self._pictures, schema, "vector", self._place.index or "FLAT", "path", "sha256")

    def _create(self, collection: str, schema: Any, vector: str, index: IndexKind, *scalars: str) -> None:
        indexes = self._client.prepare_index_params()
        indexes.add_index(vector, index_type=index, metric_type="IP", params=_BUILD[index])
        for field in scalars:
            indexes.add_index(field, index_type="INVERTED")
        self._client.create_collection(collection, schema=schema, index_params=indexes, consistency_level="Strong")

    @property
    def index(self) -> str:
        """How it is searched: an `IndexKind`."""
        if self._kind is None:
            with self._errors():
                self._kind = str(self._client.describe_index(self._pictures, "vector")["index_type"])
        return self._kind

    def _get_about(self, key: str) -> str | None:
        if not self.is_made:
            return None
        rows = self._client.get(self._about, ids=[key], output_fields=["value"])
        return str(rows[0]["value"]) if rows else None

    def _set_about(self, key: str, value: str) -> None:
        self._client.upsert(self._about, [{"key": key, "value": value, "nothing": [0.0, 0.0]}])

    @property
    def model(self) -> ModelRecord | None:
        """The model that made the vectors; None before the first indexing."""
        with self._errors():
            text = self._get_about("model")
        return None if text is None else ModelRecord(**json.loads(text))

    def remember_model(self, model: ModelRecord) -> None:
        """Write down the model that makes the vectors; vectors of any other model are removed."""
        with self._errors(), self._lock:
            self._make_about()
            known = self.model
            if known is None or known.fingerprint != model.fingerprint:
                # Whatever is left by a kill in between has no model, and is removed by the next who brings one.
                self._client.delete(self._about, ids=["model"])
                for collection in (self._pictures, self._contents):
                    if self._client.has_collection(collection):
                        self._client.drop_collection(collection)
                self._client.delete(self._about, filter='key like "folder:%"')
                self._make_collections(model.dim)
                self._kind = None
                self._suspects.clear()
            about = {"path": model.path, "fingerprint": model.fingerprint, "dim": model.dim}
            self._set_about("format", str(FORMAT_VERSION))
            self._set_about("model", json.dumps(about))
            self._changed()

    @property
    def folders(self) -> dict[Path, str]:
        """Each indexed folder with the attribution that its pictures ask for ('' where none does)."""
        with self._errors():
            rows = list(self._rows(self._about, 'key like "folder:%"', ["key", "value"]))
        return {path_of(row["key"].removeprefix("folder:")): row["value"] for row in rows}

    def remember_folder(self, folder: Path, attribution: str) -> None:
        """Write down that a folder is indexed, and the attribution that its pictures ask for."""
        with self._errors(), self._lock:
            self._set_about(f"folder:{text_of(folder)}", attribution)

    # Writing

    def add(self, entries: Iterable[Entry]) -> None:
        """Put files in; a file already there is replaced. What is there already is written again, to the same rows."""
        entries = list(entries)
        with self._errors(), self._lock:
            contents = {entry.sha256: entry.content for entry in entries if entry.content is not None}
            if contents:
                self._client.upsert(self._contents, [content_row(*item) for item in contents.items()])
            contents |= self.contents([entry.sha256 for entry in entries if entry.sha256 not in contents])
            places = self._places([entry.path for entry in entries])
            rows: dict[int, Row] = {}
            for entry in entries:
                content = contents.get(entry.sha256)
                if content is None:
                    raise InkseekError(
                        f"gallery {self._place.name}: another process removed {entry.path} meanwhile; index again"
                    )
                key, before = places[entry.path]
                if before is not None and before["sha256"] != entry.sha256.hex():
                    self._suspects.add(before["sha256"])
                rows[key] = picture_row(key, entry, content)
            if rows:
                self._client.upsert(self._pictures, list(rows.values()))
                self._changed()

    def remove(self, paths: Iterable[Path]) -> None:
        """Take files out, with every content that no file has any more; the last step of indexing."""
        with self._errors(), self._lock:
            known = [row for _, row in self._places(list(paths)).values() if row is not None]
            for page in _pages([row["id"] for row in known]):
                self._client.delete(self._pictures, ids=page)
            if known:
                self._changed()
            self._flush()
            self._suspects |= {row["sha256"] for row in known}
            for page in _pages(sorted(self._suspects)):
                used = {
                    row["sha256"] for row in self._rows(self._pictures, f"sha256 in {json.dumps(page)}", ["sha256"])
                }
                if unused := [sha256 for sha256 in page if sha256 not in used]:
                    self._client.delete(self._contents, ids=unused)
            self._suspects.clear()

    def _changed(self) -> None:
        self._written = True
        self._set_about("revision", uuid.uuid4().hex)

    def _places(self, paths: Sequence[Path]) -> dict[Path, tuple[int, Row | None]]:
        """Return each path's id with the row that is there, or the id that it will have and None."""
        texts = {path: text_of(path) for path in paths}
        slots = {path: slots_of(text) for path, text in texts.items()}
        taken: dict[int, Row] = {}
        for page in _pages(sorted({slot for some in slots.values() for slot in some})):
            rows = self._client.get(self._pictures, ids=page, output_fields=PICTURE_FIELDS)
            taken |= {row["id"]: row for row in rows}
        places: dict[Path, tuple[int, Row | None]] = {}
        for path, text in texts.items():
            own = next((slot for slot in slots[path] if slot in taken and taken[slot]["path"] == text), None)
            if own is not None:
                places[path] = own, taken[own]
            else:
                free = next(slot for slot in slots[path] if slot not in taken)
                taken[free] = {"path": text}
                places[path] = free, None
        return places

    # Reading

    def _rows(self, collection: str, passing: str, fields: list[str]) -> Iterator[Row]:
        """Yield every row that passes a filter, in pages."""
        pages = self._client.query_iterator(collection, batch_size=_MOST_NEAREST, filter=passing, output_fields=fields)
        try:
            while page := pages.next():
                yield from page
        finally:
            pages.close()

    @property
    def revision(self) -> object:
        """Changes whenever the gallery does, by this process or another."""
        with self._errors():
            return self._get_about("revision")

    def __len__(self) -> int:
        if self.model is None:
            return 0
        with self._errors():
            (row,) = self._client.query(self._pictures, filter="", output_fields=["count(*)"])
            return int(row["count(*)"])

    def stamps_below(self, folder: Path) -> dict[Path, Stamp]:
        """Return the indexed files below a folder."""
        with self._errors():
            rows = list(self._rows(self._pictures, below(folder), ["path", "size", "mtime_ns"]))
        return {path_of(row["path"]): Stamp(row["size"], row["mtime_ns"]) for row in rows}

    def folder_counts(self) -> dict[Path, int]:
        """Return every folder that pictures lie in, sorted, with how many of them lie in it itself."""
        with self._errors():
            counts = Counter(row["path"].rpartition("/")[0] or "/" for row in self._rows(self._pictures, "", ["path"]))
        return dict(sorted((path_of(folder), count) for folder, count in counts.items()))

    def has_content(self, sha256: bytes) -> bool:
        """Whether a picture with this hash of its file is there."""
        with self._errors():
            return bool(self._client.get(self._contents, ids=[sha256.hex()], output_fields=["sha256"]))

    def hashes(self) -> npt.NDArray[np.bytes_]:
        """Return the hashes of all contents, 32 bytes each [M]."""
        with self._errors():
            rows = self._rows(self._contents, "", ["sha256"])
            return np.array([bytes.fromhex(row["sha256"]) for row in rows], dtype="S32")

    def contents(self, hashes: Sequence[bytes]) -> dict[bytes, Content]:
        """Return what is in the files with these hashes, as far as it is there."""
        fields = ["sha256", "width", "height", "thumbnail", "vector"]
        found: dict[bytes, Content] = {}
        with self._errors():
            for page in _pages([sha256.hex() for sha256 in hashes], 100):
                for row in self._client.get(self._contents, ids=page, output_fields=fields):
                    vector = np.asarray(row["vector"], dtype=np.float32)
                    jpeg = base64.b64decode(row["thumbnail"])
                    found[bytes.fromhex(row["sha256"])] = Content(row["width"], row["height"], vector, jpeg)
        return found

    def ids(self, only: Filter | None = None) -> Ids:
        """Return the id of every picture, or of those that pass a filter, ascending."""
        with self._errors():
            found = [row["id"] for row in self._rows(self._pictures, where(only), ["id"])]
        return np.array(sorted(found), dtype=np.int64)

    def vectors(self, after: int = 0, most: int | None = None) -> tuple[Ids, Vectors]:
        """Return ids [N] and vectors [N, dim] of the pictures with an id above `after`, the first `most` of them."""
        ids = self.ids()
        ids = ids[ids > after][:most]
        return ids, self.vectors_of(ids)

    def vector(self, picture: int) -> Vectors | None:
        """Return one picture's vector [dim]; None when there is no such id."""
        with self._errors():
            rows = self._client.get(self._pictures, ids=[picture], output_fields=["vector"])
        return np.asarray(rows[0]["vector"], dtype=np.float32) if rows else None

    def pictures(self, ids: Sequence[int]) -> list[Picture]:
        """Return the pictures of these ids, in their order; an id that is no longer there is left out."""
        rows: dict[int, Row] = {}
        with self._errors():
            for page in _pages(ids):
                found = self._client.get(self._pictures, ids=page, output_fields=PICTURE_FIELDS)
                rows |= {row["id"]: row for row in found}
        return [picture_of(rows[picture]) for picture in ids if picture in rows]

    def thumbnail(self, picture: int) -> bytes | None:
        """Return a picture's thumbnail as a JPEG; None when there is no such id."""
        known = self.pictures([picture])
        found = self.contents([known[0].sha256]) if known else {}
        return found[known[0].sha256].thumbnail if found else None

    def nearest(self, vector: Vectors, k: int, only: Filter | None = None) -> tuple[Vectors, Ids]:
        """Return cosine similarities and ids, each [min(k, N, 16384)], best first; see `Finder`."""
        k = min(k, _MOST_NEAREST)
        with self._errors():
            how = {"HNSW": {"ef": max(k, 512)}, "IVF_FLAT": {"nprobe": _LISTS}}.get(self.index, {})
            (hits,) = self._client.search(
                self._pictures,
                data=vector[None],
                limit=k,
                filter=where(only),
                search_params={"metric_type": "IP", "params": how},
                # A drawing's live answers do not wait until what was written a moment ago is there on every node.
                consistency_level="Bounded",
            )
        scores = np.array([hit["distance"] for hit in hits], dtype=np.float32)
        ids = np.array([hit["id"] for hit in hits], dtype=np.int64)
        order = np.lexsort((ids, -scores))
        return scores[order], ids[order]

    def vectors_of(self, ids: Ids) -> Vectors:
        """Return the vectors [N, dim] of ids [N] just found; zeros for one that has gone meanwhile."""
        model = self.model
        vectors = np.zeros((len(ids), 0 if model is None else model.dim), dtype=np.float32)
        place = {int(picture): row for row, picture in enumerate(ids)}
        with self._errors():
            for page in _pages(list(place)):
                for row in self._client.get(self._pictures, ids=page, output_fields=["id", "vector"]):
                    vectors[place[row["id"]]] = row["vector"]
        return vectors

    def sample(self, most: int) -> Vectors:
        """Return the vectors [N, dim] of at most so many pictures; those of the lowest ids, which are hashes."""
        revision = self.revision
        if self._sample is None or self._sample[0] != revision:
            with self._errors():
                rows = self._client.query(
                    self._pictures, filter="", limit=min(most, _MOST_NEAREST), output_fields=["id", "vector"]
                )
            rows.sort(key=lambda row: row["id"])
            self._sample = revision, np.array([row["vector"] for row in rows], dtype=np.float32)
        return self._sample[1][:most]


def _pages(things: Sequence[T], size: int = _PAGE) -> Iterator[list[T]]:
    for start in range(0, len(things), size):
        yield list(things[start : start + size])
