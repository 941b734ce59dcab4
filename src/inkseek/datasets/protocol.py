"""Protocols: which queries meet which gallery, and the counts that a standard run must have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inkseek.datasets.catalogue import DATASETS, open_dataset
from inkseek.datasets.dataset import Dataset
from inkseek.datasets.items import Items
from inkseek.errors import InkseekError, nearest

# Classes, queries and gallery of a standard run. The emoji set's depend on the installed packages' versions, and are
# those of the versions that the constraints file pins.
_RECORDS: dict[str, tuple[int, int, int]] = {
    "emoji/unseen": (17, 350, 350),
    "emoji/pseudo-unseen": (7, 152, 152),
    "quickdraw-photo/unseen": (12, 300, 381),
    "quickdraw-photo/pseudo-unseen": (8, 200, 256),
}


@dataclass(frozen=True, eq=False)
class Protocol:
    """Queries against a gallery; relevant is what shares the class, or, where both sides are paired, the instance.

    Attributes:
        name: `<data set>/unseen` for the final measurement, `<data set>/pseudo-unseen` for choosing checkpoints.
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


def open_protocol(name: str, root: Path | None = None) -> Protocol:
    """Open the data set that a protocol's name begins with, and lay out its queries and gallery.

    Raises:
        InkseekError: unknown protocol, or what the data set finds wrong.
    """
    data_set = name.rpartition("/")[0]
    if name not in _RECORDS or data_set not in DATASETS:
        raise InkseekError(f"no protocol is named {name!r}{nearest(name, _RECORDS)}; there are: {', '.join(_RECORDS)}")
    return protocol_of(open_dataset(data_set, root), name.rpartition("/")[2])


def protocol_of(dataset: Dataset, split: str) -> Protocol:
    """Lay out the queries and gallery of an open data set's split, `unseen` or `pseudo-unseen`."""
    name = f"{dataset.name}/{split}"
    queries, gallery = dataset.queries_and_gallery(dataset.unseen if split == "unseen" else dataset.pseudo_unseen)
    counts = (len(np.unique(queries.labels)), len(queries), len(gallery))
    notes: tuple[str, ...] = ()
    if counts != _RECORDS[name]:
        expected = "{} classes, {} queries, {} gallery pictures".format(*_RECORDS[name])
        notes = (f"NON-STANDARD: {expected} expected, found {counts[0]}, {counts[1]}, {counts[2]}",)
    return Protocol(name, queries, gallery, notes)
