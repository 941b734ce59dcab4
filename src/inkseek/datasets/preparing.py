"""What a user downloaded, unpacked and made smaller in a folder of its own; the originals are only read."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from inkseek.datasets.archives import LARGEST_MEMBER, is_archive, members
from inkseek.errors import InkseekError
from inkseek.images.reading import PICTURE_SUFFIXES, read_picture

Progress = Callable[[int, int], None]

_MARKER = "prepared.json"
_PARTIAL = ".partial"
# Lists and labels that a layout needs; nothing that could be run or unpickled.
_COPIED = frozenset({".csv", ".json", ".mat", ".txt"})
_OTHER_ARCHIVES = frozenset({".7z", ".bz2", ".rar", ".xz"})
_QUALITY = {".jpg": 95, ".jpeg": 95, ".webp": 95}


class LeftOut(NamedTuple):
    """A file that could not be prepared, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Prepared:
    """What was done: files written, files that were there from an earlier run, and those that could not be prepared."""

    written: int
    kept: int
    left_out: tuple[LeftOut, ...]


class _Source(NamedTuple):
    path: str  # below the folder that is prepared, with forward slashes
    name: str  # for messages
    mtime_ns: int
    read: Callable[[], bytes]


def prepare(root: Path, to: Path, *, size: int = 256, progress: Progress | None = None) -> Prepared:
    """Unpack archives and make pictures smaller, keeping paths, names and formats.

    A picture's shorter side becomes `size`; smaller pictures and lists are copied as they are. Every file is written
    beside and renamed, with its original's time of change: after a kill there are whole files only, and a second run
    goes on where the first one stopped.

    Args:
        root: what was downloaded: archives, pictures, lists.
        to: a folder that is new, empty, or was prepared before with the same size.
        size: of the shorter side.
        progress: called with (bytes read, bytes in all).

    Raises:
        InkseekError: `to` is not such a folder, one of the two is inside the other, there is nothing to prepare, an
            archive is broken or hostile, or the disk is full.
    """
    if not root.is_dir():
        raise InkseekError(f"{root}: no such folder; give what you downloaded with --root")
    files = list(_files(root))
    left_out = [LeftOut(str(file), reason) for file in files if (reason := _unfit(file))]
    files = [file for file in files if not _unfit(file)]
    if not files:
        raise InkseekError(f"{root}: holds no picture, no list, and no archive in zip, tar or tar.gz")
    _claim(root, to, size)
    total = sum(file.stat().st_size for file in files)
    written = kept = 0
    seen: set[str] = set()
    waiting: deque[tuple[_Source, Future[str | None]]] = deque()

    def settle() -> int:
        source, future = waiting.popleft()
        if (reason := future.result()) is not None:
            left_out.append(LeftOut(source.name, reason))
        return reason is None

    workers = min(8, os.cpu_count() or 1)
    try:
        with ThreadPoolExecutor(max_workers=workers) as pool:
            for source, done in _sources(root, files):
                if source.path in seen:
                    continue  # an archive beside what was unpacked from it
                seen.add(source.path)
                if _is_there(to / source.path, source.mtime_ns):
                    kept += 1
                else:
                    # An archive's member can be read now only; at most a few are held in memory.
                    try:
                        data = source.read()
                    except OSError as error:
                        left_out.append(LeftOut(source.name, str(error.strerror)))
                        continue
                    waiting.append((source, pool.submit(_write, to, source, data, size)))
                    while len(waiting) > 4 * workers:
                        written += settle()
                if progress is not None:
                    progress(done, total)
            while waiting:
                written += settle()
    except OSError as error:
        raise InkseekError(f"{error.filename or to}: {error.strerror}") from None
    finally:
        shutil.rmtree(to / _PARTIAL, ignore_errors=True)
    if progress is not None:
        progress(total, total)
    return Prepared(written, kept, tuple(left_out))


def _files(root: Path) -> Iterator[Path]:
    """Yield what can be prepared, plain files before archives; links to folders are followed, each folder once."""
    archives: list[Path] = []
    visited: set[tuple[int, int]] = set()
    for folder, below, names in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in visited:
            below.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        below[:] = sorted(name for name in below if _wanted(name))
        for name in sorted(names):
            path = Path(folder, name)
            if not _wanted(name) or not path.is_file():
                continue
            if is_archive(path):
                archives.append(path)
            elif path.suffix.lower() in PICTURE_SUFFIXES | _COPIED | _OTHER_ARCHIVES:
                yield path
    yield from archives


def _unfit(file: Path) -> str:
    if file.suffix.lower() in _OTHER_ARCHIVES:
        return "only zip, tar and tar.gz are unpacked here; unpack it yourself and prepare again"
    if not is_archive(file) and file.stat().st_size > LARGEST_MEMBER:
        return f"larger than {LARGEST_MEMBER >> 20} MB, which no picture and no list is"
    return ""


def _wanted(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _sources(root: Path, files: list[Path]) -> Iterator[tuple[_Source, int]]:
    """Yield every file and every member of an archive, with the bytes read up to its end."""
    before = 0
    for file in files:
        status = file.stat()
        place = file.relative_to(root)
        if is_archive(file):
            for member in members(file):
                parts = member.path.split("/")
                if all(map(_wanted, parts)) and Path(parts[-1]).suffix.lower() in PICTURE_SUFFIXES | _COPIED:
                    path = (place.parent / member.path).as_posix()
                    name = f"{file}: {member.path}"
                    yield _Source(path, name, status.st_mtime_ns, member.read), before + member.position
        else:
            yield _Source(place.as_posix(), str(file), status.st_mtime_ns, file.read_bytes), before + status.st_size
        before += status.st_size


def _claim(root: Path, to: Path, size: int) -> None:
    here, there = root.resolve(), to.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise InkseekError(f"{to}: must be outside {root}, and not around it, so that the originals stay as they are")
    marker = to / _MARKER
    try:
        if marker.is_file():
            if json.loads(marker.read_text(encoding="utf-8")) != {"size": size}:
                raise InkseekError(f"{to}: was prepared with another --size; take another folder")
        elif to.is_dir() and any(to.iterdir()):
            raise InkseekError(f"{to}: is not empty, and nothing that was prepared before; take another folder")
        else:
            to.mkdir(parents=True, exist_ok=True)
            marker.write_text(json.dumps({"size": size}), encoding="utf-8")
        shutil.rmtree(to / _PARTIAL, ignore_errors=True)
        (to / _PARTIAL).mkdir()
    except ValueError:
        raise InkseekError(f"{marker}: is not what was written there; take another folder") from None
    except OSError as error:
        raise InkseekError(f"{to}: cannot be written ({error.strerror})") from None


def _is_there(target: Path, mtime_ns: int) -> bool:
    try:
        # Some file systems keep times to the second, or to two.
        return abs(target.stat().st_mtime_ns - mtime_ns) < 2 * 10**9
    except (OSError, ValueError):
        return False


def _write(to: Path, source: _Source, data: bytes, size: int) -> str | None:
    """Write one file beside and rename it; return the reason where the picture cannot be read."""
    target = to / source.path
    if target.suffix.lower() in PICTURE_SUFFIXES:
        try:
            data = smaller(data, target.suffix.lower(), size)
        except InkseekError as error:
            return str(error).removeprefix("the picture: ")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=to / _PARTIAL, delete=False) as file:
        file.write(data)
    Path(file.name).chmod(0o644)  # a temporary file is its owner's alone
    os.utime(file.name, ns=(source.mtime_ns, source.mtime_ns))
    Path(file.name).replace(target)
    return None


def smaller(data: bytes, suffix: str, size: int) -> bytes:
    """Return a picture file whose shorter side is `size`, in the format of its suffix; as it is where it is smaller.

    Raises:
        UnreadablePicture: it cannot be decoded.
    """
    picture = read_picture(data, at_least=size)
    with Image.open(io.BytesIO(data)) as original:
        shorter = min(original.size)
    if shorter <= size:
        return data
    scale = size / min(picture.size)
    target = (max(size, round(picture.width * scale)), max(size, round(picture.height * scale)))
    resized = picture.resize(target, Image.Resampling.LANCZOS, reducing_gap=3.0)
    out = io.BytesIO()
    resized.save(out, Image.registered_extensions()[suffix], quality=_QUALITY.get(suffix, 75))
    return out.getvalue()
