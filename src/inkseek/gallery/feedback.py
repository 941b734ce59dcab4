"""Thumbs up and thumbs down, as a move of the query."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inkseek.gallery.examples import combine

Vectors = npt.NDArray[np.float32]

# The usual weights of the three (Manning, Raghavan and Schütze, Introduction to Information Retrieval, section 9.1.1):
# what is liked says more than what is not.
ALPHA = 1.0
BETA = 0.75
GAMMA = 0.15


def rocchio(query: Vectors, liked: Vectors, disliked: Vectors) -> Vectors:
    """Move a query towards liked pictures and away from disliked ones: alpha q + beta mean(L) - gamma mean(D).

    Rocchio, "Relevance feedback in information retrieval", 1971; the result is brought to unit length.

    Args:
        query: a unit vector [dim].
        liked: unit vectors [L, dim]; none changes nothing.
        disliked: unit vectors [D, dim]; none changes nothing.

    Raises:
        InkseekError: nothing is left of the query.
    """
    weights = [ALPHA, *[BETA / max(1, len(liked))] * len(liked), *[-GAMMA / max(1, len(disliked))] * len(disliked)]
    return combine(np.concatenate([query[None], liked, disliked]), weights)
