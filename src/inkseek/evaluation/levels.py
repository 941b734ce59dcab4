"""What a query is to find: its class, its own photo in all of the gallery, its own photo among its class's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inkseek.datasets.items import Items
from inkseek.datasets.protocol import Protocol
from inkseek.errors import InkseekError
from inkseek.evaluation.processes import rank_shared
from inkseek.metrics.names import metric, with_min
from inkseek.metrics.ranking import Ranking, join, rank

Embeddings = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Level:
    """A ranking, and what a reader of its figures must know."""

    ranking: Ranking
    notes: tuple[str, ...]


def rank_levels(
    queries: Embeddings,
    gallery: Embeddings,
    protocol: Protocol,
    metrics: Sequence[str],
    instance_metrics: Sequence[str],
) -> list[Level]:
    """Rank at every level that has a metric: category, instance, and instance among the own class's gallery.

    Args:
        queries: [Q, D].
        gallery: [G, D].
        protocol: whose items these are.
        metrics: `Acc@K` among them is of the instance level, any other of the category level.
        instance_metrics: more at instance level, where every item on both sides belongs to an instance.

    Raises:
        InkseekError: an unknown metric, one that two levels would print under one name, or `Acc@K` without instances.
    """
    of_queries, of_gallery = protocol.queries, protocol.gallery
    paired = of_queries.paired and of_gallery.paired
    own = [name for name in metrics if name.startswith("Acc@")]
    if own and not paired:
        raise InkseekError(
            f"{protocol.name}: {own[0]} asks for a sketch's own photo, and not every picture has an instance"
        )
    category = [name for name in metrics if name not in own]
    instance = list(dict.fromkeys([*own, *instance_metrics])) if paired else []
    if protocol.class_galleries:
        instance = [
            name if not name.startswith("Acc@") or metric(name).gallery else f"{name} ({which} gallery)"
            for which in ("class", "joint")
            for name in instance
        ]
        instance = list(dict.fromkeys(instance))
    among_class = [name for name in instance if metric(name).gallery == "class"]
    among_all = [name for name in instance if name not in among_class]
    if shared := set(category) & set(instance):
        raise InkseekError(f"{sorted(shared)[0]} was asked for at category and at instance level: ask for one of them")

    ids = [np.array([str(path) for path in side.paths]) for side in (of_queries, of_gallery)]
    query_ids, gallery_ids = ids if protocol.leave_self_out else (None, None)
    levels = []
    if category:
        ranking = rank_shared(
            queries,
            of_queries.labels,
            gallery,
            of_gallery.labels,
            metrics=with_min(category, _fewest(protocol)),
            query_ids=query_ids,
            gallery_ids=gallery_ids,
        )
        levels.append(Level(ranking, _excluded(ranking, "category level")))
    if among_class:
        ranking = _rank_in_classes(queries, gallery, of_queries, of_gallery, among_class)
        chance = _rank_in_classes(_constant(queries), _constant(gallery), of_queries, of_gallery, among_class).micro()
        said = "the class gallery is that of the query's own class, which is taken to be known"
        levels.append(Level(ranking, (*_excluded(ranking, "instance level"), said, _chance(chance))))
    if among_all:

        def rank_all(of_query: Embeddings, of_item: Embeddings) -> Ranking:
            return rank_shared(
                of_query,
                of_queries.instances,
                of_item,
                of_gallery.instances,
                metrics=among_all,
                query_ids=query_ids,
                gallery_ids=gallery_ids,
            )

        ranking = rank_all(queries, gallery)
        notes = _excluded(ranking, "instance level")
        if protocol.class_galleries:
            notes = (*notes, _chance(rank_all(_constant(queries), _constant(gallery)).micro()))
        levels.append(Level(ranking, notes))
    return levels


def _rank_in_classes(
    queries: Embeddings, gallery: Embeddings, of_queries: Items, of_gallery: Items, names: Sequence[str]
) -> Ranking:
    """Rank each class's gallery for the queries of the class."""
    parts, order = [], []
    for label in np.unique(of_queries.labels):
        mine, met = np.flatnonzero(of_queries.labels == label), np.flatnonzero(of_gallery.labels == label)
        if not len(met):
            raise InkseekError(f"class {of_queries.classes[label]!r} has queries and no gallery")
        part = rank(
            queries[mine],
            of_queries.instances[mine],
            gallery[met],
            of_gallery.instances[met],
            metrics=names,
            every_bound=True,
        )
        parts.append(part)
        order.append(mine)
    return join(parts).reordered(np.argsort(np.concatenate(order)))


def _fewest(protocol: Protocol) -> int:
    """The smallest number of relevant items that a query has, of those that have any."""
    counts = np.bincount(protocol.gallery.labels, minlength=len(protocol.gallery.classes))
    counts = counts[np.unique(protocol.queries.labels)] - protocol.leave_self_out
    return int(counts[counts > 0].min(initial=np.iinfo(np.int64).max))


def _constant(embeddings: Embeddings) -> Embeddings:
    """Embeddings that know nothing: under expected ties they score chance."""
    return np.ones((len(embeddings), 1), dtype=np.float32)


def _chance(figures: dict[str, float]) -> str:
    return "chance: " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items())


def _excluded(ranking: Ranking, level: str) -> tuple[str, ...]:
    if not ranking.excluded:
        return ()
    return (f"queries with nothing relevant at {level}, in no mean: {ranking.excluded}",)
