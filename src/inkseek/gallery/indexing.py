"""From a folder to the store: only what is new is read, and only content never seen before is embedded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from inkseek.errors import InkseekError
from inkseek.gallery.backend import Records
from inkseek.gallery.picture_files import Read, Unreadable, read_file, stamp_of
from inkseek.gallery.sources import address_of, is_remote
from inkseek.gallery.store import Content, Entry
from inkseek.images.reading import find_pictures
from inkseek.models.bundle import Model
from inkseek.models.runtime import cores

Progress = Callable[[int, int], None]
"""Called with (pictures done, pictures to do) as indexing goes on."""

ATTRIBUTION_FILE = "ATTRIBUTION.txt"
_MOST_WORKERS = 16
_MOST_ATTRIBUTION = 2000


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
    if is_remote(folder):
        raise InkseekError(f"{address_of(folder)} is not a folder of this machine; add --engine ray to read it")
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

    Every batch is one transaction, so a run that is killed keeps what was written and the next one goes on from there.
    Each core reads, decodes and embeds whole batches by itself: no core waits for another, however decoding and the
    model compare.

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
    store.remember_folder(folder, attribution_of(folder))
    known = store.stamps_below(folder)
    unreadable: list[Unreadable] = []
    changed: list[Path] = []
    for path in found.pictures:
        try:
            if known.get(path) != stamp_of(path):
                changed.append(path)
        except OSError as error:
            unreadable.append(Unreadable(path, error.strerror or str(error)))
    unchanged = len(found.pictures) - len(changed) - len(unreadable)
    embedded = reused = done = 0
    if progress is not None:
        progress(0, len(changed))
    for batch in _embedded(changed, store, model, batch_size):
        entries = [entry for entry in batch if isinstance(entry, Entry)]
        if entries:
            store.add(entries)
        new = sum(entry.content is not None for entry in entries)
        embedded, reused, done = embedded + new, reused + len(entries) - new, done + len(batch)
        unreadable.extend(file for file in batch if isinstance(file, Unreadable))
        if progress is not None:
            progress(done, len(changed))
    gone = {path for path in known.keys() - set(found.pictures) if is_gone(path)}
    # What these showed has been overwritten by something that is no picture.
    gone |= {file.path for file in unreadable} & set(changed) & known.keys()
    store.remove(gone)
    seconds = time.perf_counter() - start
    unreadable.extend(found.unreadable)
    return Report(len(found.pictures), unchanged, reused, embedded, len(gone), tuple(unreadable), seconds)


_Batch = list[Entry | Unreadable]


def _embedded(paths: Sequence[Path], store: Records, model: Model, batch_size: int) -> Iterator[_Batch]:
    """Yield the files batch by batch, in order, as they go into the gallery; few batches wait in memory."""
    workers = min(cores(), _MOST_WORKERS)
    waiting: deque[Future[_Batch]] = deque()
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, "index", torch.set_num_threads, (max(1, cores() // workers),))
    try:
        for start in range(0, len(paths), batch_size):
            waiting.append(pool.submit(_embed, paths[start : start + batch_size], store, model))
            if len(waiting) == workers + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # for threads to come, which take over what was said last


def _embed(paths: Sequence[Path], store: Records, model: Model) -> _Batch:
    files = [read_file(path, model.prepare, store.has_content) for path in paths]
    return entries_of(files, model)


def entries_of(files: Iterable[Read | Unreadable], model: Model) -> _Batch:
    """Embed what is new in files and return them in their order, as they go into the gallery."""
    files = list(files)
    pixels = [file.fresh.pixels for file in files if isinstance(file, Read) and file.fresh is not None]
    vectors = iter(model.embed_pixels(np.stack(pixels)) if pixels else ())
    return [file if isinstance(file, Unreadable) else _entry(file, vectors) for file in files]


def _entry(file: Read, vectors: Iterator[npt.NDArray[np.float32]]) -> Entry:
    fresh = file.fresh
    content = None if fresh is None else Content(fresh.width, fresh.height, next(vectors), fresh.thumbnail)
    return Entry(file.path, file.stamp, file.sha256, content)


def is_gone(path: Path) -> bool:
    """Whether a file is certainly gone: a folder that may not be entered just now does not lose its pictures."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def attribution_of(folder: Path) -> str:
    """Return what the nearest ATTRIBUTION.txt says, in the folder or above it; '' where there is none."""
    for place in (folder, *folder.parents):
        with suppress(OSError), (place / ATTRIBUTION_FILE).open(encoding="utf-8", errors="replace") as file:
            return " ".join(file.read(_MOST_ATTRIBUTION).split())
    return ""
