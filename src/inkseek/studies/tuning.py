"""Settings of a row, chosen on pseudo-unseen classes: the same number of trials for a baseline as for ours."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

SEED = 1000
"""Of every trial, and of the draw of settings; no row is measured under it."""


def settings(grid: Mapping[str, Sequence[Any]], budget: int) -> list[tuple[str, ...]]:
    """Return the settings of a grid that are tried, as overrides `key=value`: all, or as many as the budget at random.

    The draw depends on the grid's size and the budget alone.
    """
    every = [
        tuple(f"{key}={_yaml(value)}" for key, value in zip(grid, values, strict=True))
        for values in itertools.product(*grid.values())
    ]
    if len(every) <= budget:
        return every
    drawn = np.random.default_rng(SEED).choice(len(every), budget, replace=False)
    return [every[place] for place in sorted(drawn.tolist())]


def choose(
    grid: Mapping[str, Sequence[Any]], budget: int, figure: Callable[[tuple[str, ...]], float]
) -> tuple[str, ...]:
    """Return the setting with the highest figure; the first of equals, none of an empty grid."""
    if not grid:
        return ()
    return max(settings(grid, budget), key=figure)


def _yaml(value: Any) -> str:
    """Write a value in YAML on one line: JSON is YAML, but for how it writes very small numbers."""
    return f"{value:.10f}".rstrip("0") if isinstance(value, float) and 0 < value < 1e-4 else json.dumps(value)
