"""A data set: its items, and which classes are seen, held out for validation, and unseen."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from inkseek.datasets.items import Items
from inkseek.errors import InkseekError

WITHHELD = "withheld"
"""The source of pictures of seen classes that a benchmark's own lists keep out of training."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set's items under its class split.

    Attributes:
        name: as recipes and protocols call it.
        root: the folder that the items came from.
        items: every picture.
        seen: classes for training, `pseudo_unseen` among them.
        unseen: classes that only the final measurement may touch.
        pseudo_unseen: seen classes kept out of training to select checkpoints on.
        gallery_source: where set, only photos of this source are measured against.
        attribution: who made the pictures and under which licence.
        layout: how the pictures lie on disk, as recognised.
        notes: what a reader of figures must know, for example files that a list names and that are missing.
    """

    name: str
    root: Path
    items: Items
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    pseudo_unseen: tuple[str, ...]
    gallery_source: str | None = None
    attribution: str = ""
    layout: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if set(self.seen) & set(self.unseen) or not set(self.pseudo_unseen) <= set(self.seen):
            raise ValueError(f"{self.name}: the class split overlaps")
        if len(self.missing) == len(self.seen) + len(self.unseen):
            raise InkseekError(f"{self.root}: no class of {self.name} is here: {listed(self.missing)}")

    @property
    def missing(self) -> tuple[str, ...]:
        """Classes of the split without any picture, in the split's order."""
        here = {self.items.classes[label] for label in np.unique(self.items.labels).tolist()}
        return tuple(name for name in (*self.seen, *self.unseen) if name not in here)

    @property
    def one_domain(self) -> bool:
        """Whether there are photos alone, which look for each other."""
        return not bool((self.items.domains == "sketch").any())

    def training(self, *, hold_out: bool = True) -> Items:
        """Return the items of the seen classes, without the pseudo-unseen ones unless `hold_out` is false.

        In one domain these are photos alone. What the benchmark withholds from training is left out.
        """
        chosen = self.items.of(classes=set(self.seen) - (set(self.pseudo_unseen) if hold_out else set()))
        return chosen.pick(chosen.sources != WITHHELD)

    def queries_and_gallery(self, classes: tuple[str, ...]) -> tuple[Items, Items]:
        """Return all sketches, and all measured photos, of some classes.

        In one domain both are all photos, the same object twice, but where the data set itself tells queries from
        gallery (In-Shop).
        """
        chosen = self.items.of(classes=classes)
        if not self.one_domain:
            return chosen.of(domain="sketch"), chosen.of(domain="photo", source=self.gallery_source)
        queries, gallery = chosen.of(source="query"), chosen.of(source="gallery")
        return (queries, gallery) if len(queries) else (chosen, chosen)


def read_split(name: str) -> tuple[str, ...]:
    """Return the class names of a list that the package ships in `datasets/splits`, in the list's order."""
    text = (resources.files("inkseek.datasets") / "splits" / f"{name}.txt").read_text(encoding="utf-8")
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def every_fifth(seen: tuple[str, ...]) -> tuple[str, ...]:
    """Return the pseudo-unseen classes of a data set that has no list of its own: every fifth from the fourth on.

    Of fewer than four the last, so that there is one.
    """
    return seen[3::5] or seen[-1:]


def halves(classes: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the first half of the classes and the rest: seen and unseen as in CUB-200-2011 and Cars196."""
    return classes[: len(classes) // 2], classes[len(classes) // 2 :]


def listed(names: tuple[str, ...], most: int = 12) -> str:
    """Return names joined by commas, the first ones and a count where there are many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
