"""Loops over numbers that no array library has in one pass, compiled by Numba when they are first called."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_lock = threading.Lock()


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of arrays and numbers for the types that it is called with; it lets go of the interpreter.

    Results of arithmetic are those of IEEE 754, as numpy's: nothing is reordered, and dividing by zero raises nothing.
    Indices are not checked. The machine code is kept on the disk where that is possible, beside the module or in the
    user's cache (`NUMBA_CACHE_DIR` names another place), so that only the first process waits a second or two for it.
    """

    @functools.cache
    def compiler() -> Callable[P, R]:
        from numba import njit  # slow to import, and many commands never need it

        options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
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
