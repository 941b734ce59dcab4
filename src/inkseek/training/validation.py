"""A checkpoint measured on seen classes that training never meets."""

from __future__ import annotations

from inkseek.datasets.protocol import Protocol
from inkseek.evaluation.evaluate import evaluate_items
from inkseek.models.bundle import Model
from inkseek.models.embedding import Cached


def validate(model: Model, protocol: Protocol, metric: str, *, on_features: bool = False) -> float:
    """Return the metric over the protocol's queries; of several processes each embeds and ranks a share.

    Where the protocol prints a metric in two forms (in class galleries and the joint one; between two bounds under
    ties), a name that leaves the form open means the first of them. With `on_features` pictures are embedded by way of
    the frozen backbone's features, which are computed once and kept.

    Raises:
        InkseekError: a picture cannot be read, or the metric does not fit the data.
    """
    cached: Cached = "features" if on_features else False
    results = evaluate_items(model, protocol, metrics=(metric,), instance_metrics=(), cached=cached).results
    names = [name for name in results.metrics if name == metric or name.startswith(f"{metric} ")]
    return results.metrics[min(names, key=lambda name: name != metric)]
