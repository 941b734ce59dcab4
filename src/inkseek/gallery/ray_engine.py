"""Indexing by Ray Data: an archive that is too much for one machine is read and embedded by many, and written by one.

    source -> read and decode (tasks) -> embed (a pool of actors) -> this process -> the gallery

Ray Data streams blocks of pictures through, holds the readers back when the models fall behind, and runs again what a
lost worker or machine had in hand. This process alone writes, which is what Milvus Lite and SQLite ask for; what is
written twice is written to the same place, as a row's key follows from the picture's path and content.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inkseek.errors import InkseekError
from inkseek.gallery.backend import Records
from inkseek.gallery.indexing import Progress, Report, attribution_of, entries_of, is_gone, pictures_below
from inkseek.gallery.picture_files import Fresh, Read, Unreadable, examine, read_file, stamp_of
from inkseek.gallery.sources import Columns, RowGroup, Source, is_remote
from inkseek.gallery.store import Content, Entry, Stamp
from inkseek.images.preprocessing import Preparation
from inkseek.models.bundle import Model
from inkseek.models.runtime import OnnxModel, Runtime, with_runtime

# Pictures that go through the cluster together; a worker that is lost has as many in hand.
_MOST_TOGETHER = 256
# On CPUs, as the forward pass takes about three times as long as reading and decoding.
_READER, _EMBEDDER = 0.25, 0.75
_TRIES, _PAUSE = 3, 1.0
# Ray's own switch for machines that are no cluster; read when it is first imported.
_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
# The line of a worker's traceback that says what went wrong.
_ERROR = re.compile(r"[\w.]+: ")


@dataclass(frozen=True)
class RayEngine:
    """Where and how Ray works.

    Attributes:
        address: a cluster's (`HOST:6379`, `auto` for the one that this machine is part of); None starts one here, which
            listens on this machine alone and ends with the indexing.
        workers: models in the pool; one for each GPU of the cluster where `gpus`, one for each CPU otherwise.
        gpus: give each worker a GPU.
        columns: the source is Parquet, with these columns.
    """

    address: str | None = None
    workers: int | None = None
    gpus: bool = False
    columns: Columns | None = None

    def index(
        self, store: Records, model: Model, home: Path, *, batch_size: int = 32, progress: Progress | None = None
    ) -> Report:
        """Bring the store up to date with the pictures of a source; see `indexing.index_folder`.

        Raises:
            InkseekError: Ray is not installed or not there, the source cannot be read, the gallery cannot be written;
                what was written before stays.
        """
        with cluster(self.address) as ray:
            return _Run(self, ray, store, model, Source(home), progress).go(batch_size)


@contextmanager
def cluster(address: str | None = None, *, cpus: int | None = None, object_store: int | None = None) -> Iterator[Any]:
    """Connect to a cluster, or have one on this machine: without dashboard or usage statistics, on loopback alone.

    Args:
        address: see `RayEngine`.
        cpus: of a cluster that is started here; all by default.
        object_store: bytes of its shared memory; Ray's own choice by default.

    Raises:
        InkseekError: Ray is not installed, no cluster answers, or Ray was imported too early to be kept on loopback.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    late = "ray" in sys.modules and os.environ.get(_LOOPBACK) != "0"
    if address is None and not late:
        os.environ[_LOOPBACK] = "0"
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise InkseekError(f"--engine ray needs {error.name}: pip install 'inkseek[ray]'") from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    if ray.is_initialized():
        yield ray
        return
    if address is None and late:
        raise InkseekError(
            f"Ray was imported before Inkseek could keep it on loopback; set {_LOOPBACK}=0 before that, or start Ray "
            "yourself with ray.init()"
        )
    here: dict[str, Any] = (
        {"num_cpus": cpus, "object_store_memory": object_store, "include_dashboard": False} if not address else {}
    )
    try:
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **here)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise InkseekError(f"no Ray cluster at {address or 'this machine'} ({' '.join(str(error).split())})") from None
    try:
        yield ray
    finally:
        ray.shutdown()


@dataclass
class _Run:
    engine: RayEngine
    ray: Any
    store: Records
    model: Model
    source: Source
    progress: Progress | None

    def go(self, batch_size: int) -> Report:
        start = time.perf_counter()
        home, store, parquet = self.source.home, self.store, self.engine.columns is not None
        known = store.stamps_below(home)
        work = self._work(known)
        left_out = work.left_out
        store.remember_folder(home, "" if is_remote(home) else attribution_of(home))
        embedded = reused = done = 0
        unchanged = work.unchanged
        self._tell(0, work)
        for files in self._through(work, batch_size):
            entries = [file for file in files if isinstance(file, Entry)]
            # Rows of Parquet have to be read to see that they are the same.
            written = [entry for entry in entries if entry.content or known.get(entry.path) != entry.stamp]
            if written:
                store.add(written)
            new = sum(entry.content is not None for entry in written)
            embedded, reused, done = embedded + new, reused + len(written) - new, done + len(files)
            unchanged += len(entries) - len(written)
            left_out.extend(file for file in files if isinstance(file, Unreadable))
            if parquet:
                work.found.update(file.path for file in files)
            self._tell(done, work)
        authoritative = parquet or is_remote(home)
        gone = {path for path in known.keys() - work.found if authoritative or is_gone(path)}
        gone |= {file.path for file in left_out if file.reached} & known.keys()
        store.remove(gone)
        seconds = time.perf_counter() - start
        return Report(len(work.found), unchanged, reused, embedded, len(gone), tuple(left_out), seconds)

    def _tell(self, done: int, work: _Work) -> None:
        if self.progress is not None:
            self.progress(done, work.pictures)

    def _work(self, known: dict[Path, Stamp]) -> _Work:
        """Return what there is to read: every row of Parquet; of files, those that are not known as they are."""
        home = self.source.home
        if self.engine.columns is not None:
            parts = list(self.source.row_groups(self.engine.columns))
            tasks = [_task(part.file, Stamp(part.rows, part.mtime_ns), part.number) for part in parts]
            return _Work(tasks, sum(part.rows for part in parts), set(), 0, [])
        left_out: list[Unreadable] = []
        if is_remote(home):
            there = self.source.pictures()
        else:
            below = pictures_below(home)
            left_out.extend(below.unreadable)
            there = {}
            for path in below.pictures:
                try:
                    there[str(path)] = path, stamp_of(path)
                except OSError as error:
                    left_out.append(Unreadable(path, error.strerror or str(error), reached=False))
        tasks = [_task(name, stamp) for name, (path, stamp) in there.items() if known.get(path) != stamp]
        found = {path for path, _ in there.values()} | {file.path for file in left_out}
        return _Work(tasks, len(tasks), found, len(there) - len(tasks), left_out)

    def _through(self, work: _Work, batch_size: int) -> Iterator[_Files]:
        """Yield the files as they come back, read and embedded."""
        if not work.tasks:
            return
        import pyarrow as pa

        data = self.ray.data
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        resources = self.ray.cluster_resources()
        workers = self.engine.workers or int(resources.get("GPU" if self.engine.gpus else "CPU", 0))
        if workers < 1 or (self.engine.gpus and resources.get("GPU", 0) < workers):
            raise InkseekError(f"the Ray cluster has {resources.get('GPU', 0):g} GPUs; ask for no more --workers")
        together = 1 if self.engine.columns else min(_MOST_TOGETHER, max(batch_size, len(work.tasks) // (8 * workers)))
        blocks = [
            pa.Table.from_pylist(work.tasks[start : start + together], schema=_task_schema())
            for start in range(0, len(work.tasks), together)
        ]
        hashes = self.store.hashes()
        model = self.model
        runtime: Runtime = "onnx" if isinstance(model, OnnxModel) else "torch"
        if isinstance(model, OnnxModel):
            model = Model(model.embedder, model.card, model.path, model.margin)
        reading = partial(
            _read,
            source=self.source,
            columns=self.engine.columns,
            prepare=model.prepare,
            known=self.ray.put(np.sort(hashes)),
            batch_size=batch_size,
        )
        stream = data.from_arrow(blocks).map_batches(
            reading, batch_format="pyarrow", batch_size=None, num_cpus=1 if self.engine.gpus else _READER
        )
        stream = stream.map_batches(
            _Embedder,
            fn_constructor_args=(self.ray.put(model), runtime, self.engine.gpus),
            compute=data.ActorPoolStrategy(size=workers),
            batch_format="pyarrow",
            batch_size=batch_size,
            **({"num_gpus": 1} if self.engine.gpus else {"num_cpus": _EMBEDDER}),
        )
        try:
            for table in stream.iter_batches(batch_size=None, batch_format="pyarrow"):
                yield [_from_row(row) for row in table.to_pylist()]
        except self.ray.exceptions.RayError as error:
            said = [line for line in str(error).splitlines() if _ERROR.match(line)] or [str(error)]
            what = " ".join(said[-1].split())[:300]
            raise InkseekError(f"Ray could not go on ({what}); what was written is kept, index again") from error


_Files = list[Entry | Unreadable]


@dataclass
class _Work:
    """What a run has to do: its tasks, and what is known without them."""

    tasks: list[dict[str, Any]]
    pictures: int
    found: set[Path]
    unchanged: int
    left_out: list[Unreadable]


def _task(name: str, stamp: Stamp, number: int = -1) -> dict[str, Any]:
    return {"name": os.fsencode(name), "size": stamp.size, "mtime_ns": stamp.mtime_ns, "number": number}


def _task_schema() -> Any:
    import pyarrow as pa

    return pa.schema([("name", pa.binary()), ("size", pa.int64()), ("mtime_ns", pa.int64()), ("number", pa.int64())])


def _row_schema() -> Any:
    import pyarrow as pa

    numbers, texts = ("size", "mtime_ns", "width", "height"), ("path", "sha256", "pixels", "vector", "thumbnail")
    return pa.schema(
        [
            *((name, pa.int64()) for name in numbers),
            *((name, pa.large_binary()) for name in texts),
            ("reason", pa.string()),
            ("reached", pa.bool_()),
        ]
    )


def _to_row(file: Read | Entry | Unreadable) -> dict[str, Any]:
    """Return a file as a row of bytes and numbers, which nobody has to unpickle."""
    row: dict[str, Any] = {"path": os.fsencode(file.path)}
    if isinstance(file, Unreadable):
        return row | {"reason": file.reason, "reached": file.reached}
    row |= {"size": file.stamp.size, "mtime_ns": file.stamp.mtime_ns, "sha256": file.sha256}
    if isinstance(file, Read) and file.fresh is not None:
        fresh = file.fresh
        row |= {"pixels": fresh.pixels.tobytes(), "width": fresh.width, "height": fresh.height}
        row |= {"thumbnail": fresh.thumbnail}
    if isinstance(file, Entry) and file.content is not None:
        content = file.content
        row |= {"vector": content.vector.tobytes(), "width": content.width, "height": content.height}
        row |= {"thumbnail": content.thumbnail}
    return row


def _read_from_row(row: dict[str, Any], side: int) -> Read | Unreadable:
    path = Path(os.fsdecode(row["path"]))
    if row["reason"] is not None:
        return Unreadable(path, row["reason"], reached=row["reached"])
    fresh = None
    if row["pixels"] is not None:
        pixels = np.frombuffer(row["pixels"], dtype=np.uint8).reshape(side, side, 3)
        fresh = Fresh(pixels, row["width"], row["height"], row["thumbnail"])
    return Read(path, Stamp(row["size"], row["mtime_ns"]), row["sha256"], fresh)


def _from_row(row: dict[str, Any]) -> Entry | Unreadable:
    path = Path(os.fsdecode(row["path"]))
    if row["reason"] is not None:
        return Unreadable(path, row["reason"], reached=row["reached"])
    content = None
    if row["vector"] is not None:
        vector = np.frombuffer(row["vector"], dtype=np.float32)
        content = Content(row["width"], row["height"], vector, row["thumbnail"])
    return Entry(path, Stamp(row["size"], row["mtime_ns"]), row["sha256"], content)


# What runs on the workers


def _read(
    tasks: Any, *, source: Source, columns: Columns | None, prepare: Preparation, known: Any, batch_size: int
) -> Iterator[Any]:
    """Read and decode what tasks name, a batch at a time."""
    import pyarrow as pa
    import ray

    hashes = ray.get(known)

    def is_known(sha256: bytes) -> bool:
        at = int(np.searchsorted(hashes, np.bytes_(sha256)))
        return at < len(hashes) and bool(hashes[at] == np.bytes_(sha256))

    for batch in _batches(tasks.to_pylist(), source, columns, prepare, is_known, batch_size):
        yield pa.Table.from_pylist([_to_row(file) for file in batch], schema=_row_schema())


def _batches(
    tasks: list[dict[str, Any]],
    source: Source,
    columns: Columns | None,
    prepare: Preparation,
    known: Callable[[bytes], bool],
    batch_size: int,
) -> Iterator[list[Read | Unreadable]]:
    if columns is not None:
        for task in tasks:
            part = RowGroup(os.fsdecode(task["name"]), task["mtime_ns"], task["number"], task["size"])
            for rows in source.rows(part, columns, batch_size):
                yield [_examined(path, stamp, content, prepare, known) for path, stamp, content in rows]
        return
    for start in range(0, len(tasks), batch_size):
        yield [_read_task(task, source, prepare, known) for task in tasks[start : start + batch_size]]


def _read_task(
    task: dict[str, Any], source: Source, prepare: Preparation, known: Callable[[bytes], bool]
) -> Read | Unreadable:
    name = os.fsdecode(task["name"])
    if not is_remote(source.home):
        return read_file(Path(name), prepare, known)
    path = source.path_of(name)
    for again in reversed(range(_TRIES)):
        try:
            content = source.read(name)
        except OSError as error:
            if not again:
                return Unreadable(path, " ".join(str(error).split())[:200], reached=False)
            time.sleep(_PAUSE)
        else:
            return _examined(path, Stamp(task["size"], task["mtime_ns"]), content, prepare, known)
    raise AssertionError


def _examined(
    path: Path, stamp: Stamp, content: bytes, prepare: Preparation, known: Callable[[bytes], bool]
) -> Read | Unreadable:
    sha256 = hashlib.sha256(content).digest()
    try:
        return Read(path, stamp, sha256, None if known(sha256) else examine(content, path, prepare))
    except InkseekError as error:
        return Unreadable(path, str(error).removeprefix(f"{path}: "))


class _Embedder:
    """One model of the pool."""

    def __init__(self, model: Any, runtime: Runtime, gpu: bool) -> None:
        import ray

        if not gpu:
            torch.set_num_threads(1)
        self._model: Model = with_runtime(ray.get(model), runtime)
        if gpu:
            self._model.embedder.to("cuda")

    def __call__(self, table: Any) -> Any:
        import pyarrow as pa

        files = [_read_from_row(row, self._model.image_size) for row in table.to_pylist()]
        rows = [_to_row(entry) for entry in entries_of(files, self._model)]
        return pa.Table.from_pylist(rows, schema=_row_schema())
