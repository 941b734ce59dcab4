"""MATLAB 5 files, hostile until checked: plain arrays and fields of structs, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inkseek.errors import InkseekError

# The largest that is read here (Cars196's) has under 1 MB; compressed variables could unpack to much more.
_LARGEST = 16 * 2**20


def read_mat(path: Path, variable: str) -> npt.NDArray[Any]:
    """Return one variable of a MATLAB file as a flat array.

    Raises:
        InkseekError: missing, too large, not a MATLAB 5 file, or without that variable.
    """
    from scipy.io import loadmat

    try:
        if path.stat().st_size > _LARGEST:
            raise InkseekError(f"{path}: larger than {_LARGEST >> 20} MB, which no list of pictures is")
        values = loadmat(path, variable_names=[variable]).get(variable)
    except InkseekError:
        raise
    except FileNotFoundError:
        raise InkseekError(f"{path}: no such file") from None
    except Exception as error:  # the parser raises whatever it trips over
        raise InkseekError(f"{path}: not a MATLAB 5 file ({' '.join(str(error).split())[:80]})") from None
    if not isinstance(values, np.ndarray):
        raise InkseekError(f"{path}: holds no variable {variable!r}")
    return values.ravel()


def fields(values: npt.NDArray[Any], names: Sequence[str], where: Path) -> list[tuple[str, ...]]:
    """Return fields of an array of structs as text, one tuple a struct.

    Raises:
        InkseekError: no structs, a field that is missing, or a field that is not one number or text.
    """
    if values.dtype.names is None or not set(names) <= set(values.dtype.names):
        raise InkseekError(f"{where}: expected structs with the fields {', '.join(names)}")
    rows = []
    for number, struct in enumerate(values, start=1):
        row = tuple(_text(struct[name]) for name in names)
        if "" in row:
            raise InkseekError(f"{where}: entry {number} has no single value in one of {', '.join(names)}")
        rows.append(row)
    return rows


def _text(value: Any) -> str:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "uifU":
        return ""
    single = array.reshape(()).item()
    return str(int(single)) if isinstance(single, float) and single.is_integer() else str(single)
