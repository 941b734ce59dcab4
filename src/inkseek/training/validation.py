"""A checkpoint measured on seen classes that training never meets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np

from inkseek.datasets.items import Items
from inkseek.datasets.protocol import Protocol
from inkseek.errors import InkseekError
from inkseek.evaluation.evaluate import evaluate_items
from inkseek.evaluation.processes import share
from inkseek.images.preprocessing import Domain
from inkseek.models.bundle import Model
from inkseek.models.embedding import Cached, load_pixels, readable_features
from inkseek.training.plan import Plan
from inkseek.training.processes import Processes


def check_pictures(plan: Plan, processes: Processes) -> None:
    """Read all that checkpoints will be measured on, since measuring leaves no picture out: now, not hours later.

    Raises:
        InkseekError: a picture cannot be read.
    """
    if plan.protocol is None:
        return
    queries, gallery = plan.protocol.queries, plan.protocol.gallery
    sides = [queries] if queries.paths == gallery.paths else [queries, gallery]
    mine = [items.pick(np.arange(len(items))[share(len(items))]) for items in sides]
    lines = processes.gathered([line for items in mine for line in _unreadable(plan, items)])
    if lines:
        raise InkseekError(
            f"{plan.protocol.name}: {len(lines)} of {sum(map(len, sides))} pictures that checkpoints are measured on "
            f"cannot be read, and measuring leaves none out; the first: {lines[0]}; mend or remove them, or measure "
            "nothing with validate.on=none"
        )


def _unreadable(plan: Plan, items: Items) -> list[str]:
    if plan.on_features:
        return list(readable_features(plan.model, items)[1].values())

    def wrong(place: int) -> str | None:
        try:
            load_pixels(items.paths[place], cast("Domain", str(items.domains[place])), plan.model.prepare)
        except InkseekError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(max_workers=2) as pool:
        return [line for line in pool.map(wrong, range(len(items))) if line is not None]


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
