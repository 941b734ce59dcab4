"""A model on a protocol: embed queries and gallery, rank and cluster them, name every figure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inkseek.datasets.items import Items
from inkseek.datasets.protocol import Protocol, open_protocol
from inkseek.errors import InkseekError
from inkseek.evaluation.levels import rank_levels
from inkseek.evaluation.processes import embed_shared
from inkseek.evaluation.results import Results
from inkseek.metrics.averages import mean
from inkseek.metrics.clustering import cluster
from inkseek.metrics.names import CATEGORY_METRICS, CLUSTERING, INSTANCE_METRICS
from inkseek.models.bundle import Model, load
from inkseek.models.embedding import Cached, Progress

Embeddings = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Results together with what they were computed from, for reports and pictures.

    Attributes:
        results: the figures.
        protocol: Q queries and G gallery items, and how they meet.
        query_embeddings: float32 [Q, dim].
        gallery_embeddings: float32 [G, dim].
    """

    results: Results
    protocol: Protocol
    query_embeddings: Embeddings
    gallery_embeddings: Embeddings

    @property
    def queries(self) -> Items:
        """The Q queries."""
        return self.protocol.queries

    @property
    def gallery(self) -> Items:
        """The G gallery items."""
        return self.protocol.gallery


def evaluate(model: Model | str | Path, protocol: str | Protocol, root: str | Path | None = None) -> Results:
    """Measure a model on a protocol.

    Args:
        model: a model, or a path that `inkseek.load` opens.
        protocol: a name such as `quickdraw-photo/unseen`, or an open protocol.
        root: the data set's folder; None for the embedded data set or the data set's default place.

    Returns:
        Every figure, named with its convention.

    Raises:
        InkseekError: no such model or protocol, or data that cannot be read.
    """
    if isinstance(protocol, str):
        protocol = open_protocol(protocol, None if root is None else Path(root))
    if not isinstance(model, Model):
        model = load(model)
    return evaluate_items(model, protocol).results


def evaluate_items(
    model: Model,
    protocol: Protocol,
    *,
    metrics: Sequence[str] | None = None,
    instance_metrics: Sequence[str] = INSTANCE_METRICS,
    progress: Progress | None = None,
    cached: Cached = True,
) -> Evaluation:
    """Embed a protocol's queries and gallery with a model and measure them.

    Where processes of `torch.distributed` run, each embeds and ranks a share, and every one ends with the whole.

    Args:
        model: what embeds.
        protocol: queries, gallery, and how they meet.
        metrics: at category level, but `Acc@K`, which by its name is of the instance level; None takes what the
            protocol's tables print, with clustering figures where they do. `P@K (min)` is added beside `P@K` where a
            query has fewer than K relevant items.
        instance_metrics: more at instance level, where every item on both sides belongs to an instance. Where the
            protocol has class galleries, `Acc@K` is measured against the own class's gallery and the joint one.
        progress: called with (pictures embedded, pictures in all) over both sides.
        cached: whether embeddings may come from, and go to, the cache; off while the weights still change. `features`
            keeps the backbone's features alone, as `embed_items` says.

    Raises:
        InkseekError: an empty side, different classes, an unknown metric, `Acc@K` without instances, or a picture that
            cannot be read.
    """
    queries, gallery = protocol.queries, protocol.gallery
    same = queries is gallery or queries.paths == gallery.paths
    total = len(queries) + (0 if same else len(gallery))

    def shifted(by: int) -> Progress | None:
        return None if progress is None else lambda done, _: progress(by + done, total)

    of_queries = embed_shared(model, queries, shifted(0), cached=cached)
    of_gallery = of_queries if same else embed_shared(model, gallery, shifted(len(queries)), cached=cached)
    return evaluate_embeddings(
        of_queries,
        of_gallery,
        protocol,
        model=_name(model),
        fingerprint=model.fingerprint,
        metrics=metrics,
        instance_metrics=instance_metrics,
    )


def evaluate_embeddings(
    query_embeddings: Embeddings,
    gallery_embeddings: Embeddings,
    protocol: Protocol,
    *,
    model: str,
    fingerprint: str = "",
    metrics: Sequence[str] | None = None,
    instance_metrics: Sequence[str] = INSTANCE_METRICS,
) -> Evaluation:
    """Measure embeddings that are there already; see `evaluate_items`."""
    queries, gallery = protocol.queries, protocol.gallery
    if not len(queries) or not len(gallery):
        raise InkseekError(
            f"{protocol.name}: {len(queries)} queries and {len(gallery)} gallery items leave nothing to measure"
        )
    if queries.classes != gallery.classes:
        raise InkseekError(
            f"{protocol.name}: queries and gallery name different classes, so that labels cannot be compared"
        )
    if metrics is None:
        metrics = (*(protocol.metrics or CATEGORY_METRICS), *(CLUSTERING if protocol.clustering else ()))
    of_clusters = [name for name in metrics if name in CLUSTERING]
    rankings = rank_levels(
        query_embeddings,
        gallery_embeddings,
        protocol,
        [name for name in metrics if name not in CLUSTERING],
        instance_metrics,
    )
    per_query = {name: values for level in rankings for name, values in level.ranking.per_query.items()}
    notes = [*protocol.notes, *(note for level in rankings for note in level.notes)]
    if protocol.leave_self_out:
        notes.append("every query is a gallery picture too, and never meets itself")
    if bounded := [name.removesuffix(" optimistic") for name in per_query if name.endswith(" optimistic")]:
        notes.append(f"ties leave open, so that both bounds are given: {', '.join(bounded)}")
    figures = {name: mean(values) for name, values in per_query.items()}
    if of_clusters:
        clusters = cluster(gallery_embeddings, gallery.labels)
        figures |= {name: value for name, value in clusters.means().items() if name in of_clusters}
        notes.append(str(clusters))

    results = Results(
        protocol=protocol.name,
        model=model,
        fingerprint=fingerprint,
        counts={
            "classes": len(np.unique(queries.labels)),
            "queries": len(queries),
            "gallery": len(gallery),
            "excluded": rankings[0].ranking.excluded if rankings else 0,
        },
        metrics=figures,
        per_query=per_query,
        labels=queries.labels,
        classes=queries.classes,
        tie_rate=rankings[0].ranking.tie_rate if rankings else 0.0,
        notes=tuple(notes),
        queries=_digest(queries),
    )
    return Evaluation(results, protocol, query_embeddings, gallery_embeddings)


def _digest(items: Items) -> str:
    """A digest of which pictures items are: their classes and file names, not the folders they lie in."""
    rows = "\n".join(
        f"{items.classes[label]}\0{path.name}" for label, path in zip(items.labels, items.paths, strict=True)
    )
    return hashlib.sha256(rows.encode("utf-8", "surrogateescape")).hexdigest()


def _name(model: Model) -> str:
    if model.path is not None:
        folder = model.path.resolve()
        return folder.parent.name if folder.name == "bundle" else folder.name
    card = model.card
    crop = "" if card.resize is None else f"/{card.resize}"
    return card.recipe or f"frozen:{card.backbone}@{card.image_size}{crop}"
