"""A data set's own folder, and folders with a folder a class, which every data set has somewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inkseek.datasets.class_names import spelled_as
from inkseek.datasets.dataset import listed
from inkseek.datasets.items import Row
from inkseek.errors import InkseekError
from inkseek.images.preprocessing import Domain
from inkseek.images.reading import find_pictures


def own_folder(root: Path, named: Sequence[str]) -> Path:
    """Return a data set's own folder, which may be given by its parent.

    Raises:
        InkseekError: no such folder.
    """
    if not root.is_dir():
        raise InkseekError(f"{root}: no such folder; give the data set's folder with --root or data.root")
    return next((root / name for name in named if (root / name).is_dir()), root)


def class_folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted, without hidden ones; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def class_rows(
    folder: Path, domain: Domain, *, known: Sequence[str], source: str = ""
) -> tuple[list[Row], tuple[str, ...]]:
    """Return the pictures below a folder of class folders, and the names of folders that are no known class.

    Args:
        folder: has a folder a class, under any spelling of its name.
        domain: of the pictures.
        known: a data set's class names; rows carry this spelling.
        source: of the pictures.

    Raises:
        InkseekError: two folders are one class.
    """
    found = class_folders(folder)
    spelled = spelled_as(found, known, str(folder))
    rows: list[Row] = [
        (path, name, domain, "", source) for entry, name in spelled.items() for path in find_pictures(folder / entry)
    ]
    return rows, tuple(entry for entry in found if entry not in spelled)


def left_out(strangers: Sequence[str]) -> tuple[str, ...]:
    """Return the note on folders that are no known class, where there are any."""
    names = tuple(dict.fromkeys(strangers))
    return (f"folders that are no class of this data set are left out: {listed(names)}",) if names else ()
