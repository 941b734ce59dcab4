"""Embeddings and features kept on disk under a key of everything that they depend on, the latest used of them."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from inkseek.cache import cache_folder
from inkseek.images.preprocessing import PREPROCESSING_VERSION

LIMIT = 4 * 2**30
"""How many bytes are kept; beyond them, what was used longest ago is dropped."""


def key_of(fingerprint: str, paths: Sequence[Path], domains: Sequence[str]) -> str:
    """Return a key that changes with the weights, the preprocessing, and any file's path, size or mtime_ns.

    Raises:
        FileNotFoundError: a file is gone.
    """
    digest = hashlib.sha256(f"{fingerprint} {PREPROCESSING_VERSION}".encode())
    for path, domain in zip(paths, domains, strict=True):
        status = path.stat()
        digest.update(
            f"\n{path.absolute()}\0{domain}\0{status.st_size}\0{status.st_mtime_ns}".encode("utf-8", "surrogateescape")
        )
    return digest.hexdigest()


def read(key: str, shape: tuple[int, int]) -> npt.NDArray[np.float32] | None:
    """Return the rows kept under a key, or None where there are none or they are not whole."""
    file = _folder() / f"{key}.npy"
    try:
        rows = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if rows.shape != shape or rows.dtype != np.float32:
        return None
    with contextlib.suppress(OSError):
        file.touch()
    return cast("npt.NDArray[np.float32]", rows)


def write(key: str, rows: npt.NDArray[np.float32]) -> None:
    """Keep rows under a key, and drop others beyond the limit; a full disk costs the cache, never the run."""
    if rows.nbytes > LIMIT:
        return
    folder = _folder()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
            try:
                np.save(file, rows, allow_pickle=False)
            except OSError:
                Path(file.name).unlink()
                raise
        Path(file.name).replace(folder / f"{key}.npy")
        _drop_oldest(folder, keep=f"{key}.npy")


def _folder() -> Path:
    return cache_folder() / "embeddings"


def _drop_oldest(folder: Path, *, keep: str) -> None:
    """Remove files, and what killed writers left, from the one used longest ago until the limit holds."""
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process drops too
            status = path.stat()
            found.append((path.name == keep, status.st_mtime_ns, status.st_size, path))
    excess = sum(size for *_, size, _ in found) - LIMIT
    for _, _, size, path in sorted(found):
        if excess <= 0:
            return
        path.unlink(missing_ok=True)
        excess -= size
