"""One immutable results object: what was measured, on what, by which model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from inkseek.errors import InkseekError
from inkseek.evaluation import provenance
from inkseek.evaluation.results_csv import COLUMNS, append_row
from inkseek.metrics import averages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Results:
    """The figures of one model on one protocol.

    Attributes:
        protocol: its name, for example `quickdraw-photo/unseen`.
        model: the model's name.
        fingerprint: sha256 of the model's weights and preprocessing.
        counts: `classes`, `queries`, `gallery`, `excluded` (queries without relevant items, which no mean counts).
        metrics: name as printed -> mean over queries (micro); a clustering figure is of the whole set.
        per_query: name -> float64 [Q]; NaN where a query has no relevant item. Clustering figures have none.
        labels: int64 [Q], the class of each query, a position in `classes`.
        classes: class names.
        tie_rate: the share of (query, relevant item) pairs whose rank scores alone do not decide.
        notes: what a reader of the figures must know, NON-STANDARD lines among them.
        queries: a digest of which pictures the queries are, in their order; empty where they have no names.
    """

    protocol: str
    model: str
    fingerprint: str
    counts: Mapping[str, int]
    metrics: Mapping[str, float]
    per_query: Mapping[str, Floats]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    tie_rate: float = 0.0
    notes: tuple[str, ...] = ()
    queries: str = ""

    def __post_init__(self) -> None:
        freeze = object.__setattr__
        freeze(self, "counts", MappingProxyType(dict(self.counts)))
        freeze(self, "metrics", MappingProxyType(dict(self.metrics)))
        freeze(self, "per_query", MappingProxyType({k: _read_only(v, np.float64) for k, v in self.per_query.items()}))
        freeze(self, "labels", _read_only(self.labels, np.int64))

    @property
    def standard(self) -> bool:
        """Whether the protocol was run as its record says."""
        return not any(note.startswith("NON-STANDARD") for note in self.notes)

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return class name -> metric -> mean over that class's queries, for classes with queries that count."""
        means = averages.per_class(self.per_query, self.labels)
        return {self.classes[label]: figures for label, figures in means.items()}

    def macro(self) -> dict[str, float]:
        """Return each metric's mean over the means of the classes, of metrics that have a figure for each query."""
        return averages.macro(self.per_query, self.labels)

    def __str__(self) -> str:
        """Return a readable table."""
        macro = self.macro()
        width = max(map(len, self.metrics), default=6) + 2
        counts = "   ".join(f"{name} {self.counts[name]}" for name in self.counts if name != "excluded")
        lines = [
            f"{self.protocol}   model {self.model} ({self.fingerprint[:12]})",
            f"{counts}   tie rate {self.tie_rate:.2g}",
            "",
            f"{'metric':<{width}}  micro   macro",
            *(
                f"{name:<{width}} {value:.4f}" + (f"  {macro[name]:.4f}" if name in macro else "")
                for name, value in self.metrics.items()
            ),
            "",
            "micro: mean over queries; macro: mean over the means of the classes",
            *self.notes,
        ]
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return everything as JSON; an excluded query's figure is null."""
        return json.dumps(
            {
                "protocol": self.protocol,
                "model": self.model,
                "fingerprint": self.fingerprint,
                "counts": dict(self.counts),
                "metrics": {name: _or_null(value) for name, value in self.metrics.items()},
                "macro": {name: _or_null(value) for name, value in self.macro().items()},
                "tie_rate": self.tie_rate,
                "notes": list(self.notes),
                "queries": self.queries,
                "classes": list(self.classes),
                "labels": self.labels.tolist(),
                "per_query": {name: [_or_null(v) for v in values.tolist()] for name, values in self.per_query.items()},
            },
            allow_nan=False,
            ensure_ascii=False,
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> Results:
        """Read what `to_json` wrote.

        Raises:
            InkseekError: not JSON, or not results.
        """
        try:
            read = json.loads(text)
            return cls(
                protocol=str(read["protocol"]),
                model=str(read["model"]),
                fingerprint=str(read["fingerprint"]),
                counts={str(name): int(n) for name, n in read["counts"].items()},
                metrics={str(name): _or_nan(value) for name, value in read["metrics"].items()},
                per_query={str(k): np.array([_or_nan(v) for v in values]) for k, values in read["per_query"].items()},
                labels=np.array(read["labels"], dtype=np.int64),
                classes=tuple(map(str, read["classes"])),
                tie_rate=float(read["tie_rate"]),
                notes=tuple(map(str, read["notes"])),
                queries=str(read.get("queries", "")),
            )
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise InkseekError(f"not results that inkseek wrote ({type(error).__name__}: {error})") from None

    def to_csv(self, path: str | Path, *, command: str, recipe: str, seed: int | str) -> None:
        """Append a row to a CSV of results; the file is made where there is none.

        Columns are `COLUMNS`, then one for each metric, named as printed. A protocol that was not run as its record
        says bears NON-STANDARD after its name. Processes may append at once.

        Args:
            path: the file.
            command: what was run, for example `inkseek evaluate runs/quickdraw-rdvc`.
            recipe: the recipe's name.
            seed: of the training run.

        Raises:
            InkseekError: the file is not a CSV of results, or ends in the middle of a row; it is left as it is.
        """
        about = (
            command,
            recipe,
            self.protocol if self.standard else f"{self.protocol} NON-STANDARD",
            str(seed),
            provenance.commit(),
            provenance.hardware(),
            provenance.versions(),
        )
        figures = {name: f"{value:.6f}" for name, value in self.metrics.items()}
        append_row(Path(path), dict(zip(COLUMNS, about, strict=True)) | figures)

    def to_markdown(self, *, header: bool = True) -> str:
        """Return a row of a Markdown table, model, protocol, then every metric, with the table's head above it.

        Args:
            header: False leaves the head out, so that the row can stand under another model's.
        """
        protocol = self.protocol if self.standard else f"{self.protocol} NON-STANDARD"
        head = ["model", "protocol", *self.metrics]
        lines = [[f"`{self.model}`", protocol, *(f"{value:.3f}" for value in self.metrics.values())]]
        if header:
            lines = [head, ["---", "---", *["---:"] * len(self.metrics)], *lines]
        return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)

    def plot(self, metric: str | None = None) -> Figure:
        """Draw a metric of each class as bars, best class on top, as in Fig. 5 of the RDVC paper.

        Args:
            metric: a name from `per_query`; the first one when None.

        Returns:
            A figure that a notebook shows and `savefig` writes.

        Raises:
            InkseekError: no figure of that name for each query.
        """
        from inkseek.evaluation.plots import class_figure

        name = next(iter(self.per_query)) if metric is None else metric
        if name not in self.per_query:
            raise InkseekError(f"{name!r} has no figure for each query: choose one of {', '.join(self.per_query)}")
        return class_figure(None, {of: row[name] for of, row in self.per_class().items() if name in row}, name)


def _read_only(values: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[np.generic]:
    copy = np.array(values, dtype=dtype)
    copy.setflags(write=False)
    return copy


def _or_null(value: float) -> float | None:
    return None if np.isnan(value) else value


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)
