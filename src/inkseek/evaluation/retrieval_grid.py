"""Retrieval grids: which queries to show, what each of them finds, and the pictures as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inkseek.evaluation.evaluate import Evaluation
from inkseek.images.reading import read_picture

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Hit:
    """One place of a ranking.

    Attributes:
        picture: a data URI.
        name: its class.
        right: whether it is of the query's class.
        own: whether it is of the query's instance.
    """

    picture: str
    name: str
    right: bool
    own: bool


@dataclass(frozen=True)
class Row:
    """A query and the top of its rankings.

    Attributes:
        why: `best`, `worst` or `random`.
        picture: the query as a data URI.
        name: its class.
        rankings: (title, the query's figure under that model, hits), before above after.
    """

    why: str
    picture: str
    name: str
    rankings: tuple[tuple[str, float, tuple[Hit, ...]], ...]


def choose(figures: npt.NDArray[np.float64], labels: Ints, each: int, seed: int) -> list[tuple[str, int]]:
    """Choose queries to show: some of the best and of the worst, at most one a class, and some at random.

    Args:
        figures: [Q] the figure that ranks them; NaN is never chosen.
        labels: [Q] classes.
        each: how many of each kind.
        seed: of the random choice, and of the order of equals.

    Returns:
        (why, position) in the order best, worst, random; no query twice.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(np.flatnonzero(~np.isnan(figures)))
    ascending = shuffled[np.argsort(figures[shuffled], kind="stable")]
    taken: list[tuple[str, int]] = []
    for why, order in (("best", ascending[::-1]), ("worst", ascending)):
        classes: set[int] = set()
        for query in order.tolist():
            if len(classes) < each and labels[query] not in classes and all(query != q for _, q in taken):
                classes.add(int(labels[query]))
                taken.append((why, query))
    used = {query for _, query in taken}
    return taken + [("random", query) for query in shuffled.tolist() if query not in used][:each]


def retrieval_grid(
    evaluations: Sequence[tuple[str, Evaluation]], metric: str, *, each: int = 4, top: int = 10, seed: int = 0
) -> list[Row]:
    """Lay out what some queries find, under each of one or two models on the same items.

    Args:
        evaluations: (title, evaluation); the last one's figures choose the queries.
        metric: the per-query figure to choose by and to show.
        each: how many of the best, the worst and at random.
        top: places of a ranking.
        seed: of the choice.

    Raises:
        InkseekError: a picture cannot be read any more.
    """
    _, last = evaluations[-1]
    queries, gallery = last.queries, last.gallery
    figures = last.results.per_query[metric]
    pictures: dict[Path, str] = {}

    def picture(path: Path) -> str:
        if path not in pictures:
            pictures[path] = thumbnail(path)
        return pictures[path]

    rows = []
    for why, q in choose(figures, queries.labels, each, seed):
        rankings = []
        for title, evaluation in evaluations:
            scores = evaluation.gallery_embeddings @ evaluation.query_embeddings[q]
            scores /= np.maximum(np.linalg.norm(evaluation.gallery_embeddings, axis=1), np.finfo(np.float32).tiny)
            if evaluation.protocol.leave_self_out:
                scores[[path == queries.paths[q] for path in gallery.paths]] = -np.inf
            hits = tuple(
                Hit(
                    picture(gallery.paths[g]),
                    gallery.classes[gallery.labels[g]],
                    bool(gallery.labels[g] == queries.labels[q]),
                    bool(gallery.instances[g] == queries.instances[q] >= 0),
                )
                for g in np.argsort(-scores, kind="stable")[:top]
            )
            rankings.append((title, float(evaluation.results.per_query[metric][q]), hits))
        rows.append(Row(why, picture(queries.paths[q]), queries.classes[queries.labels[q]], tuple(rankings)))
    return rows


def thumbnail(path: Path, size: int = 120) -> str:
    """Return a picture, no side longer than `size`, as a data URI."""
    picture = read_picture(path, at_least=size).convert("RGB")
    picture.thumbnail((size, size))
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=82, method=4)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"
