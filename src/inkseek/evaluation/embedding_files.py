"""Embeddings and labels of any model from .npy, .npz, .csv and .parquet files; nothing is ever unpickled."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inkseek.errors import InkseekError, nearest

FORMATS = (".npy", ".npz", ".csv", ".parquet")

Array = npt.NDArray[Any]


def read_embeddings(source: str, *, without: Sequence[str] = ()) -> Array:
    """Read a table of embeddings, one row an item.

    Args:
        source: a file; `file.npz:name` is one array of several, `file.parquet:column` a column of lists. Otherwise the
            columns of a CSV, with or without a header, or of a Parquet file are the dimensions.
        without: sources of labels; where one names a column of this file, that column is no dimension.

    Raises:
        InkseekError: no such file, array or column; not of that format, or not numbers; Parquet without pyarrow.
    """
    path, key = split_source(source)
    left_out = {name for other, name in map(split_source, without) if name and other == path}
    if path.suffix == ".csv":
        header, rows = _read_csv(path)
        return _numbers(source, _columns(source, header, rows, key, left_out))
    if path.suffix == ".parquet":
        return _numbers(source, _read_parquet(path, key, left_out))
    return _numbers(source, _read_numpy(path, key))


def read_labels(source: str) -> Array:
    """Read labels, one an item: int64, or text.

    Args:
        source: a file of one array or column, or `file.npz:name`, `file.csv:column`, `file.parquet:column`.

    Raises:
        InkseekError: as for `read_embeddings`; labels that are neither integers nor text, or not one an item.
    """
    path, key = split_source(source)
    if path.suffix == ".csv":
        header, rows = _read_csv(path)
        read = np.array(_columns(source, header, rows, key, set()))
    elif path.suffix == ".parquet":
        read = np.asarray(_read_parquet(path, key, set()))
    else:
        read = _read_numpy(path, key)
    if read.ndim == 2 and read.shape[1] == 1:
        read = read[:, 0]
    if read.ndim != 1:
        raise InkseekError(f"{source}: labels have shape {read.shape}: name one column, or give a file of one")
    if read.dtype.kind in "iu":
        return read.astype(np.int64)
    if read.dtype.kind == "S":
        read = np.char.decode(read, "utf-8", "replace")
    if read.dtype.kind == "O" and all(isinstance(value, str) for value in read):
        read = read.astype(np.str_)
    if read.dtype.kind != "U":
        raise InkseekError(f"{source}: labels are {read.dtype}: give integers or text, which no rounding can confuse")
    try:
        return read.astype(np.int64) if path.suffix == ".csv" else read
    except (ValueError, OverflowError):
        return read


def split_source(source: str) -> tuple[Path, str]:
    """Split `file.npz:name` into the file and the name, which is empty where none is given.

    Raises:
        InkseekError: a file of another format.
    """
    for suffix in FORMATS:
        file, colon, key = source.rpartition(f"{suffix}:")
        if colon:
            return Path(file + suffix).expanduser(), key
    path = Path(source).expanduser()
    if path.suffix not in FORMATS:
        raise InkseekError(f"{source}: embeddings and labels are read from {', '.join(FORMATS)} files")
    return path, ""


def _read_numpy(path: Path, key: str) -> Array:
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            return np.asarray(loaded)
        with loaded as arrays:
            return np.asarray(arrays[_choose(path, key, arrays.files, "array")])
    except OSError as error:
        raise InkseekError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, EOFError, OverflowError, KeyError, zipfile.BadZipFile) as error:
        if "pickle" in str(error) or "Python objects" in str(error):
            raise InkseekError(
                f"{path}: holds Python objects, which are never loaded: save numbers, or text with .astype(str)"
            ) from None
        raise InkseekError(f"{path}: not a whole {path.suffix} file ({error})") from None


def _read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the header, empty where there is none, and the rows."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file, strict=True) if row]
    except OSError as error:
        raise InkseekError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InkseekError(f"{path}: not a CSV ({error})") from None
    if not rows:
        raise InkseekError(f"{path}: holds no row")
    torn = next((n for n, row in enumerate(rows, start=1) if len(row) != len(rows[0])), None)
    if torn:
        raise InkseekError(f"{path}: row {torn} has {len(rows[torn - 1])} cells, the first {len(rows[0])}")
    # A table of numbers has no header when its first row is numbers; a column of text has one when it is not alone.
    headed = len(rows) > 1 and not any(map(_is_number, rows[0])) and any(map(_is_number, rows[1]))
    headed |= len(rows[0]) > 1 and not any(map(_is_number, rows[0]))
    headed |= rows[0] in (["label"], ["labels"], ["class"])
    return (rows[0], rows[1:]) if headed else ([], rows)


def _columns(source: str, header: list[str], rows: list[list[str]], key: str, left_out: set[str]) -> list[Any]:
    if key:
        at = header.index(_choose(source, key, header, "column"))
        return [row[at] for row in rows]
    if not left_out:
        return rows
    kept = [at for at, name in enumerate(header) if name not in left_out]
    return [[row[at] for at in kept] for row in rows]


def _read_parquet(path: Path, key: str, left_out: set[str]) -> Any:
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError:
        raise InkseekError(f"{path}: Parquet is read by pyarrow: pip install 'inkseek[parquet]'") from None
    try:
        names = parquet.read_schema(path).names
        chosen = [_choose(path, key, names, "column")] if key else [name for name in names if name not in left_out]
        table = parquet.read_table(path, columns=chosen)
    except OSError as error:
        raise InkseekError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ArrowException as error:
        raise InkseekError(f"{path}: not a whole .parquet file ({error})") from None
    columns = [column.to_numpy() for column in table.columns]
    if len(columns) == 1:
        # A column of lists comes as an array of arrays, which stack when they are of one length.
        lists = columns[0].dtype == object and len(columns[0]) > 0 and isinstance(columns[0][0], np.ndarray)
        return list(columns[0]) if lists else columns[0]
    return np.stack(columns, axis=1) if columns else np.empty((0, 0))


def _choose(path: Path | str, key: str, names: Sequence[str], what: str) -> str:
    if key in names:
        return key
    if not key and len(names) == 1:
        return names[0]
    if not names:
        raise InkseekError(f"{path}: has no named {what}")
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    asked = f"no {what} {key!r}{nearest(key, names)}" if key else f"several {what}s"
    raise InkseekError(f"{path}: {asked}; name one as {path}:{names[0]} (there are {shown})")


def _numbers(source: str, table: Any) -> Array:
    try:
        array = np.asarray(table)
        if array.dtype.kind in "fiu":
            return array
        return np.asarray(table, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise InkseekError(f"{source}: not a table of numbers ({error})") from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
