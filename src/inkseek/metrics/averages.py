"""Means of per-query figures: over queries, over the queries of a class, and over the means of the classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def mean(values: npt.ArrayLike) -> float:
    """Return the mean of what is not NaN, and NaN where nothing is."""
    array = np.asarray(values, dtype=np.float64)
    counted = array[~np.isnan(array)]
    return float(counted.mean()) if len(counted) else float("nan")


def class_means(values: Floats, labels: Ints) -> tuple[Ints, Floats]:
    """Return the labels whose queries have a figure, ascending, and the mean over each one's queries."""
    counted = ~np.isnan(values)
    found, which = np.unique(labels[counted], return_inverse=True)
    return found, np.bincount(which, weights=values[counted]) / np.maximum(np.bincount(which), 1)


def macro(per_query: Mapping[str, Floats], labels: Ints) -> dict[str, float]:
    """Return each metric's mean over the means of the classes."""
    return {name: mean(class_means(values, labels)[1]) for name, values in per_query.items()}


def per_class(per_query: Mapping[str, Floats], labels: Ints) -> dict[int, dict[str, float]]:
    """Return label -> metric -> mean over that label's queries, for labels and metrics with queries that count."""
    result: dict[int, dict[str, float]] = {}
    for name, values in per_query.items():
        for label, value in zip(*class_means(values, labels), strict=True):
            result.setdefault(int(label), {})[name] = float(value)
    return dict(sorted(result.items()))
