"""From a folder to the store: only what is new is read, and only content never seen before is embedded."""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from inkseek.errors import InkseekError
from inkseek.gallery.backend import Records
from inkseek.gallery.store import Content, Entry, Stamp
from inkseek.images.preprocessing import Preparation
from inkseek.images.reading import find_pictures, read_picture
from inkseek.models.bundle import Model

Progress = Callable[[int, int], None]
"""Called with (pictures done, pictures to do) as indexing goes on."""

ATTRIBUTION_FILE = "ATTRIBUTION.txt"
THUMBNAIL = 256
_THREADS = 2
_MOST_ATTRIBUTION = 2000


@dataclass(frozen=True)
class Unreadable:
    """A file that could not be indexed, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Report:
    """What one indexing run did.

    Attributes:
        found: picture files below the folder.
        unchanged: as they were at the last run, by size and time of change; not opened.
        reused: moved, copied or touched files whose content was already embedded.
        embedded: pictures that went through the model.
        removed: pictures taken out because their file is gone or can no longer be read.
        unreadable: files and folders left out, each with its reason.
        seconds: how long it took.
    """

    found: int
    unchanged: int
    reused: int
    embedded: int
    removed: int
    unreadable: tuple[Unreadable, ...]
    seconds: float


@dataclass(frozen=True)
class Found:
    """What lies below a folder: the picture files, and the folders that cannot be entered."""

    pictures: tuple[Path, ...]
    unreadable: tuple[Unreadable, ...]


def pictures_below(folder: Path) -> Found:
    """Return every picture file below a folder.

    Raises:
        InkseekError: the folder is missing, is a file, cannot be entered, or holds no picture.
    """
    if not folder.exists():
        raise InkseekError(f"there is no folder {folder}; name one that holds pictures")
    if not folder.is_dir():
        raise InkseekError(f"{folder} is a file; name the folder that holds it")
    closed: list[Unreadable] = []
    pictures = tuple(find_pictures(folder, lambda path, reason: closed.append(Unreadable(path, reason))))
    if not pictures:
        if closed:
            raise InkseekError(f"{closed[0].path}: {closed[0].reason}; there is no other picture below {folder}")
        raise InkseekError(f"the folder {folder} holds no pictures; name one that does")
    return Found(pictures, tuple(closed))


def index_folder(
    store: Records,
    model: Model,
    folder: Path,
    found: Found,
    *,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Report:
    """Bring the store up to date with the pictures below a folder.

    Every batch is one transaction, so a run that is killed loses the batch in flight and the next one goes on from
    there. Two threads read and decode while the model embeds.

    Args:
        store: what the gallery holds; it must already remember this model.
        model: embeds the pictures.
        folder: an absolute path; an `ATTRIBUTION.txt` in it or above it says whose pictures these are.
        found: what lies below it, as `pictures_below` gives it.
        batch_size: pictures in one forward pass and one transaction.
        progress: told how far it is.

    Raises:
        InkseekError: the gallery cannot be written; what was committed before stays.
    """
    start = time.perf_counter()
    store.remember_folder(folder, _attribution(folder))
    known = store.stamps_below(folder)
    unreadable: list[Unreadable] = []
    changed: list[Path] = []
    for path in found.pictures:
        try:
            if known.get(path) != _stamp(path):
                changed.append(path)
        except OSError as error:
            unreadable.append(Unreadable(path, error.strerror or str(error)))
    unchanged = len(found.pictures) - len(changed) - len(unreadable)
    embedded = reused = 0
    batch: list[_Read] = []
    if progress is not None:
        progress(0, len(changed))
    for done, result in enumerate(_read_ahead(changed, store, model.prepare, window=2 * batch_size), 1):
        if isinstance(result, Unreadable):
            unreadable.append(result)
        else:
            batch.append(result)
        if len(batch) == batch_size or done == len(changed):
            new = _commit(store, model, batch)
            embedded, reused = embedded + new, reused + len(batch) - new
            batch.clear()
            if progress is not None:
                progress(done, len(changed))
    gone = {path for path in known.keys() - set(found.pictures) if _is_gone(path)}
    # What these showed has been overwritten by something that is no picture.
    gone |= {file.path for file in unreadable} & set(changed) & known.keys()
    store.remove(gone)
    seconds = time.perf_counter() - start
    unreadable.extend(found.unreadable)
    return Report(len(found.pictures), unchanged, reused, embedded, len(gone), tuple(unreadable), seconds)


@dataclass(frozen=True, eq=False)
class _Read:
    """A file read and, when its content is new, decoded: the model's pixels and what the gallery shows."""

    path: Path
    stamp: Stamp
    sha256: bytes
    pixels: npt.NDArray[np.uint8] | None
    width: int
    height: int
    thumbnail: bytes


def _read_ahead(
    paths: Iterable[Path], store: Records, prepare: Preparation, window: int
) -> Iterator[_Read | Unreadable]:
    """Yield each file read, in order, with at most `window` of them waiting in memory."""
    waiting: deque[Future[_Read | Unreadable]] = deque()
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="decode")
    try:
        for path in paths:
            waiting.append(pool.submit(_read, path, store, prepare))
            if len(waiting) == window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read(path: Path, store: Records, prepare: Preparation) -> _Read | Unreadable:
    try:
        # The stamp is taken before the content: a file that changes meanwhile looks changed at the next run.
        stamp = _stamp(path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").digest()
        if store.has_content(sha256):
            return _Read(path, stamp, sha256, None, 0, 0, b"")
        picture = read_picture(path, at_least=max(prepare.at_least, THUMBNAIL))
        width, height = _upright_size(path)
        return _Read(path, stamp, sha256, prepare(picture, "photo"), width, height, _thumbnail(picture))
    except InkseekError as error:
        return Unreadable(path, str(error).removeprefix(f"{path}: "))
    except OSError as error:
        return Unreadable(path, error.strerror or str(error))


def _commit(store: Records, model: Model, batch: list[_Read]) -> int:
    """Embed what is new in a batch and write all of it; return how many were embedded."""
    fresh = [(read, read.pixels) for read in batch if read.pixels is not None]
    vectors = model.embed_pixels(np.stack([pixels for _, pixels in fresh])) if fresh else ()
    contents = {
        read.path: Content(read.width, read.height, vector, read.thumbnail)
        for (read, _), vector in zip(fresh, vectors, strict=True)
    }
    if batch:
        store.add(Entry(read.path, read.stamp, read.sha256, contents.get(read.path)) for read in batch)
    return len(fresh)


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return Stamp(status.st_size, status.st_mtime_ns)


def _is_gone(path: Path) -> bool:
    """Whether a file is certainly gone: a folder that may not be entered just now does not lose its pictures."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _upright_size(path: Path) -> tuple[int, int]:
    """Return a picture's full size, as `read_picture` may have decoded it at a reduced scale."""
    with Image.open(path) as picture:
        width, height = picture.size
        turned = picture.getexif().get(0x0112, 1) in {5, 6, 7, 8}
    return (height, width) if turned else (width, height)


def _thumbnail(picture: Image.Image) -> bytes:
    small, scale = picture, THUMBNAIL / max(picture.size)
    if scale < 1:
        # At least a pixel each way: a picture may be a thousand times as long as it is wide.
        small = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=82)
    return buffer.getvalue()


def _attribution(folder: Path) -> str:
    """Return what the nearest ATTRIBUTION.txt says, in the folder or above it; '' where there is none."""
    for place in (folder, *folder.parents):
        with suppress(OSError), (place / ATTRIBUTION_FILE).open(encoding="utf-8", errors="replace") as file:
            return " ".join(file.read(_MOST_ATTRIBUTION).split())
    return ""


def absolute(folder: str | os.PathLike[str]) -> Path:
    """Return the one path under which a folder is known to a gallery."""
    return Path(folder).expanduser().resolve()
