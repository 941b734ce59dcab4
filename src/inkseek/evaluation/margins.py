"""The margins that a model has learned, for classes that it has never seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast, get_args

import numpy as np
import numpy.typing as npt

from inkseek.evaluation.evaluate import Evaluation
from inkseek.images.preprocessing import Domain
from inkseek.models.bundle import Model

Margins = Mapping[Domain, Mapping[str, npt.NDArray[np.float32]]]


def margins_by_class(model: Model, evaluation: Evaluation) -> Margins:
    """Return the learned margin of every item by itself: domain -> class -> float32 [items].

    A constant for each query changes no ranking: these are for looking at, and for a cut-off of what is found.

    Args:
        model: with a learned margin.
        evaluation: of that model.

    Raises:
        InkseekError: the model has not learned a margin.
    """
    sides = [(evaluation.queries, evaluation.query_embeddings)]
    if not evaluation.protocol.leave_self_out:  # else queries and gallery are the same items
        sides.append((evaluation.gallery, evaluation.gallery_embeddings))
    found: dict[Domain, dict[str, npt.NDArray[np.float32]]] = {}
    for domain in cast("tuple[Domain, ...]", get_args(Domain)):
        own: dict[str, list[npt.NDArray[np.float32]]] = {}
        for items, embeddings in sides:
            mine = items.domains == domain
            margins = model.margins(embeddings[mine], domain)
            labels = items.labels[mine]
            for label in np.unique(labels):
                own.setdefault(items.classes[label], []).append(margins[labels == label])
        if own:
            found[domain] = {name: np.concatenate(parts) for name, parts in own.items()}
    return found
