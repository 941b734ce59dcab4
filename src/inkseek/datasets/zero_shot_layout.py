"""Extended sets for zero-shot retrieval on disk: SAKE's and ZSE-SBIR's file lists where they are, or folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import NamedTuple

from inkseek.datasets.class_folders import class_rows, left_out, own_folder
from inkseek.datasets.class_names import spelled_as
from inkseek.datasets.dataset import WITHHELD, Dataset, listed
from inkseek.datasets.file_lists import present, read_rows, relative_path
from inkseek.datasets.items import Items, Row
from inkseek.datasets.records import DATASET_RECORDS, pseudo_unseen
from inkseek.errors import InkseekError
from inkseek.images.preprocessing import Domain


class Folders(NamedTuple):
    """Folders of class folders that people keep together; all that are there are read."""

    sketches: tuple[str, ...]
    photos: tuple[str, ...]


# What CLIP-AT and ClipPrompt ask for, whichever the data set.
_PLAIN = (Folders(("sketch",), ("photo",)), Folders(("train/sketch", "val/sketch"), ("train/photo", "val/photo")))


@dataclass(frozen=True)
class ZeroShotLayout:
    """Where a set's file lists and pictures may be; what is named first is taken.

    Attributes:
        named: names of the data set's own folder, which may be given by its parent.
        lists: folders of file lists.
        sketch_lists: a sketch list's possible names; `{}` becomes `train`, `test` or `zero`.
        photo_lists: a photo list's possible names.
        folders: the set's own folders; each may carry SAKE's suffix `_ready` (its resized copies).
    """

    named: tuple[str, ...]
    lists: tuple[str, ...]
    sketch_lists: tuple[str, ...]
    photo_lists: tuple[str, ...]
    folders: tuple[Folders, ...]

    def list_names(self) -> tuple[tuple[Domain, tuple[str, ...]], ...]:
        """Return the possible names of lists by domain."""
        return ("sketch", self.sketch_lists), ("photo", self.photo_lists)


def open_zero_shot(name: str, root: Path, layout: ZeroShotLayout) -> Dataset:
    """Open a data set by its file lists, and by folders what no list names, under its record's class split.

    Sketches in the lists `test`, which SAKE keeps out of training, get the source `withheld`.

    Raises:
        InkseekError: nothing is recognised, or a list does not fit its data set.
    """
    record = DATASET_RECORDS[name]
    root = own_folder(root, layout.named)
    lists = next((root / folder for folder in layout.lists if (root / folder).is_dir()), None)
    rows: list[Row] = []
    notes: list[str] = []
    used: list[str] = []
    unlisted: list[tuple[Domain, Sequence[str]]] = []
    for domain, names in layout.list_names():
        for part, classes in (("train", record.seen), ("zero", record.unseen)):
            if (path := _list(lists, names, part)) is None:
                unlisted.append((domain, classes))
                continue
            sources = [(path, "")]
            if part == "train" and (withheld := _list(lists, names, "test")) is not None:
                sources.append((withheld, WITHHELD))
            for file, source in sources:
                more, missing = _read_list(root, file, domain, classes, source)
                rows += more
                notes += missing
                used.append(f"{file.parent.name}/{file.name}")
    described = [f"file lists {', '.join(used)}"] if used else []
    if unlisted:
        by_folder, folders, strangers = _read_folders(root, (*layout.folders, *_PLAIN), (*record.seen, *record.unseen))
        rows += [row for row in by_folder if any(row[2] == domain and row[1] in names for domain, names in unlisted)]
        notes += left_out(strangers)
        if folders:
            described.append(f"folders {', '.join(folders)}")
    if not rows:
        wanted = [f"{of.sketches[0]}/<class>/ with {of.photos[0]}/<class>/" for of in (*layout.folders, *_PLAIN)]
        raise InkseekError(
            f"{root}: {notes[0] if notes else f'no picture of {name} is here'}; expected {', or '.join(wanted)}"
        )
    return Dataset(
        name=name,
        root=root,
        items=Items.from_rows(rows, (*record.seen, *record.unseen)),
        seen=record.seen,
        unseen=record.unseen,
        pseudo_unseen=pseudo_unseen(name),
        layout="; ".join(described),
        notes=tuple(notes),
    )


def _list(folder: Path | None, names: Sequence[str], part: str) -> Path | None:
    if folder is None:
        return None
    return next((folder / name.format(part) for name in names if (folder / name.format(part)).is_file()), None)


def _read_list(
    root: Path, file: Path, domain: Domain, classes: Sequence[str], source: str
) -> tuple[list[Row], tuple[str, ...]]:
    """Read lines `<folder>/<class>/<file> <int>`; the number restarts in each list, so the class is the folder's."""
    names = [relative_path(path, file) for path, _ in read_rows(file, ("path", "#class"))]
    parts = [name.rsplit("/", 2) for name in names]
    if short := next((name for name, of in zip(names, parts, strict=True) if len(of) < 3), None):
        raise InkseekError(f"{file}: lists {short!r}, expected <folder>/<class>/<file>")
    spelled = spelled_as(dict.fromkeys(folder for _, folder, _ in parts), classes, str(file))
    if strange := tuple(dict.fromkeys(folder for _, folder, _ in parts if folder not in spelled)):
        raise InkseekError(f"{file}: lists classes that are not of this split: {listed(strange)}")
    there = {above: _there(root, above) or above for above in {of[0] for of in parts}}
    names = [f"{there[above]}/{folder}/{name}" for above, folder, name in parts]
    here, notes = present(root, names, file.name)
    rows = [(root / name, spelled[of[1]], domain, "", source) for name, of in zip(names, parts, strict=True)]
    return list(compress(rows, here.tolist())), notes


def _read_folders(
    root: Path, alternatives: Sequence[Folders], known: Sequence[str]
) -> tuple[list[Row], list[str], tuple[str, ...]]:
    """Return pictures of the first alternative that is there, its folders, and folders that are no known class."""
    for alternative in alternatives:
        sketches = [there for name in alternative.sketches if (there := _there(root, name))]
        photos = [there for name in alternative.photos if (there := _there(root, name))]
        if sketches and photos:
            break
    else:
        return [], [], ()
    rows: list[Row] = []
    strangers: dict[str, None] = {}
    domains: tuple[tuple[Domain, list[str]], ...] = (("sketch", sketches), ("photo", photos))
    for domain, folders in domains:
        for folder in folders:
            more, strange = class_rows(root / folder, domain, known=known)
            rows += more
            strangers |= dict.fromkeys(strange)
    return rows, [*sketches, *photos], tuple(strangers)


def _there(root: Path, folder: str) -> str | None:
    """Return a folder as it is named, or with or without SAKE's suffix `_ready`, whichever is there."""
    plain = folder.replace("_ready", "")
    return next((form for form in (folder, f"{plain}_ready", plain) if (root / form).is_dir()), None)
