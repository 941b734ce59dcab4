"""Where a ranking is cut off: at a margin that is asked for, that the model learned, or that the gallery implies."""

from __future__ import annotations

from typing import Literal

import numpy as np

from inkseek.errors import InkseekError
from inkseek.gallery.backend import Finder, Vectors
from inkseek.gallery.ranking import distance
from inkseek.images.preprocessing import Domain
from inkseek.models.bundle import Model

Cutoff = float | Literal["margin", "auto"]
"""A Euclidean distance of unit vectors; what the model has learned; that, or half way to the usual where it has not."""

# Stored vectors that tell how far away pictures usually are: the median of so many is off by a few percentiles at most.
_SAMPLE = 1024


def learned_margin(model: Model, vector: Vectors, domain: Domain) -> float:
    """Return the margin that a model has learned to keep around a query, a unit vector [dim].

    Raises:
        InkseekError: it has learned none.
    """
    return float(model.margins(vector[None], domain)[0])


def halfway(vector: Vectors, best: float, finder: Finder) -> float:
    """Return half of what lies between the best picture's distance and the gallery's median: (D_med - D_min) / 2.

    What is as far away as pictures of this gallery usually are has nothing to do with the query.

    Args:
        vector: the query, a unit vector [dim].
        best: the best picture's cosine similarity.
        finder: gives the pictures of which D_med is the median.
    """
    sample = finder.sample(_SAMPLE)
    usual = distance(float(np.median(sample @ vector))) if len(sample) else 2.0
    # Where everything is alike, only what is as near as the best is before the cut-off.
    return max((usual - distance(best)) / 2, 1e-6)


def margin_of(cutoff: Cutoff, model: Model, vector: Vectors, best: float, finder: Finder, domain: Domain) -> float:
    """Return how much farther away than the best picture the cut-off of a query lies.

    Raises:
        InkseekError: `margin` of a model that has learned none.
    """
    if cutoff == "margin" or (cutoff == "auto" and model.margin is not None):
        if model.margin is None:
            raise InkseekError(
                "this gallery's model has no learned margin; give the cut-off as a distance, for example 0.2, or as "
                "auto, or index with a model that was trained with one"
            )
        return learned_margin(model, vector, domain)
    return halfway(vector, best, finder) if cutoff == "auto" else float(cutoff)
