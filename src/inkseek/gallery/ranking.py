"""What becomes of a ranking: near-duplicates fold into the best of them, and what is too far away is cut off."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from inkseek.errors import InkseekError

# Cosine similarity from which two pictures count as near-duplicates when nobody says otherwise.
NEAR_DUPLICATE = 0.985
# Two equal unit vectors multiply to 1 only up to rounding.
_ROUNDING = 1e-6


def near_duplicates(collapse: bool | float) -> float | None:
    """Return the cosine similarity from which pictures are folded together; None for never.

    Raises:
        InkseekError: it is not in (0, 1].
    """
    if isinstance(collapse, bool):
        return NEAR_DUPLICATE if collapse else None
    if not 0 < collapse <= 1:
        raise InkseekError(f"near-duplicates are alike from a cosine similarity in (0, 1], not {collapse:g}")
    return collapse


def fold(vectors: npt.NDArray[np.float32], alike: float, k: int) -> tuple[list[list[int]], bool]:
    """Fold a ranking into its first k groups of near-duplicates.

    Each picture joins the first group whose best picture has a cosine similarity of at least `alike` with it, and
    founds a group otherwise. The walk ends before the picture that would found group k + 1, so what is found does not
    depend on how far the ranking was computed.

    Args:
        vectors: of the ranking's pictures, best first, at unit length [N, dim].
        alike: cosine similarity.
        k: how many groups.

    Returns:
        The groups, as positions in the ranking, each with its best first; and whether the walk came to its end within
        these N.
    """
    same = vectors @ vectors.T >= alike - _ROUNDING
    heads: list[int] = []
    groups: list[list[int]] = []
    for position, row in enumerate(same):
        group = next((group for group, head in zip(groups, heads, strict=True) if row[head]), None)
        if group is not None:
            group.append(position)
        elif len(groups) == k:
            return groups, True
        else:
            heads.append(position)
            groups.append([position])
    return groups, False


def distance(score: float) -> float:
    """Return the Euclidean distance of two unit vectors with this cosine similarity, D = sqrt(2 - 2 cos)."""
    return math.sqrt(max(0.0, 2.0 - 2.0 * score))


def within(scores: list[float], margin: float) -> int:
    """Return how many of a ranking lie before the cut-off: those with D < D_min + margin.

    The cut adapts to the query, as D_min is the distance of its best picture.

    Args:
        scores: cosine similarities, best first.
        margin: a Euclidean distance of unit vectors, above 0.

    Raises:
        InkseekError: the margin is not above 0.
    """
    if not margin > 0:
        raise InkseekError(f"the cut-off's margin must be above 0, not {margin:g}")
    if not scores:
        return 0
    limit = distance(scores[0]) + margin
    return sum(distance(score) < limit for score in scores)
