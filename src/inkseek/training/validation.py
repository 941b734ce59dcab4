"""A checkpoint measured on seen classes that training never meets."""

from __future__ import annotations

import numpy as np

from inkseek.datasets.protocol import Protocol
from inkseek.evaluation.evaluate import evaluate_items
from inkseek.metrics.ranking import rank
from inkseek.models.bundle import Model
from inkseek.models.embedding import embed_items
from inkseek.training.processes import Processes


def validate(model: Model, protocol: Protocol, metric: str, processes: Processes) -> float:
    """Return the metric's mean over the protocol's queries; the first process computes it for all.

    Raises:
        InkseekError: a picture cannot be read, or the metric does not fit the data.
    """
    found = float("nan")

    def measure() -> None:
        nonlocal found
        found = _measured(model, protocol, metric)

    processes.on_first(measure)
    return processes.number_of_first(found)


def _measured(model: Model, protocol: Protocol, metric: str) -> float:
    if not protocol.leave_self_out:
        evaluation = evaluate_items(
            model, protocol.queries, protocol.gallery, protocol=protocol.name, metrics=(metric,), cached=False
        )
        return evaluation.results.metrics[metric]
    embeddings = embed_items(model, protocol.gallery, cached=False)
    ids = np.array([str(path) for path in protocol.gallery.paths])
    labels = protocol.gallery.labels
    ranking = rank(embeddings, labels, embeddings, labels, metrics=(metric,), query_ids=ids, gallery_ids=ids)
    return float(np.nanmean(ranking.per_query[metric]))
