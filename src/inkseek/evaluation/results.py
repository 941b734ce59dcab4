"""One immutable results object: what was measured, on what, by which model."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from inkseek.errors import InkseekError
from inkseek.evaluation import provenance

COLUMNS = ("command", "recipe", "protocol", "seed", "commit", "hardware", "versions")
"""The columns of a CSV of results that stand before its metrics."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Results:
    """The figures of one model on one protocol.

    Attributes:
        protocol: its name, for example `quickdraw-photo/unseen`.
        model: the model's name.
        fingerprint: sha256 of the model's weights and preprocessing.
        counts: `classes`, `queries`, `gallery`, `excluded` (queries without relevant items, which no mean counts).
        metrics: name as printed -> mean over queries (micro).
        per_query: name -> float64 [Q]; NaN where a query has no relevant item.
        labels: int64 [Q], the class of each query, a position in `classes`.
        classes: class names.
        tie_rate: the share of (query, relevant item) pairs whose rank scores alone do not decide.
        notes: what a reader of the figures must know, NON-STANDARD lines among them.
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
    notes: tuple[str, ...] = field(default=())

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
        result: dict[str, dict[str, float]] = {}
        for label in np.unique(self.labels):
            mine = {name: values[self.labels == label] for name, values in self.per_query.items()}
            means = {name: float(v[~np.isnan(v)].mean()) for name, v in mine.items() if not np.isnan(v).all()}
            if means:
                result[self.classes[label]] = means
        return result

    def macro(self) -> dict[str, float]:
        """Return each metric's mean over the means of the classes."""
        rows = list(self.per_class().values())
        return {name: float(np.mean([row[name] for row in rows if name in row])) for name in self.per_query if rows}

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
            *(f"{name:<{width}} {value:.4f}  {macro.get(name, np.nan):.4f}" for name, value in self.metrics.items()),
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
            )
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise InkseekError(f"not results that inkseek wrote ({type(error).__name__}: {error})") from None

    def to_csv(self, path: str | Path, *, command: str, recipe: str, seed: int | str) -> None:
        """Append a row to a CSV of results; the file is made where there is none.

        Columns are `COLUMNS`, then one for each metric, named as printed. Where the file has other metrics, it is
        rewritten with the union of both, whole or not at all. A protocol that was not run as its record says bears
        NON-STANDARD after its name.

        Args:
            path: the file.
            command: what was run, for example `inkseek evaluate runs/quickdraw-rdvc`.
            recipe: the recipe's name.
            seed: of the training run.

        Raises:
            InkseekError: the file is not a CSV of results, or ends in the middle of a row; it is left as it is.
        """
        path = Path(path)
        about = (
            command,
            recipe,
            self.protocol if self.standard else f"{self.protocol} NON-STANDARD",
            str(seed),
            provenance.commit(),
            provenance.hardware(),
            provenance.versions(),
        )
        row = dict(zip(COLUMNS, about, strict=True)) | {name: f"{v:.6f}" for name, v in self.metrics.items()}
        try:
            before = _read(path)
            if before is not None and set(row) <= set(before[0]):
                # One write of a whole line: a kill leaves all of it or nothing, and rows of two processes do not mix.
                with path.open("ab", buffering=0) as file:
                    file.write(_lines([[row.get(name, "") for name in before[0]]]))
                return
            header, rows = before or (list(COLUMNS), [])
            header = [*header, *(name for name in row if name not in header)]
            rows = [[*old, *[""] * (len(header) - len(old))] for old in rows]
            _replace(path, _lines([header, *rows, [row.get(name, "") for name in header]]))
        except OSError as error:
            raise InkseekError(f"{path}: results cannot be written ({error.strerror})") from None


def _read(path: Path) -> tuple[list[str], list[list[str]]] | None:
    """Return header and rows of a CSV of results, or None where there is no file or an empty one."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if not content:
        return None
    try:
        table = list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        table = []
    if not table or tuple(table[0][: len(COLUMNS)]) != COLUMNS or len(set(table[0])) != len(table[0]):
        raise InkseekError(f"{path}: not a CSV of results (its columns begin {', '.join(COLUMNS)}); give another file")
    header, rows = table[0], table[1:]
    torn = [n for n, cells in enumerate(rows, start=2) if len(cells) != len(header)]
    if torn or not content.endswith(b"\n"):
        line = torn[0] if torn else len(table)
        raise InkseekError(f"{path}: row {line} is not whole; repair or remove it, and the row can be added")
    return header, rows


def _lines(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files for the owner alone; results are read by others.
        beside.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _read_only(values: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[np.generic]:
    copy = np.array(values, dtype=dtype)
    copy.setflags(write=False)
    return copy


def _or_null(value: float) -> float | None:
    return None if np.isnan(value) else value


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)
