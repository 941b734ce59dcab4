"""Data sets of photos alone: rows of (path below the root, class) under a class split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inkseek.datasets.dataset import Dataset, every_fifth
from inkseek.datasets.file_lists import present
from inkseek.datasets.items import Items
from inkseek.errors import InkseekError


def one_domain(
    name: str,
    root: Path,
    rows: Sequence[tuple[str, str, str]],
    *,
    seen: tuple[str, ...],
    unseen: tuple[str, ...],
    listed_in: str,
) -> Dataset:
    """Put listed photos under a class split; those that are not on disk are left out and named in a note.

    Args:
        name: of the data set.
        root: what the paths are relative to.
        rows: path with forward slashes, class, source (`query` and `gallery` where the data set tells them apart).
        seen: classes for training.
        unseen: the other classes.
        listed_in: the list that the rows are from.

    Raises:
        InkseekError: no listed file is there.
    """
    here, notes = present(root, [path for path, _, _ in rows], listed_in)
    kept = [row for row, there in zip(rows, here.tolist(), strict=True) if there]
    if not kept:
        raise InkseekError(f"{root}: {' '.join(notes)}")
    return Dataset(
        name=name,
        root=root,
        items=Items.from_rows(((root / path, of, "photo", "", source) for path, of, source in kept), (*seen, *unseen)),
        seen=seen,
        unseen=unseen,
        pseudo_unseen=every_fifth(seen),
        layout=f"list {listed_in}",
        notes=notes,
    )
