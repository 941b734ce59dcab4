"""Functions that Numba compiles: what they give, called by several threads at once, and with no folder for the code."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from inkseek.compiled import compiled


def plus_one(x: npt.NDArray[np.float64], result: npt.NDArray[np.float64]) -> None:
    """Write x + 1."""
    for i in range(len(x)):
        result[i] = x[i] + 1


def test_several_threads_may_be_the_first() -> None:
    machine, x = compiled(plus_one), np.arange(5.0)
    assert machine.__doc__ == "Write x + 1."

    def run(_: int) -> list[float]:
        result = np.empty(5)
        machine(x, result)
        return result.tolist()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(8))) == [[1, 2, 3, 4, 5]] * 8


def test_without_a_folder_to_keep_code_in_it_compiles_all_the_same() -> None:
    names: dict[str, Any] = {}
    exec(compile("def double(x):\n    return 2 * x\n", "<no file>", "exec"), names)
    assert compiled(names["double"])(21) == 42
