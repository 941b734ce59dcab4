"""The gallery's only truth: one SQLite file with every picture's path, content, thumbnail and vector."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inkseek.errors import InkseekError
from inkseek.gallery.filters import Filter

SCHEMA_VERSION = 1

# A file (`pictures`) points at what is in it (`contents`), so a moved or copied file costs a row and no embedding.
# Thumbnails stand apart so that reading all vectors does not read them too. Paths are bytes: a file's name need not be
# text. An id is never given twice, and a picture whose content changes gets a new one: an id is one picture for good.
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE folders (path BLOB PRIMARY KEY, attribution TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE contents (
    id INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL UNIQUE,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    vector BLOB NOT NULL
);
CREATE TABLE thumbnails (
    content INTEGER PRIMARY KEY REFERENCES contents ON DELETE CASCADE,
    jpeg BLOB NOT NULL
);
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    content INTEGER NOT NULL REFERENCES contents
);
CREATE INDEX pictures_by_content ON pictures (content);
"""


@dataclass(frozen=True)
class ModelRecord:
    """The model that made a gallery: where to load it from ('' if nowhere), its fingerprint, its vectors' length."""

    path: str
    fingerprint: str
    dim: int


@dataclass(frozen=True)
class Stamp:
    """What tells, without reading a file, that it is still the one indexed."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, eq=False)
class Content:
    """What is in a picture: its pixel size (upright), its unit vector float32 [dim], its thumbnail as a JPEG."""

    width: int
    height: int
    vector: npt.NDArray[np.float32]
    thumbnail: bytes


@dataclass(frozen=True, eq=False)
class Entry:
    """A file to put into the gallery; `content` is None when a picture with the same hash is already there."""

    path: Path
    stamp: Stamp
    sha256: bytes
    content: Content | None


@dataclass(frozen=True)
class Picture:
    """A picture in the gallery, as it was when indexed."""

    id: int
    path: Path
    stamp: Stamp
    sha256: bytes
    width: int
    height: int


class Store:
    """One gallery file, open.

    Several processes may read while one writes (SQLite's write-ahead log). Each writing method is one transaction: a
    kill at any moment leaves all of it or nothing. The methods may be called from any thread.

    Args:
        path: the gallery's file; made when missing or empty.

    Raises:
        InkseekError: the file is no gallery, a newer Inkseek made it, or it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        if path.is_dir():
            raise InkseekError(f"{path} is a folder; a gallery is a file, for example {path / 'gallery.db'}")
        if not path.parent.is_dir():
            raise InkseekError(f"the folder {path.parent} for the gallery {path.name} does not exist; make it first")
        with self._errors():
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            try:
                self._open()
            except BaseException:
                self._db.close()
                raise

    def _open(self) -> None:
        # Nothing is written, not even the journal mode, before the file is known to be ours.
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables:
            self._check_ours(tables)
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        if not tables:
            with self._transaction():
                # Another process may have come first.
                if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                    for statement in _SCHEMA.split(";\n"):
                        self._db.execute(statement)
                    self._set("schema", str(SCHEMA_VERSION))

    def _check_ours(self, tables: set[str]) -> None:
        version = ""
        if {"meta", "pictures", "contents"} <= tables:
            with suppress(sqlite3.OperationalError):
                version = self._get("schema") or ""
        if not version.isdecimal():
            raise InkseekError(
                f"{self.path} is a database but not an Inkseek gallery; name another file with --gallery"
            )
        if int(version) > SCHEMA_VERSION:
            raise InkseekError(f"{self.path} was made by a newer Inkseek (gallery format {version}); upgrade Inkseek")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Say SQLite's errors in one line that names the gallery."""
        try:
            with self._lock:
                yield
        except sqlite3.DatabaseError as error:
            what = str(error)
            if "not a database" in what:
                what = "this file is not an Inkseek gallery; name another one with --gallery"
            elif "malformed" in what:
                what = "the file is damaged; delete it and index again"
            elif "locked" in what:
                what = "another process has been writing to it for more than 30 s; try again when it is done"
            elif "readonly" in what:
                what = "the file cannot be written; check the permissions of the file and of its folder"
            elif "full" in what:
                what = "the disk is full; what was committed before is kept"
            elif "disk I/O" in what:
                what = "the disk is full or fails; what was committed before is kept"
            elif "unable to open" in what:
                what = "the file cannot be opened or made; check the permissions of the file and of its folder"
            raise InkseekError(f"gallery {self.path}: {what}") from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                # A full disk may have rolled back already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file; the last one to close it folds the write-ahead log in."""
        with self._errors():
            self._db.close()

    def _get(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _set(self, key: str, value: str) -> None:
        self._db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
        )

    # What the gallery is made of

    @property
    def model(self) -> ModelRecord | None:
        """The model that made the vectors; None before the first indexing."""
        with self._errors():
            path, fingerprint, dim = (self._get(key) for key in ("model_path", "model_fingerprint", "dim"))
        if path is None or fingerprint is None or dim is None:
            return None
        return ModelRecord(path, fingerprint, int(dim))

    def remember_model(self, model: ModelRecord) -> None:
        """Write down the model that makes the vectors; vectors of any other model are removed."""
        with self._transaction():
            if self._get("model_fingerprint") != model.fingerprint:
                for table in ("pictures", "contents", "folders"):
                    self._db.execute(f"DELETE FROM {table}")
            self._set("model_path", model.path)
            self._set("model_fingerprint", model.fingerprint)
            self._set("dim", str(model.dim))

    @property
    def folders(self) -> dict[Path, str]:
        """Each indexed folder with the attribution that its pictures ask for ('' where none does)."""
        with self._errors():
            return {_path(path): text for path, text in self._db.execute("SELECT path, attribution FROM folders")}

    def remember_folder(self, folder: Path, attribution: str) -> None:
        """Write down that a folder is indexed, and the attribution that its pictures ask for."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO folders VALUES (?, ?) ON CONFLICT (path) DO UPDATE SET attribution = excluded.attribution",
                (os.fsencode(folder), attribution),
            )

    # Writing

    def add(self, entries: Iterable[Entry]) -> None:
        """Put files in, all or none; a file already there is replaced."""
        with self._transaction():
            for entry in entries:
                if entry.content is not None:
                    self._add_content(entry.sha256, entry.content)
                self._add_picture(entry)

    def _add_content(self, sha256: bytes, content: Content) -> None:
        vector = np.ascontiguousarray(content.vector, dtype="<f4").tobytes()
        row = self._db.execute(
            "INSERT INTO contents (sha256, width, height, vector) VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING RETURNING id",
            (sha256, content.width, content.height, vector),
        ).fetchone()
        if row is not None:
            self._db.execute("INSERT INTO thumbnails VALUES (?, ?)", (row[0], content.thumbnail))

    def _add_picture(self, entry: Entry) -> None:
        path, stamp = os.fsencode(entry.path), entry.stamp
        row = self._db.execute("SELECT id FROM contents WHERE sha256 = ?", (entry.sha256,)).fetchone()
        if row is None:
            raise InkseekError(f"gallery {self.path}: another process removed {entry.path} meanwhile; index again")
        (content,) = row
        self._db.execute("DELETE FROM pictures WHERE path = ? AND content != ?", (path, content))
        self._db.execute(
            "INSERT INTO pictures (path, size, mtime_ns, content) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns",
            (path, stamp.size, stamp.mtime_ns, content),
        )

    def remove(self, paths: Iterable[Path]) -> None:
        """Take files out, all or none, with every content that no file has any more."""
        with self._transaction():
            self._db.executemany("DELETE FROM pictures WHERE path = ?", [(os.fsencode(path),) for path in paths])
            self._db.execute("DELETE FROM contents WHERE id NOT IN (SELECT content FROM pictures)")

    # Reading

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read as of one moment, whatever other processes write meanwhile; other threads wait."""
        with self._errors():
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                # A read that failed may have ended the transaction already.
                if self._db.in_transaction:
                    self._db.execute("COMMIT")

    @property
    def revision(self) -> tuple[int, int]:
        """Changes whenever the gallery does, by this process or another."""
        with self._errors():
            (others,) = self._db.execute("PRAGMA data_version").fetchone()
            return int(others), self._db.total_changes

    def __len__(self) -> int:
        with self._errors():
            (count,) = self._db.execute("SELECT count(*) FROM pictures").fetchone()
            return int(count)

    def stamps_below(self, folder: Path) -> dict[Path, Stamp]:
        """Return the indexed files below a folder."""
        with self._errors():
            rows = self._db.execute(
                "SELECT path, size, mtime_ns FROM pictures WHERE path >= ? AND path < ?", _range_below(folder)
            ).fetchall()
        return {_path(path): Stamp(size, mtime_ns) for path, size, mtime_ns in rows}

    def folder_counts(self) -> dict[Path, int]:
        """Return every folder that pictures lie in, sorted, with how many of them lie in it itself."""
        with self._errors():
            counts = Counter(os.path.split(path)[0] for (path,) in self._db.execute("SELECT path FROM pictures"))
        return {_path(folder): counts[folder] for folder in sorted(counts)}

    def has_content(self, sha256: bytes) -> bool:
        """Whether a picture with this hash of its file is there."""
        with self._errors():
            return self._db.execute("SELECT 1 FROM contents WHERE sha256 = ?", (sha256,)).fetchone() is not None

    def hashes(self) -> npt.NDArray[np.bytes_]:
        """Return the hashes of all contents, 32 bytes each [M]."""
        with self._errors():
            return np.array([sha256 for (sha256,) in self._db.execute("SELECT sha256 FROM contents")], dtype="S32")

    def contents(self, hashes: Sequence[bytes]) -> dict[bytes, Content]:
        """Return what is in the files with these hashes, as far as it is there."""
        with self._errors():
            rows = [
                self._db.execute(
                    "SELECT c.sha256, c.width, c.height, c.vector, t.jpeg "
                    "FROM contents c JOIN thumbnails t ON t.content = c.id WHERE c.sha256 = ?",
                    (sha256,),
                ).fetchone()
                for sha256 in hashes
            ]
        return {
            sha256: Content(width, height, np.frombuffer(vector, dtype="<f4").astype(np.float32, copy=False), jpeg)
            for sha256, width, height, vector, jpeg in filter(None, rows)
        }

    def ids(self, only: Filter | None = None) -> npt.NDArray[np.int64]:
        """Return the id of every picture, or of those that pass a filter, ascending."""
        where, values = _where(Filter() if only is None else only)
        with self._errors():
            return np.array(
                [i for (i,) in self._db.execute(f"SELECT id FROM pictures {where} ORDER BY id", values)], dtype=np.int64
            )

    def vectors(self, after: int = 0, most: int | None = None) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return ids [N] and vectors [N, dim] of the pictures with an id above `after`, the first `most` of them."""
        model = self.model
        dim = 0 if model is None else model.dim
        with self._errors():
            rows = self._db.execute(
                "SELECT p.id, c.vector FROM pictures p JOIN contents c ON c.id = p.content "
                "WHERE p.id > ? ORDER BY p.id LIMIT ?",
                (after, -1 if most is None else most),
            ).fetchall()
        if any(len(vector) != 4 * dim for _, vector in rows):
            raise InkseekError(f"gallery {self.path}: the file is damaged; delete it and index again")
        ids = np.array([row[0] for row in rows], dtype=np.int64)
        vectors = np.frombuffer(b"".join(row[1] for row in rows), dtype="<f4").reshape(len(rows), dim)
        return ids, vectors.astype(np.float32, copy=False)

    def vector(self, picture: int) -> npt.NDArray[np.float32] | None:
        """Return one picture's vector [dim]; None when there is no such id."""
        with self._errors():
            row = self._db.execute(
                "SELECT c.vector FROM pictures p JOIN contents c ON c.id = p.content WHERE p.id = ?", (picture,)
            ).fetchone()
        return None if row is None else np.frombuffer(row[0], dtype="<f4").astype(np.float32, copy=False)

    def pictures(self, ids: Sequence[int]) -> list[Picture]:
        """Return the pictures of these ids, in their order; an id that is no longer there is left out."""
        with self._errors():
            rows = [
                self._db.execute(
                    "SELECT p.id, p.path, p.size, p.mtime_ns, c.sha256, c.width, c.height "
                    "FROM pictures p JOIN contents c ON c.id = p.content WHERE p.id = ?",
                    (picture,),
                ).fetchone()
                for picture in ids
            ]
        return [
            Picture(i, _path(path), Stamp(size, mtime_ns), sha256, width, height)
            for i, path, size, mtime_ns, sha256, width, height in filter(None, rows)
        ]

    def thumbnail(self, picture: int) -> bytes | None:
        """Return a picture's thumbnail as a JPEG; None when there is no such id."""
        with self._errors():
            row = self._db.execute(
                "SELECT t.jpeg FROM pictures p JOIN thumbnails t ON t.content = p.content WHERE p.id = ?", (picture,)
            ).fetchone()
        return None if row is None else bytes(row[0])


def _path(stored: bytes) -> Path:
    return Path(os.fsdecode(stored))


def _range_below(folder: Path) -> tuple[bytes, bytes]:
    """Return the first bytes of every path below a folder, and the smallest bytes after all of these."""
    prefix = os.fsencode(str(folder).rstrip(os.sep) + os.sep)
    # "/" becomes "0".
    return prefix, prefix[:-1] + bytes([prefix[-1] + 1])


def _where(only: Filter) -> tuple[str, list[bytes | int]]:
    """Return a filter as SQL over `pictures`."""
    clauses: list[str] = []
    values: list[bytes | int] = []
    if only.folder is not None:
        clauses.append("path >= ? AND path < ?")
        values.extend(_range_below(only.folder))
    if only.from_ns is not None:
        clauses.append("mtime_ns >= ?")
        values.append(only.from_ns)
    if only.until_ns is not None:
        clauses.append("mtime_ns < ?")
        values.append(only.until_ns)
    if only.min_side is not None:
        clauses.append("content IN (SELECT id FROM contents WHERE min(width, height) >= ?)")
        values.append(only.min_side)
    return "WHERE " * bool(clauses) + " AND ".join(clauses), values
