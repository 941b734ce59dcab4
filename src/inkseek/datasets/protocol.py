"""Protocols: which queries meet which gallery, held against the record of a standard run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from inkseek.datasets.catalogue import open_dataset
from inkseek.datasets.class_names import shared
from inkseek.datasets.dataset import Dataset, listed
from inkseek.datasets.items import Items
from inkseek.datasets.records import DATASET_RECORDS, RECORDS, Range
from inkseek.errors import InkseekError, nearest

_WITHOUT = "@without="
# What a data set of one's own prints where it is of photos alone.
_ONE_DOMAIN_METRICS = RECORDS["cub-200-2011/unseen"].metrics


@dataclass(frozen=True, eq=False)
class Protocol:
    """Queries against a gallery; relevant is what shares the class, or, where both sides are paired, the instance.

    Attributes:
        name: `<data set>/<split>`, for example `sketchy-ext/split2/unseen`.
        queries: sketches; in one domain, the pictures that look for their like.
        gallery: photos; in one domain, the pictures that are found.
        notes: what a reader of the figures must know, a NON-STANDARD line among them where counts are not the record's.
        metrics: what the protocol's tables print at category level; None leaves it to the evaluation.
        leave_self_out: queries are gallery items too, and a picture never meets itself (its path is its id).
        class_galleries: at instance level a query also meets the gallery of its own class alone (fine-grained Sketchy).
        clustering: the gallery's embeddings are also clustered (NMI, AMI, F1), as metric-learning tables print.
    """

    name: str
    queries: Items
    gallery: Items
    notes: tuple[str, ...] = ()
    metrics: tuple[str, ...] | None = None
    leave_self_out: bool = False
    class_galleries: bool = False
    clustering: bool = False


@dataclass(frozen=True)
class Count:
    """One count of a protocol, held against its record.

    Attributes:
        what: `classes`, `queries`, `gallery pictures`, `queries a class` or `gallery pictures a class`.
        expected: a number, or the fewest and the most of a class; None where nobody states it.
        found: likewise.
    """

    what: str
    expected: int | Range | None
    found: int | Range

    @property
    def standard(self) -> bool:
        """Whether the count is the record's, or the record has none."""
        return self.expected is None or self.expected == self.found


def open_protocol(name: str, root: Path | None = None) -> Protocol:
    """Open a protocol's data set, and lay out its queries and gallery.

    Args:
        name: `<data set>/<split>`; a data set's name alone means its unseen classes. With `@without=<other data set>`
            behind it, a model trained on the other data set is measured across data sets: the classes that it has seen
            are left out.
        root: the data set's folder; may be left out for `emoji`.

    Raises:
        InkseekError: unknown protocol, or what the data set finds wrong.
    """
    target, without, other = name.partition(_WITHOUT)
    full = f"{target}/unseen" if target in DATASET_RECORDS else target
    if full not in RECORDS:
        family = [of for of in DATASET_RECORDS if of.startswith(f"{target}/")]
        known = nearest(target, family or RECORDS) or nearest(target, DATASET_RECORDS)
        raise InkseekError(f"no protocol is named {target!r}{known}; `inkseek data list` names them all")
    if without and not (other in DATASET_RECORDS and DATASET_RECORDS[other].seen):
        named = [known for known, record in DATASET_RECORDS.items() if record.seen]
        raise InkseekError(
            f"{name}: {other!r} is no data set whose classes have names{nearest(other, named)}; there are: "
            f"{', '.join(named)}"
        )
    data_set, _, split = full.rpartition("/")
    protocol = protocol_of(open_dataset(data_set, root), split)
    return leave_out_trained(protocol, other) if without else protocol


def protocol_of(dataset: Dataset, split: str) -> Protocol:
    """Lay out the queries and gallery of an open data set's split, and note what is not as the record says.

    Raises:
        InkseekError: the data set has no such split, or no picture of one side.
    """
    name = f"{dataset.name}/{split}"
    if name not in RECORDS:
        splits = ", ".join(DATASET_RECORDS[dataset.name].protocols)
        raise InkseekError(f"{dataset.name} has no split {split!r}; it has {splits}")
    record = RECORDS[name]
    every = (*dataset.seen, *dataset.unseen)
    asked = {"unseen": dataset.unseen, "generalised": dataset.unseen, "pseudo-unseen": dataset.pseudo_unseen}
    measured = asked.get(split, every)
    queries, gallery = dataset.queries_and_gallery(measured)
    if split == "generalised":
        measured = every
        gallery = dataset.queries_and_gallery(every)[1]
    missing = tuple(of for of in dataset.missing if of in measured)
    if not len(queries) or not len(gallery):
        side = "gallery" if len(queries) else "queries"
        raise InkseekError(f"{dataset.root}: {name} has no {side} here; missing classes: {listed(missing) or 'none'}")
    notes = *dataset.notes, *_non_standard(list(counts(name, queries, gallery)), missing)
    metrics = record.metrics
    if dataset.one_domain and metrics is None:
        metrics = _ONE_DOMAIN_METRICS
    return Protocol(
        name,
        queries,
        gallery,
        notes,
        metrics=metrics,
        leave_self_out=dataset.one_domain and set(queries.paths) <= set(gallery.paths),
        class_galleries=record.class_galleries,
        clustering=record.clustering,
    )


def counts(name: str, queries: Items, gallery: Items) -> Iterator[Count]:
    """Yield the counts of a protocol's queries and gallery beside those of its record."""
    record = RECORDS[name]
    yield Count("classes", record.classes, len(np.unique(queries.labels)))
    yield Count("queries", record.queries, len(queries))
    yield Count("gallery pictures", record.gallery, len(gallery))
    yield Count("queries a class", record.queries_per_class, _per_class(queries))
    yield Count("gallery pictures a class", record.gallery_per_class, _per_class(gallery))


def _per_class(items: Items) -> Range:
    sizes = np.unique(items.labels, return_counts=True)[1].tolist()
    return min(sizes), max(sizes)


def say(count: int | Range | None) -> str:
    """Write a count as text, `-` where there is none."""
    if count is None:
        return "-"
    if isinstance(count, int):
        return f"{count:,}"
    return f"{count[0]:,} to {count[1]:,}" if count[0] < count[1] else f"{count[0]:,}"


def _non_standard(found: Sequence[Count], missing: tuple[str, ...]) -> tuple[str, ...]:
    """Return the line that says how a run differs from its record, where it does."""
    totals = [count for count in found[:3] if count.expected is not None]
    parts = []
    if not all(count.standard for count in totals):
        expected = ", ".join(f"{say(count.expected)} {count.what}" for count in totals)
        parts.append(f"{expected} expected, found {', '.join(say(count.found) for count in totals)}")
    else:
        parts += [f"{c.what}: {say(c.expected)} expected, found {say(c.found)}" for c in found[3:] if not c.standard]
    if missing:
        parts.append(f"missing classes: {listed(missing)}")
    return (f"NON-STANDARD: {'; '.join(parts)}",) if parts else ()


def leave_out_trained(protocol: Protocol, trained_on: str) -> Protocol:
    """Leave out of both sides the classes that another data set trains on, for a measurement across data sets.

    The counts were held against the record before; what is left is noted, since no table states it.

    Raises:
        InkseekError: no class would be left.
    """
    here = tuple(protocol.queries.classes[label] for label in np.unique(protocol.gallery.labels).tolist())
    out = shared(here, DATASET_RECORDS[trained_on].seen)
    kept = [name for name in here if name not in out]
    queries, gallery = protocol.queries.of(classes=kept), protocol.gallery.of(classes=kept)
    if not len(queries):
        raise InkseekError(f"{protocol.name}: {trained_on} trains on every class of it, so nothing is left to measure")
    note = f"across data sets: {len(out)} classes that {trained_on} trains on are left out"
    return replace(
        protocol,
        name=f"{protocol.name}{_WITHOUT}{trained_on}",
        queries=queries,
        gallery=gallery,
        notes=(*protocol.notes, f"{note}: {listed(out, most=len(out))}" if out else note),
    )
