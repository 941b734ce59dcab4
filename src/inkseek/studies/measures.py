"""What studies take from a run beyond the protocol's metrics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from inkseek.evaluation.margins import margins_by_class
from inkseek.metrics.variance import batch_variances, relative_distances
from inkseek.studies.study import Measure, Measured

VARIANCE = "variance of D"
BATCH_VARIANCE = "variance of D in batches"
DENSITY = "density of D"

_EDGES = np.linspace(-1.5, 1.0, 101)
_BATCHES, _CLASSES, _EACH = 200, 30, 4
# Of each run, for its figure: all of them would only make the CSV large.
_DRAWN = 50


def variances(measured: Measured) -> Measure:
    """Take the relative distances of all unseen items, cosine: moments, density, and variances of PK batches.

    Batches are of up to 30 classes x 4, whatever the run was trained on, so that losses with batches of their own can
    be compared.
    """
    of = measured.evaluation
    both = not of.protocol.leave_self_out
    sides = (of.query_embeddings, of.queries.labels, *((of.gallery_embeddings, of.gallery.labels) if both else ()))
    whole = relative_distances(*sides, sample=200_000)
    counts, _ = np.histogram(whole.sample, _EDGES)
    density = counts / (len(whole.sample) * np.diff(_EDGES))
    classes = min(_CLASSES, len(np.unique(of.queries.labels)))
    figures = {VARIANCE: whole.variance, "mean of D": whole.mean}
    series = {DENSITY: list(zip(((_EDGES[1:] + _EDGES[:-1]) / 2).tolist(), density.tolist(), strict=True))}
    if classes > 1:
        batches = batch_variances(*sides, classes=classes, each=_EACH, batches=_BATCHES)
        figures[BATCH_VARIANCE] = float(batches.mean())
        series[BATCH_VARIANCE] = list(enumerate(batches[:_DRAWN].tolist()))
    return Measure(figures, {name: [(float(x), y) for x, y in points] for name, points in series.items()})


def by_class(figure: str) -> Callable[[Measured], Measure]:
    """Take a figure of each unseen class, as the series `<figure> by class`."""

    def measure(measured: Measured) -> Measure:
        rows = measured.evaluation.results.per_class()
        return Measure(series={f"{figure} by class": [(name, row[figure]) for name, row in rows.items()]})

    return measure


def validation(metric: str) -> Callable[[Measured], Measure]:
    """Take the curve of a metric on pseudo-unseen classes, and its first, best and last value as figures."""
    name = f"{metric} (pseudo-unseen)"

    def measure(measured: Measured) -> Measure:
        key = f"validation {metric}"
        points: list[tuple[float | str, float]] = [(row["step"], row[key]) for row in measured.log if key in row]
        values = [y for _, y in points]
        figures = {f"{name}, first": values[0], f"{name}, best": max(values), f"{name}, last": values[-1]}
        return Measure(figures, {name: points})

    return measure


def logged(*keys: str) -> Callable[[Measured], Measure]:
    """Take logged figures of training batches as series, and their last value as figures, where the run logs them."""

    def measure(measured: Measured) -> Measure:
        curves: dict[str, list[tuple[float | str, float]]] = {
            key: [(row["step"], row[key]) for row in measured.log if key in row] for key in keys
        }
        there = {key: points for key, points in curves.items() if points}
        return Measure({f"{key}, last": points[-1][1] for key, points in there.items()}, there)

    return measure


PACE = "pictures a second"


def pace(measured: Measured) -> Measure:
    """Take how many pictures a second the run went through, the median over logged steps."""
    return Measure({PACE: float(np.median([row["images/s"] for row in measured.log if "images/s" in row]))})


MARGIN_OF_CLASS = "margin by class"
MARGIN_SPREAD = "spread of margins"
MARGIN_AND_MAP = "margin rises as mAP falls"


def margins_of_classes(measured: Measured) -> Measure:
    """Take the learned margins of unseen classes: means by class and domain, their spread, and how they go with mAP.

    Spread and correlation (Spearman's, its sign turned) are over the classes' sketches, which are the queries.
    """
    from scipy import stats

    of = measured.evaluation
    means = {
        domain: {name: float(values.mean()) for name, values in classes.items()}
        for domain, classes in margins_by_class(measured.model, of).items()
    }
    queries, accuracy = means["sketch"], of.results.per_class()
    values = list(queries.values())
    figures = {MARGIN_SPREAD: float(np.std(values))}
    if figures[MARGIN_SPREAD] > 0:
        found = stats.spearmanr(values, [accuracy[name]["mAP@all"] for name in queries]).statistic
        figures[MARGIN_AND_MAP] = -float(found)
    return Measure(figures, {f"{MARGIN_OF_CLASS}, {domain}": list(by.items()) for domain, by in means.items()})


DOMAIN_GAP = "gap between domains"


def domain_gap(measured: Measured) -> Measure:
    """Take the Euclidean distance between the mean sketch and the mean photo of the unseen classes, on the sphere."""
    of = measured.evaluation
    apart = of.query_embeddings.mean(axis=0, dtype=np.float64) - of.gallery_embeddings.mean(axis=0, dtype=np.float64)
    return Measure({DOMAIN_GAP: float(np.linalg.norm(apart))})


PLANE = ("t-SNE, across", "t-SNE, up")


def plane(measured: Measured) -> Measure:
    """Take where t-SNE puts queries and gallery, under the first seed: series of `<domain>: <class>` -> coordinate.

    Source:
        van der Maaten and Hinton, Visualizing data using t-SNE, JMLR 2008; scikit-learn's.
    """
    if measured.seed:
        return Measure()
    from sklearn.manifold import TSNE

    of = measured.evaluation
    embeddings = np.concatenate([of.query_embeddings, of.gallery_embeddings])
    perplexity = min(30.0, (len(embeddings) - 1) / 3)
    places = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(embeddings)
    names = [
        f"{domain}: {items.classes[label]}"
        for items in (of.queries, of.gallery)
        for domain, label in zip(items.domains.tolist(), items.labels.tolist(), strict=True)
    ]
    return Measure(series={axis: list(zip(names, places[:, i].tolist(), strict=True)) for i, axis in enumerate(PLANE)})


HITS = "hits of query "


def hits(count: int = 10, queries: int = 6) -> Callable[[Measured], Measure]:
    """Take what some queries find: series `hits of query <place>`, rank -> the place in the gallery.

    The queries are spread evenly over the protocol's, and are the same for every run.
    """

    def measure(measured: Measured) -> Measure:
        of = measured.evaluation
        chosen = np.linspace(0, len(of.queries) - 1, queries).round().astype(int).tolist()
        found = np.argsort(-(of.query_embeddings[chosen] @ of.gallery_embeddings.T), axis=1, kind="stable")[:, :count]
        return Measure(
            series={
                f"{HITS}{query}": [(float(rank), float(place)) for rank, place in enumerate(places, start=1)]
                for query, places in zip(chosen, found.tolist(), strict=True)
            }
        )

    return measure
