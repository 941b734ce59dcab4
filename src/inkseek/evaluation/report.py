"""A training run's report: one HTML file that needs nothing else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from inkseek.errors import InkseekError
from inkseek.evaluation import plots, provenance
from inkseek.evaluation.evaluate import Evaluation
from inkseek.evaluation.margins import Margins
from inkseek.evaluation.retrieval_grid import retrieval_grid
from inkseek.metrics.names import metric
from inkseek.metrics.variance import RelativeDistances, relative_distances

_HEADLINE = (
    "mAP@all",
    "Acc@1",
    "Acc@10",
    "Acc@1 (class gallery)",
    "Acc@1 (joint gallery)",
    "P@100 (min)",
    "P@100",
    "mAP@200 strict",
    "R@1",
    "mAP@R",
    "AMI",
)
_NOT_CURVES = ("step", "epoch", "seconds", "time")
_SEED = 0


@dataclass(frozen=True)
class _Figure:
    """One metric as a line of the table.

    Attributes:
        name: as printed, with its convention.
        meaning: the convention in a line.
        before: value, None where it was not measured.
        after: value.
    """

    name: str
    meaning: str
    before: float | None
    after: float

    @property
    def gain(self) -> float | None:
        """How many times the figure before."""
        return self.after / self.before if self.before else None


def write_report(
    path: str | Path,
    *,
    title: str,
    before: Evaluation | None,
    after: Evaluation,
    log: Sequence[Mapping[str, float]],
    attribution: str = "",
    recipe: str = "",
    margins: Margins | None = None,
) -> None:
    """Write figures, curves, distributions and retrieval grids as one self-contained HTML file.

    Args:
        path: the file to write; it appears whole or not at all.
        title: of the page.
        before: the model that training started from, on the same items; None leaves comparisons out.
        after: the trained model.
        log: rows with `step` and what was logged there; a key that begins with `validation` is drawn with its best.
        attribution: whose pictures are shown, and under which licence.
        recipe: the resolved recipe's text.
        margins: what the trained model has learned to keep around each class, if it has.

    Raises:
        InkseekError: the evaluations are of different items, a picture cannot be read, or the file cannot be written.
    """
    if before is not None and (
        before.queries.paths != after.queries.paths or before.gallery.paths != after.gallery.paths
    ):
        raise InkseekError("the report compares two models on the same items: evaluate both on one protocol")
    results = after.results
    figures = [
        _Figure(name, _meaning(name), before.results.metrics.get(name) if before else None, value)
        for name, value in results.metrics.items()
    ]
    primary = next(iter(results.per_query))
    distances_before = None if before is None else _distances(before)
    distances = _distances(after)
    stages = [("after", after)] if before is None else [("before", before), ("after", after)]
    classes = _per_class(after, primary)
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    html = templates.get_template("report.html.j2").render(
        title=title,
        results=results,
        baseline=None if before is None else before.results,
        figures=figures,
        headline=[f for name in _HEADLINE for f in figures if f.name == name][:4] or figures[:4],
        primary=primary,
        instances=after.queries.paired and after.gallery.paired,
        curves=[Markup(svg) for svg in _curves(log)],
        densities=Markup(plots.densities(distances_before, distances)) if distances.triplets else None,
        distances=distances,
        distances_before=distances_before,
        in_order=_in_order(distances),
        in_order_before=None if distances_before is None else _in_order(distances_before),
        bars=Markup(plots.class_bars(_per_class(before, primary) if before else None, classes, primary))
        if classes
        else None,
        margins=Markup(plots.class_margins(margins)) if margins else None,
        grid=retrieval_grid(stages, primary, seed=_SEED),
        seed=_SEED,
        attribution=attribution,
        recipe=recipe,
        versions=provenance.versions(),
        hardware=provenance.hardware(),
        commit=provenance.commit(),
    )
    _write(Path(path), html)


def _curves(log: Sequence[Mapping[str, float]]) -> list[str]:
    """One plot a logged figure: the loss first, validation next, then the rest in the order of the log."""
    keys = list(dict.fromkeys(key for row in log for key in row if key not in _NOT_CURVES))
    keys.sort(key=lambda key: (key != "loss", not key.startswith("validation")))
    curves = []
    for key in keys:
        points = [(row["step"], row[key]) for row in log if key in row and "step" in row and np.isfinite(row[key])]
        if len(points) > 1:
            steps, values = zip(*points, strict=True)
            curves.append(plots.curve(steps, values, key, validation=key.startswith("validation")))
    return curves


def _distances(evaluation: Evaluation) -> RelativeDistances:
    x, labels = evaluation.query_embeddings, evaluation.queries.labels
    if evaluation.protocol.leave_self_out and evaluation.queries.paths == evaluation.gallery.paths:
        return relative_distances(x, labels, seed=_SEED)
    return relative_distances(x, labels, evaluation.gallery_embeddings, evaluation.gallery.labels, seed=_SEED)


def _per_class(evaluation: Evaluation, name: str) -> dict[str, float]:
    return {of: row[name] for of, row in evaluation.results.per_class().items() if name in row}


def _in_order(distances: RelativeDistances) -> float:
    """The share of triplets whose positive is nearer than their negative."""
    return float((distances.sample < 0).mean()) if len(distances.sample) else float("nan")


def _meaning(name: str) -> str:
    if name.endswith(" optimistic"):
        return f"the upper bound over the orders of tied items; {name.removesuffix(' optimistic')} is the lower"
    return str(metric(name))


def _write(path: Path, html: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        beside = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(html)
            beside.chmod(0o644)  # mkstemp makes files for the owner alone; a report is sent and served
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise InkseekError(f"{path}: the report cannot be written ({error.strerror})") from None
