"""A metric's name carries its convention: read it, explain it, refuse one that leaves the convention open."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from inkseek.errors import InkseekError, nearest

Kind = Literal["AP", "precision", "hit", "reciprocal rank", "clustering"]
Gallery = Literal["", "class", "joint"]
Denominator = Literal["all", "strict", "lenient", "/K", "R", "K", "min"]

FORMS = (
    "mAP@all",
    "mAP@all (VOC)",
    "mAP@K strict",
    "mAP@K lenient",
    "mAP@K /K",
    "mAP@K strict (VOC)",
    "mAP@K lenient (VOC)",
    "mAP@K /K (VOC)",
    "mAP@R",
    "P@K",
    "P@K (min)",
    "R-precision",
    "R@K",
    "Acc@K",
    "Acc@K (class gallery)",
    "Acc@K (joint gallery)",
    "MRR",
)
"""Every form that a ranking metric's name can take; K stands for a cut-off such as 200."""

CLUSTERING = ("NMI", "AMI", "F1")
"""Figures of k-means clusters of the embeddings, held against the classes."""


CATEGORY_METRICS = (
    "mAP@all",
    "mAP@200 strict",
    "mAP@200 lenient",
    "P@100",
    "mAP@all (VOC)",
    "mAP@200 strict (VOC)",
)
"""What sketch-retrieval tables print, in both conventions that are in use."""

ONE_DOMAIN_METRICS = ("R@1", "R@2", "R@4", "R@8", "R-precision", "mAP@R")
"""What metric-learning tables print of a ranking; they print figures of clusters beside it."""

INSTANCE_METRICS = ("Acc@1", "Acc@5", "Acc@10")
"""Whether a sketch finds its own photo."""

_CLUSTERING = {
    "NMI": "mutual information of k-means clusters and classes, divided by the mean of their entropies",
    "AMI": "mutual information of k-means clusters and classes, adjusted for chance",
    "F1": "F1 over pairs of items: a true positive shares class and cluster",
}


@dataclass(frozen=True)
class Metric:
    """What a metric's name says.

    Attributes:
        name: as printed.
        kind: average precision, precision, hit (at least one relevant item in the top K), reciprocal rank, or a figure
            of clusters.
        cutoff: K, or None where the whole ranking or the top R counts.
        denominator: what the sum is divided by: `all` R, `strict` min(R, K), `lenient` the hits in the top K, `/K` K;
            for `R` the cut-off is R itself, and for `min` it is min(K, R).
        interpolated: whether precision is replaced by its right-running maximum, as VOC does.
        gallery: `class` where a query meets the gallery of its own class alone, `joint` where it is said that it meets
            that of all classes.
    """

    name: str
    kind: Kind
    cutoff: int | None
    denominator: Denominator
    interpolated: bool = False
    gallery: Gallery = ""

    @property
    def open_under_ties(self) -> bool:
        """Whether the expectation over orders of tied items has no closed form, so that two bounds are given."""
        return self.interpolated or self.denominator == "lenient"

    def __str__(self) -> str:
        """Say the convention in one line."""
        k = self.cutoff
        if self.kind == "reciprocal rank":
            return "mean of 1 / rank of the first relevant item"
        if self.kind == "clustering":
            return _CLUSTERING[self.name]
        if self.kind == "hit":
            met = {"": "", "class": " of its own class's gallery", "joint": " of the gallery of all classes"}
            return f"share of queries with a relevant item in the top {k}{met[self.gallery]}"
        if self.kind == "precision":
            if self.denominator == "R":
                return "share of the top R that is relevant, R the query's number of relevant items"
            return f"share of the top {f'min({k}, R)' if self.denominator == 'min' else k} that is relevant"
        divisor = {
            "all": "R, the query's number of relevant items",
            "strict": f"min(R, {k})",
            "lenient": f"the hits in the top {k}",
            "/K": f"{k}",
            "R": "R",
        }[self.denominator]
        top = {"all": "all ranks", "R": "the top R"}.get(self.denominator, f"the top {k}")
        precision = "precision, interpolated as in VOC," if self.interpolated else "precision"
        return f"{precision} at each relevant item in {top}, summed and divided by {divisor}"


def metric(name: str) -> Metric:
    """Read a metric's name.

    Args:
        name: one of `FORMS` with a number for K, for example `mAP@200 strict (VOC)`, or one of `CLUSTERING`.

    Returns:
        What the name says.

    Raises:
        InkseekError: a name that is unknown or leaves its convention open, such as a bare `mAP` or `mAP@200`.
    """
    if name in ("mAP@all", "mAP@all (VOC)"):
        return Metric(name, "AP", None, "all", interpolated=name.endswith("(VOC)"))
    if name == "mAP@R":
        return Metric(name, "AP", None, "R")
    if name == "R-precision":
        return Metric(name, "precision", None, "R")
    if name == "MRR":
        return Metric(name, "reciprocal rank", None, "all")
    if found := re.fullmatch(r"mAP@([1-9]\d*) (strict|lenient|/K)( \(VOC\))?", name):
        denominator: Denominator = found[2]  # type: ignore[assignment]
        return Metric(name, "AP", int(found[1]), denominator, interpolated=found[3] is not None)
    if found := re.fullmatch(r"P@([1-9]\d*)( \(min\))?", name):
        return Metric(name, "precision", int(found[1]), "min" if found[2] else "K")
    if found := re.fullmatch(r"R@([1-9]\d*)|Acc@([1-9]\d*)(?: \((class|joint) gallery\))?", name):
        gallery: Gallery = found[3] or ""  # type: ignore[assignment]
        return Metric(name, "hit", int(found[1] or found[2]), "K", gallery=gallery)
    if name in CLUSTERING:
        return Metric(name, "clustering", None, "all")
    why = "leaves its convention open" if re.fullmatch(r"mAP(@\d+)?( \(VOC\))?", name) else "is not known"
    known = (*FORMS, *CLUSTERING)
    raise InkseekError(f"the metric {name!r} {why}: use one of {', '.join(known)} (K a number){nearest(name, known)}")


def with_min(names: Iterable[str], fewest: int) -> list[str]:
    """Put `P@K (min)` behind each `P@K` where some query has fewer than K relevant items: `fewest` is the fewest."""
    result: list[str] = []
    for name in names:
        result.append(name)
        m = metric(name)
        if m.kind == "precision" and m.denominator == "K" and fewest < (m.cutoff or 0):
            result.append(f"{name} (min)")
    return list(dict.fromkeys(result))
