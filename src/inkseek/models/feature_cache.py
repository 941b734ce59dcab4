"""Embeddings kept on disk under a key of everything that they depend on."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inkseek.cache import cache_folder
from inkseek.images.preprocessing import PREPROCESSING_VERSION


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
    try:
        rows = np.load(cache_folder() / "embeddings" / f"{key}.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return rows if rows.shape == shape and rows.dtype == np.float32 else None


def write(key: str, rows: npt.NDArray[np.float32]) -> None:
    """Keep rows under a key; a disk that is full costs the cache, never the run."""
    folder = cache_folder() / "embeddings"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
            try:
                np.save(file, rows, allow_pickle=False)
            except OSError:
                Path(file.name).unlink()
                raise
        Path(file.name).replace(folder / f"{key}.npy")
