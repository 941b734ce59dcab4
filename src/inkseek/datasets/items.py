"""Items: pictures with their class, domain and instance, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inkseek.images.preprocessing import Domain

Row = tuple[Path, str, Domain, str, str]
"""One picture: path, class, domain, instance name or '', source or ''."""


@dataclass(frozen=True, eq=False)
class Items:
    """N pictures as columns of equal length.

    Attributes:
        paths: the files, N of them.
        labels: int64 [N], positions in `classes`.
        domains: N times `sketch` or `photo`.
        instances: int64 [N]; a sketch and its own photo share the number; -1 where nothing is paired.
        sources: N names of where a picture comes from (for example `twemoji`); empty strings where it does not matter.
        classes: class names; labels index it.
    """

    paths: tuple[Path, ...]
    labels: npt.NDArray[np.int64]
    domains: npt.NDArray[np.str_]
    instances: npt.NDArray[np.int64]
    sources: npt.NDArray[np.str_]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.paths)
        for name in ("labels", "domains", "instances", "sources"):
            if len(getattr(self, name)) != n:
                raise ValueError(f"{name} has {len(getattr(self, name))} entries for {n} paths")

    @classmethod
    def from_rows(cls, rows: Iterable[Row], classes: Sequence[str]) -> Items:
        """Build the columns from rows.

        Instance names are numbered in sorted order within their class, so that the numbers do not depend on the order
        of the rows.
        """
        rows = list(rows)
        label_of = {name: i for i, name in enumerate(classes)}
        names = sorted({(row[1], row[3]) for row in rows if row[3]})
        instance_of = {name: i for i, name in enumerate(names)}
        return cls(
            paths=tuple(row[0] for row in rows),
            labels=np.array([label_of[row[1]] for row in rows], dtype=np.int64),
            domains=np.array([row[2] for row in rows], dtype="<U6"),
            instances=np.array([instance_of.get((row[1], row[3]), -1) for row in rows], dtype=np.int64),
            sources=np.array([row[4] for row in rows], dtype=np.str_),
            classes=tuple(classes),
        )

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def paired(self) -> bool:
        """Whether every picture belongs to a known instance."""
        return len(self) > 0 and bool((self.instances >= 0).all())

    def pick(self, mask: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Items:
        """Return the items that a mask or index array selects; classes keep their numbers."""
        index = np.arange(len(self))[mask]
        return Items(
            paths=tuple(self.paths[i] for i in index),
            labels=self.labels[index],
            domains=self.domains[index],
            instances=self.instances[index],
            sources=self.sources[index],
            classes=self.classes,
        )

    def of(
        self, *, domain: Domain | None = None, classes: Iterable[str] | None = None, source: str | None = None
    ) -> Items:
        """Return the items of a domain, of some classes, of a source."""
        mask = np.ones(len(self), dtype=bool)
        if domain is not None:
            mask &= self.domains == domain
        if classes is not None:
            wanted = set(classes)
            mask &= np.isin(self.labels, [i for i, name in enumerate(self.classes) if name in wanted])
        if source is not None:
            mask &= self.sources == source
        return self.pick(mask)
