"""Loops over numbers that no array library has in one pass, compiled by Numba when they are first called."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

P = ParamSpec("P")
R = TypeVar("R")

_ENOUGH = 2**18  # elements for a thread: with fewer, starting it takes longer than it saves
_lock = threading.Lock()


def compiled(function: Callable[P, R], *, any_order: bool = False) -> Callable[P, R]:
    """Compile a function of arrays and numbers for the types that it is called with; it lets go of the interpreter.

    Results of arithmetic are those of IEEE 754, as numpy's, and dividing by zero raises nothing. Indices are not
    checked. The machine code is kept on the disk where that is possible, beside the module or in the user's cache
    (`NUMBA_CACHE_DIR` names another place), so that only the first process waits a second or two for it.

    Args:
        function: of arrays and numbers, written in what Numba understands.
        any_order: whether a sum may be added up in another order than written, as numpy's are, by vector instructions.
    """

    @functools.cache
    def compiler() -> Callable[P, R]:
        from numba import njit  # slow to import, and many commands never need it

        options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
        if any_order:
            options["fastmath"] = {"reassoc"}
        try:
            return njit(function, cache=True, **options)  # type: ignore[no-any-return]
        except RuntimeError:  # no folder to keep it in can be written: each process compiles for itself
            return njit(function, **options)  # type: ignore[no-any-return]

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with _lock:  # several threads may be the first
            machine = compiler()
        return machine(*args, **kwargs)

    return call


def by_rows(function: Callable[..., None], *arrays: npt.NDArray[Any]) -> None:
    """Call a function with shares of the arrays' rows, side by side in threads where there is much to do.

    Args:
        function: works on each row by itself, lets go of the interpreter, and writes what it finds into some arrays.
        arrays: each [rows, ...].
    """
    import torch  # large, and ranking does without it

    # Half of its threads, because torch's own wait for work for a while after each of its operations, and do so busily.
    threads = min(torch.get_num_threads() // 2, arrays[0].size // _ENOUGH)
    if threads < 2:
        function(*arrays)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(function, *(np.array_split(array, threads) for array in arrays)))
