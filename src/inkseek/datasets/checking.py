"""A data set on disk held against its record: what is there, what is missing, in counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inkseek.datasets.catalogue import open_dataset
from inkseek.datasets.dataset import Dataset
from inkseek.datasets.protocol import Count, counts, protocol_of
from inkseek.datasets.records import DATASET_RECORDS
from inkseek.errors import InkseekError


@dataclass(frozen=True)
class Check:
    """What `check` found.

    Attributes:
        name: of the data set.
        root: the folder that was read.
        layout: how the pictures lie on disk, as recognised.
        counts: split (`seen` or a protocol's) -> its counts.
        missing: classes without any picture.
        notes: files that lists name and that are missing, folders that are no class, and what a protocol complains of.
    """

    name: str
    root: Path
    layout: str
    counts: dict[str, tuple[Count, ...]]
    missing: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def standard(self) -> bool:
        """Whether every count is as the record says, no class is missing, and every split has pictures."""
        whole = not self.missing and len(self.counts) == 1 + len(DATASET_RECORDS[self.name].protocols)
        return whole and all(count.standard for of in self.counts.values() for count in of)

    @property
    def stated(self) -> bool:
        """Whether there are counts to hold it against; nobody states any for pictures of one's own."""
        return any(count.expected is not None for of in self.counts.values() for count in of)


def check(name: str, root: Path | None = None) -> Check:
    """Open a data set and count its pictures, split by split.

    Raises:
        InkseekError: it cannot be opened.
    """
    dataset = open_dataset(name, root)
    found = {"seen": tuple(_seen(dataset))}
    notes = [*dataset.notes]
    for split in DATASET_RECORDS[name].protocols:
        try:
            protocol = protocol_of(dataset, split)
        except InkseekError as error:
            notes.append(str(error))
        else:
            found[split] = tuple(counts(protocol.name, protocol.queries, protocol.gallery))
    return Check(name, dataset.root, dataset.layout, found, dataset.missing, tuple(notes))


def _seen(dataset: Dataset) -> Iterator[Count]:
    record = DATASET_RECORDS[dataset.name]
    seen = dataset.items.of(classes=dataset.seen)
    here = len(set(seen.labels.tolist()))
    yield Count("classes", len(record.seen) or None, here)
    if not dataset.one_domain:
        yield Count("sketches", record.seen_sketches, len(seen.of(domain="sketch")))
    yield Count("photos", record.seen_photos, len(seen.of(domain="photo")))
