"""Members of a downloaded archive (zip, tar, tar.gz), hostile until checked: no path out of it, no link, no bomb."""

from __future__ import annotations

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import IO, NamedTuple

from inkseek.datasets.file_lists import relative_path
from inkseek.errors import InkseekError

# Pictures hardly compress, lists about tenfold. What unpacks to far more than that is a bomb.
_MOST_TIMES_LARGER = 20
_ALWAYS_ALLOWED = 64 * 2**20
LARGEST_MEMBER = 256 * 2**20


class Member(NamedTuple):
    """A file in an archive: its path, how far the archive has been read (bytes), and a function that reads it now."""

    path: str
    position: int
    read: Callable[[], bytes]


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive that `members` opens."""
    return path.name.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz"))


def members(archive: Path) -> Iterator[Member]:
    """Yield an archive's files in its own order; each is to be read before the next one is asked for.

    Raises:
        InkseekError: not an archive or cut off; or refused, because a member leads out of the archive's folder, is a
            link or a device, or is a bomb by its size.
    """
    with _one_line(archive):
        yield from _zip(archive) if archive.name.lower().endswith(".zip") else _tar(archive)


@contextmanager
def _one_line(archive: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, OSError, EOFError, RuntimeError) as error:
        raise InkseekError(f"{archive}: cannot be unpacked ({' '.join(str(error).split())})") from None


def _zip(archive: Path) -> Iterator[Member]:
    size = archive.stat().st_size
    with zipfile.ZipFile(archive) as opened:
        files = [info for info in opened.infolist() if not info.is_dir()]
        _refuse_bomb(archive, sum(info.file_size for info in files), size)
        for info in files:
            kind = stat.S_IFMT(info.external_attr >> 16)
            checked = _checked(archive, info.filename, info.file_size, plain=kind in (0, stat.S_IFREG))
            position = min(info.header_offset + info.compress_size, size)
            yield Member(checked, position, partial(_read, archive, partial(opened.open, info)))


def _tar(archive: Path) -> Iterator[Member]:
    size = archive.stat().st_size
    with archive.open("rb") as raw:
        stream = raw if archive.name.lower().endswith(".tar") else gzip.GzipFile(fileobj=raw)
        with tarfile.open(fileobj=_Limited(stream, archive, size), mode="r|") as opened:
            for info in opened:
                if info.isdir():
                    continue
                checked = _checked(archive, info.name, info.size, plain=info.isfile())
                yield Member(checked, raw.tell(), partial(_read, archive, partial(opened.extractfile, info)))


def _read(archive: Path, open_member: Callable[[], IO[bytes] | None]) -> bytes:
    with _one_line(archive):
        if (opened := open_member()) is None:
            return b""
        with opened:
            return opened.read()


class _Limited(BufferedIOBase):
    """A stream that ends in an error once it has given more than an honest archive holds."""

    def __init__(self, stream: BufferedIOBase, archive: Path, size: int) -> None:
        self._stream, self._archive, self._size, self._given = stream, archive, size, 0

    def read(self, size: int | None = -1, /) -> bytes:
        part = self._stream.read(size)
        self._given += len(part)
        _refuse_bomb(self._archive, self._given, self._size)
        return part


def _checked(archive: Path, name: str, size: int, *, plain: bool) -> str:
    if not plain:
        raise InkseekError(f"{archive}: refused, {name[:80]!r} in it is a link or a device, not a file")
    if size > LARGEST_MEMBER:
        raise InkseekError(f"{archive}: refused, {name[:80]!r} in it unpacks to {size >> 20:,} MB")
    return relative_path(name, archive)


def _refuse_bomb(archive: Path, unpacked: int, size: int) -> None:
    if unpacked > max(_ALWAYS_ALLOWED, _MOST_TIMES_LARGER * size):
        raise InkseekError(f"{archive}: refused, it unpacks to more than {_MOST_TIMES_LARGER} times its size")
