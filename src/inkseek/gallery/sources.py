"""Where an archive lies: a folder, a place in an object store, or Parquet files with the pictures inside."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from inkseek.errors import InkseekError
from inkseek.gallery.store import Stamp
from inkseek.images.reading import PICTURE_SUFFIXES

# A path cannot hold two slashes in a row; no absolute path of this machine looks like one of these.
_REMOTE = re.compile(r"^([a-z][a-z0-9+.-]+):/+(?=[^/])")
# More bytes than the largest picture that is decoded has, in any format.
_MOST_BYTES = 1 << 30


def is_remote(path: Path) -> bool:
    """Whether a path stands for an address, as `s3:/bucket/key` does for `s3://bucket/key`."""
    return _REMOTE.match(str(path)) is not None


def address_of(path: Path) -> str:
    """Return the address that a path stands for, or the path of this machine that it is."""
    return _REMOTE.sub(r"\1://", str(path), count=1)


@dataclass(frozen=True)
class RowGroup:
    """A part of a Parquet file, read as one."""

    file: str
    mtime_ns: int
    number: int
    rows: int


@dataclass(frozen=True)
class Columns:
    """Parquet's columns: `id` names a picture within the source, `image` holds its file's bytes.

    The bytes may stand alone or, as Hugging Face's data sets have them, as the field `bytes` of a struct.
    """

    id: str
    image: str


@dataclass(frozen=True)
class Source:
    """An archive's root.

    Attributes:
        home: a path of this machine, which every worker must see under the same name, or what `is_remote`.
    """

    home: Path

    @cached_property
    def _place(self) -> tuple[Any, str]:
        """The file system and the root's path in it."""
        try:
            from pyarrow import fs
        except ModuleNotFoundError:
            raise InkseekError("this source needs an extra: pip install 'inkseek[ray]'") from None
        if not is_remote(self.home):
            return fs.LocalFileSystem(), str(self.home)
        scheme, _, rest = address_of(self.home).partition("://")
        bucket, _, key = rest.partition("/")
        try:
            try:
                system, root = fs.FileSystem.from_uri(f"{scheme}://{bucket}")
            except ValueError:  # not one of Arrow's own
                import fsspec

                theirs, root = fsspec.core.url_to_fs(f"{scheme}://{bucket}")
                system = fs.PyFileSystem(fs.FSSpecHandler(theirs))
        except (ValueError, ImportError, OSError) as error:
            raise InkseekError(f"{address_of(self.home)}: cannot be reached ({_line(error)})") from None
        return system, f"{root.rstrip('/')}/{key}".rstrip("/")

    def path_of(self, name: str) -> Path:
        """Return what the gallery calls a file of this place, named as its file system names it.

        Raises:
            ValueError: it does not lie below the root.
        """
        return self.home / Path(name).relative_to(self._place[1])

    def pictures(self) -> dict[str, tuple[Path, Stamp]]:
        """Return every picture below a root that is remote, by suffix: by its name there, what it is called here.

        Raises:
            InkseekError: there is no such place, or it holds no picture.
        """
        return self._files(PICTURE_SUFFIXES, "pictures")

    def row_groups(self, columns: Columns) -> Iterator[RowGroup]:
        """Yield the parts of all Parquet files below the root, or of the one that it is.

        Raises:
            InkseekError: there are none, or one that is not read here or has not these columns.
        """
        for name, (_, stamp) in self._files(frozenset({".parquet"}), "Parquet files").items():
            with closing(self._parquet(name)) as file:
                known = file.schema_arrow.names
                if missing := [column for column in (columns.id, columns.image) if known.count(column) != 1]:
                    raise InkseekError(f"{name}: has no column {missing[0]}; there are {', '.join(known)}")
                for number in range(file.metadata.num_row_groups):
                    yield RowGroup(name, stamp.mtime_ns, number, file.metadata.row_group(number).num_rows)

    def _files(self, suffixes: frozenset[str], what: str) -> dict[str, tuple[Path, Stamp]]:
        from pyarrow import fs

        system, root = self._place
        try:
            info = system.get_file_info(root)
            infos = [info]
            if info.type != fs.FileType.File:
                infos = system.get_file_info(fs.FileSelector(root, recursive=True))
        except OSError as error:
            raise InkseekError(f"{address_of(self.home)}: cannot be listed ({_line(error)})") from None
        found = {
            file.path: (self.path_of(file.path), Stamp(file.size, file.mtime_ns or 0))
            for file in sorted(infos, key=lambda file: str(file.path))
            if file.type == fs.FileType.File
            and Path(file.path).suffix.lower() in suffixes
            and not any(part.startswith(".") for part in Path(file.path).relative_to(root).parts)
        }
        if not found:
            raise InkseekError(f"{address_of(self.home)} holds no {what}; name a place that does")
        return found

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            OSError: it is gone, cannot be reached, or is larger than any picture.
        """
        with self._place[0].open_input_stream(name) as stream:
            content: bytes = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise OSError(f"more than {_MOST_BYTES >> 20} MB")
        return content

    def rows(self, part: RowGroup, columns: Columns, size: int) -> Iterator[list[tuple[Path, Stamp, bytes]]]:
        """Yield a row group's pictures, `size` at a time: what each is called, its stamp, its file's bytes.

        A name may have `/` in it; one that leads out of the source, and bytes that are null, are empty bytes.

        Raises:
            InkseekError: the file is no longer what it was.
        """
        with closing(self._parquet(part.file)) as file:
            for batch in file.iter_batches(size, row_groups=[part.number], columns=[columns.id, columns.image]):
                names, images = batch.column(columns.id).to_pylist(), batch.column(columns.image).to_pylist()
                yield [
                    (path, Stamp(len(content), part.mtime_ns), content)
                    for path, content in map(self._row, names, images)
                ]

    def _row(self, name: object, image: object) -> tuple[Path, bytes]:
        content = image.get("bytes") if isinstance(image, dict) else image
        within = Path(str(name))
        safe = name is not None and within.parts and not within.is_absolute() and ".." not in within.parts
        if not safe or "\0" in str(name):
            return self.home / f"not a name: {str(name)!r}".replace("/", "|").replace("\\x00", ""), b""
        return self.home / within, content if isinstance(content, bytes) else b""

    def _parquet(self, name: str) -> Any:
        from pyarrow import ArrowException, parquet

        system, _ = self._place
        try:
            with system.open_input_file(name) as stream:
                about = parquet.read_metadata(stream).metadata or {}
            # Types that other libraries registered may run what the file tells them to.
            if b"ARROW:extension" in base64.b64decode(about.get(b"ARROW:schema", b"")):
                raise InkseekError(f"{name}: has columns of extension types, which are not read; store plain bytes")
            return parquet.ParquetFile(system.open_input_file(name))
        except (ArrowException, ValueError, OSError) as error:
            raise InkseekError(f"{name}: not a Parquet file that can be read ({_line(error)})") from None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def absolute(folder: str | os.PathLike[str]) -> Path:
    """Return the one path under which a folder or an address is known to a gallery."""
    path = Path(folder)
    if is_remote(path):
        scheme, _, rest = address_of(path).partition("://")
        return Path("/" + rest).resolve() if scheme == "file" else path
    return path.expanduser().resolve()
