"""Embeddings of any model to results: two domains, or one whose items look for each other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inkseek.errors import InkseekError
from inkseek.evaluation.results import Results
from inkseek.metrics import averages
from inkseek.metrics.clustering import cluster
from inkseek.metrics.measures import Ties
from inkseek.metrics.names import CATEGORY_METRICS, CLUSTERING, INSTANCE_METRICS, ONE_DOMAIN_METRICS, with_min
from inkseek.metrics.ranking import rank
from inkseek.metrics.scoring import Similarity

Array = npt.NDArray[Any]


def score(
    queries: Array,
    query_labels: Array,
    gallery: Array | None = None,
    gallery_labels: Array | None = None,
    *,
    query_instances: Array | None = None,
    gallery_instances: Array | None = None,
    metrics: Sequence[str] | None = None,
    ties: Ties = "expected",
    similarity: Similarity = "cosine",
    seeds: Sequence[int] = (0, 1, 2),
    model: str = "",
) -> Results:
    """Measure embeddings of any model.

    Args:
        queries: [Q, D] numbers.
        query_labels: [Q] integers or text.
        gallery: [G, D] numbers; None for one domain, where every query meets all others and never itself.
        gallery_labels: [G], of the same kind.
        query_instances: [Q] integers or text: the item itself, for `Acc@K`.
        gallery_instances: [G], of the same kind.
        metrics: names; None for what the field's tables print: those of sketch retrieval, or in one domain those of
            metric learning with figures of clusters. `Acc@K` is of the instance level.
        ties: `expected`, `pessimistic` or `optimistic`.
        similarity: `cosine`, `dot` or `euclidean`.
        seeds: of the k-means.
        model: the name to print.

    Raises:
        InkseekError: arrays that do not fit together, labels of different kinds, or an unknown metric.
    """
    if (gallery is None) != (gallery_labels is None) or (query_instances is None) != (gallery_instances is None):
        raise InkseekError("embeddings and labels, and the instances of both sides, come in pairs: give both")
    alone = gallery is None
    if gallery is None or gallery_labels is None:
        gallery, gallery_labels = queries, query_labels
    names, q_labels, g_labels = _numbered(query_labels, gallery_labels, "labels")
    if metrics is None:
        metrics = (*ONE_DOMAIN_METRICS, *CLUSTERING) if alone else CATEGORY_METRICS
        metrics = (*metrics, *(INSTANCE_METRICS if query_instances is not None else ()))
    of_clusters = [name for name in metrics if name in CLUSTERING]
    of_instances = [name for name in metrics if name.startswith("Acc@")]
    of_classes = [name for name in metrics if name not in of_clusters and name not in of_instances]
    if of_instances and (query_instances is None or gallery_instances is None):
        raise InkseekError(f"{of_instances[0]} asks for an item itself: give the instances of both sides")
    if gallery_label := [name for name in of_instances if name.endswith("gallery)")]:
        raise InkseekError(f"{gallery_label[0]}: the gallery is the one that was given: ask for Acc@K")

    ids = np.arange(len(queries)) if alone else None
    levels = []
    if of_classes:
        counts = np.unique(g_labels[np.isin(g_labels, q_labels)], return_counts=True)[1] - alone
        fewest = int(counts[counts > 0].min(initial=np.iinfo(np.int64).max))
        levels.append((with_min(of_classes, fewest), q_labels, g_labels))
    if of_instances and query_instances is not None and gallery_instances is not None:
        _, q_instances, g_instances = _numbered(query_instances, gallery_instances, "instances")
        levels.append((of_instances, q_instances, g_instances))
    rankings = [
        rank(
            queries,
            wanted,
            gallery,
            found,
            metrics=names_of_level,
            query_ids=ids,
            gallery_ids=ids,
            ties=ties,
            similarity=similarity,
        )
        for names_of_level, wanted, found in levels
    ]
    per_query = {name: values for ranking in rankings for name, values in ranking.per_query.items()}
    notes = [f"similarity: {similarity}; items of equal score: {ties}"]
    if alone:
        notes.append("every query is a gallery item too, and never meets itself")
    excluded = rankings[0].excluded if rankings else 0
    if excluded:
        notes.append(f"queries with nothing relevant, in no mean: {excluded}")
    figures = {name: averages.mean(values) for name, values in per_query.items()}
    if of_clusters:
        clusters = cluster(gallery, g_labels, seeds=seeds)
        figures |= {name: value for name, value in clusters.means().items() if name in of_clusters}
        notes.append(str(clusters))
    return Results(
        protocol=f"given embeddings, {'one domain' if alone else 'queries and gallery'}",
        model=model,
        fingerprint=_digest(queries, gallery),
        counts={
            "classes": len(np.unique(q_labels)),
            "queries": len(queries),
            "gallery": len(gallery),
            "excluded": excluded,
        },
        metrics=figures,
        per_query=per_query,
        labels=q_labels,
        classes=names,
        tie_rate=rankings[0].tie_rate if rankings else 0.0,
        notes=tuple(notes),
        queries=_digest(np.array(names, dtype=np.str_), q_labels, g_labels),
    )


def _numbered(of_queries: Array, of_gallery: Array, what: str) -> tuple[tuple[str, ...], Array, Array]:
    """Number the values of both sides alike: their names, the queries' numbers, the gallery's."""
    if (of_queries.dtype.kind in "iu") != (of_gallery.dtype.kind in "iu"):
        raise InkseekError(
            f"the queries' {what} are {of_queries.dtype}, the gallery's {of_gallery.dtype}: use one kind on both sides"
        )
    values, numbers = np.unique(np.concatenate([of_queries, of_gallery]), return_inverse=True)
    return tuple(map(str, values.tolist())), numbers[: len(of_queries)], numbers[len(of_queries) :]


def _digest(*arrays: Array) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        for at in range(0, len(array), 4096):
            digest.update(np.ascontiguousarray(array[at : at + 4096]).tobytes())
    return digest.hexdigest()
