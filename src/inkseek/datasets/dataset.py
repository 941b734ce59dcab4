"""A data set: its items, and which classes are seen, held out for validation, and unseen."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from inkseek.datasets.items import Items
from inkseek.errors import InkseekError


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
    """

    name: str
    root: Path
    items: Items
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    pseudo_unseen: tuple[str, ...]
    gallery_source: str | None = None
    attribution: str = ""

    def __post_init__(self) -> None:
        for what, names in (("seen", self.seen), ("unseen", self.unseen)):
            missing = sorted(set(names) - set(self.items.classes))
            if missing:
                raise InkseekError(f"{self.root}: {what} classes of {self.name} are missing: {', '.join(missing)}")
        if set(self.seen) & set(self.unseen) or not set(self.pseudo_unseen) <= set(self.seen):
            raise ValueError(f"{self.name}: the class split overlaps")

    def training(self, *, hold_out: bool = True) -> Items:
        """Return the items of the seen classes, without the pseudo-unseen ones unless `hold_out` is false."""
        return self.items.of(classes=set(self.seen) - (set(self.pseudo_unseen) if hold_out else set()))

    def queries_and_gallery(self, classes: tuple[str, ...]) -> tuple[Items, Items]:
        """Return all sketches, and all measured photos, of some classes."""
        chosen = self.items.of(classes=classes)
        return chosen.of(domain="sketch"), chosen.of(domain="photo", source=self.gallery_source)


def read_split(name: str) -> tuple[str, ...]:
    """Return the class names of a list that the package ships in `datasets/splits`, in the list's order."""
    text = (resources.files("inkseek.datasets") / "splits" / f"{name}.txt").read_text(encoding="utf-8")
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
