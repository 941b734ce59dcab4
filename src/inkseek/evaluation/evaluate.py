"""A model on a protocol: embed queries and gallery, rank at category and instance level, name every figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inkseek.datasets.items import Items
from inkseek.datasets.protocol import open_protocol
from inkseek.errors import InkseekError
from inkseek.evaluation.results import Results
from inkseek.metrics.names import metric
from inkseek.metrics.ranking import rank
from inkseek.models.bundle import Model, load
from inkseek.models.embedding import Progress, embed_items

CATEGORY_METRICS = (
    "mAP@all",
    "mAP@200 strict",
    "mAP@200 lenient",
    "P@100",
    "mAP@all (VOC)",
    "mAP@200 strict (VOC)",
)
"""What sketch-retrieval tables print, in both conventions that are in use."""

INSTANCE_METRICS = ("Acc@1", "Acc@5", "Acc@10")
"""Whether a sketch finds its own photo."""

Embeddings = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Results together with what they were computed from, for reports and pictures.

    Attributes:
        results: the figures.
        queries: Q items.
        gallery: G items.
        query_embeddings: float32 [Q, dim].
        gallery_embeddings: float32 [G, dim].
    """

    results: Results
    queries: Items
    gallery: Items
    query_embeddings: Embeddings
    gallery_embeddings: Embeddings


def evaluate(model: Model | str | Path, protocol: str, root: str | Path | None = None) -> Results:
    """Measure a model on a protocol.

    Args:
        model: a model, or a path that `inkseek.load` opens.
        protocol: a name such as `quickdraw-photo/unseen`.
        root: the data set's folder; None for the embedded data set or the data set's default place.

    Returns:
        Every figure, named with its convention.

    Raises:
        InkseekError: no such model or protocol, or data that cannot be read.
    """
    opened = open_protocol(protocol, None if root is None else Path(root))
    if not isinstance(model, Model):
        model = load(model)
    return evaluate_items(model, opened.queries, opened.gallery, protocol=opened.name, notes=opened.notes).results


def evaluate_items(
    model: Model,
    queries: Items,
    gallery: Items,
    *,
    protocol: str,
    metrics: Sequence[str] = CATEGORY_METRICS,
    instance_metrics: Sequence[str] = INSTANCE_METRICS,
    notes: Sequence[str] = (),
    progress: Progress | None = None,
    cached: bool = True,
) -> Evaluation:
    """Embed queries and gallery with a model and measure the ranking.

    Args:
        model: what embeds.
        queries: Q items.
        gallery: G items with the same classes.
        protocol: the name under which the figures stand.
        metrics: at category level, but `Acc@K`, which by its name is of the instance level. `P@K (min)` is added beside
            `P@K` where a query has fewer than K relevant items.
        instance_metrics: more at instance level, where every item on both sides belongs to an instance.
        notes: lines that go with the figures.
        progress: called with (pictures embedded, pictures in all) over both sides.
        cached: whether embeddings may come from, and go to, the cache; off while the weights still change.

    Raises:
        InkseekError: an empty side, different classes, an unknown metric, `Acc@K` without instances, or a picture that
            cannot be read.
    """
    total = len(queries) + len(gallery)

    def shifted(by: int) -> Progress | None:
        return None if progress is None else lambda done, _: progress(by + done, total)

    return evaluate_embeddings(
        embed_items(model, queries, shifted(0), cached=cached),
        embed_items(model, gallery, shifted(len(queries)), cached=cached),
        queries,
        gallery,
        protocol=protocol,
        model=_name(model),
        fingerprint=model.fingerprint,
        metrics=metrics,
        instance_metrics=instance_metrics,
        notes=notes,
    )


def evaluate_embeddings(
    query_embeddings: Embeddings,
    gallery_embeddings: Embeddings,
    queries: Items,
    gallery: Items,
    *,
    protocol: str,
    model: str,
    fingerprint: str = "",
    metrics: Sequence[str] = CATEGORY_METRICS,
    instance_metrics: Sequence[str] = INSTANCE_METRICS,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Measure the ranking of embeddings that are there already; see `evaluate_items`."""
    if not len(queries) or not len(gallery):
        raise InkseekError(
            f"{protocol}: {len(queries)} queries and {len(gallery)} gallery items leave nothing to measure"
        )
    if queries.classes != gallery.classes:
        raise InkseekError(f"{protocol}: queries and gallery name different classes, so that labels cannot be compared")
    paired = queries.paired and gallery.paired
    own = [name for name in metrics if name.startswith("Acc@")]
    if own and not paired:
        raise InkseekError(f"{protocol}: {own[0]} asks for a sketch's own photo, and not every picture has an instance")
    category = [name for name in metrics if name not in own]
    instance = list(dict.fromkeys([*own, *instance_metrics])) if paired else []
    if shared := set(category) & set(instance):
        raise InkseekError(f"{sorted(shared)[0]} was asked for at category and at instance level: ask for one of them")

    levels = [
        ("category", _with_min(category, queries, gallery), queries.labels, gallery.labels),
        ("instance", instance, queries.instances, gallery.instances),
    ]
    rankings = {
        level: rank(query_embeddings, wanted, gallery_embeddings, found, metrics=names)
        for level, names, wanted, found in levels
        if names
    }
    per_query = {name: values for ranking in rankings.values() for name, values in ranking.per_query.items()}
    notes = [*notes]
    for level, ranking in rankings.items():
        if ranking.excluded:
            notes.append(f"queries with nothing relevant at {level} level, in no mean: {ranking.excluded}")
    if bounded := [name.removesuffix(" optimistic") for name in per_query if name.endswith(" optimistic")]:
        notes.append(f"ties leave open, so that both bounds are given: {', '.join(bounded)}")

    first = next(iter(rankings.values()))
    counts = {
        "classes": len(np.unique(queries.labels)),
        "queries": len(queries),
        "gallery": len(gallery),
        "excluded": first.excluded,
    }
    results = Results(
        protocol=protocol,
        model=model,
        fingerprint=fingerprint,
        counts=counts,
        metrics={name: _mean(values) for name, values in per_query.items()},
        per_query=per_query,
        labels=queries.labels,
        classes=queries.classes,
        tie_rate=first.tie_rate,
        notes=tuple(notes),
    )
    return Evaluation(results, queries, gallery, query_embeddings, gallery_embeddings)


def _with_min(names: Sequence[str], queries: Items, gallery: Items) -> list[str]:
    """Put `P@K (min)` behind each `P@K` where some query has fewer than K relevant items, but at least one."""
    counts = (gallery.labels[:, None] == np.unique(queries.labels)).sum(axis=0)
    fewest = int(counts[counts > 0].min(initial=np.iinfo(np.int64).max))
    result: list[str] = []
    for name in names:
        result.append(name)
        m = metric(name)
        if m.kind == "precision" and m.denominator == "K" and fewest < (m.cutoff or 0):
            result.append(f"{name} (min)")
    return list(dict.fromkeys(result))


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


def _name(model: Model) -> str:
    if model.path is not None:
        folder = model.path.resolve()
        return folder.parent.name if folder.name == "bundle" else folder.name
    return model.card.recipe or f"frozen:{model.card.backbone}@{model.card.image_size}"
