"""Sketchy's folder layout: {sketch,photo}/tx_000000000000/<class>/, a sketch named after its photo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from inkseek.datasets.class_folders import class_folders, left_out
from inkseek.datasets.class_names import spelled_as
from inkseek.datasets.dataset import Dataset
from inkseek.datasets.items import Items, Row
from inkseek.datasets.records import DATASET_RECORDS, pseudo_unseen
from inkseek.errors import InkseekError
from inkseek.images.preprocessing import Domain
from inkseek.images.reading import find_pictures

_VARIANTS = ("tx_000000000000_ready", "tx_000000000000", "")


def open_sketchy_layout(name: str, root: Path) -> Dataset:
    """Open a data set that lies in this layout under its record's class split.

    Raises:
        InkseekError: what `read_sketchy_layout` finds wrong, or two folders that are one class.
    """
    record = DATASET_RECORDS[name]
    items = read_sketchy_layout(root)
    spelled = spelled_as(items.classes, (*record.seen, *record.unseen), str(root))
    return Dataset(
        name=name,
        root=root,
        items=replace(items, classes=tuple(spelled.get(folder, folder) for folder in items.classes)),
        seen=record.seen,
        unseen=record.unseen,
        pseudo_unseen=pseudo_unseen(name),
        layout=layout_of(root),
        notes=left_out([folder for folder in items.classes if folder not in spelled]),
    )


def layout_of(root: Path) -> str:
    """Say which folders of a root in this layout are read."""
    folders = _domain_folder(root, "sketch"), _domain_folder(root, "photo")
    return f"folders {', '.join(folder.relative_to(root).as_posix() for folder in folders)}"


def read_sketchy_layout(root: Path) -> Items:
    """Read every class below `root`, which may be Sketchy's own folder or its `256x256`.

    A sketch `n02139199_11487-4.png` belongs to the photo `n02139199_11487.jpg` of its class: both get one instance.
    Where no sketch of a data set finds its photo (QuickDraw's drawings have none), nothing is paired.

    Raises:
        InkseekError: no such folder, not this layout, or a class without sketches or without photos.
    """
    if not root.is_dir():
        raise InkseekError(f"{root}: no such folder; give the data set's folder with --root or data.root")
    folders: dict[Domain, Path] = {"sketch": _domain_folder(root, "sketch"), "photo": _domain_folder(root, "photo")}
    classes = sorted({name for folder in folders.values() for name in class_folders(folder)})
    if not classes:
        raise InkseekError(f"{root}: the folders hold no class; expected sketch/.../<class>/*.png")
    files: list[tuple[Path, str, Domain]] = []
    for domain, folder in folders.items():
        for name in classes:
            found = list(find_pictures(folder / name))
            if not found:
                raise InkseekError(f"{folder / name}: class {name!r} has no {domain}; add some or remove the class")
            files += [(path, name, domain) for path in found]
    photos = {(name, path.stem) for path, name, domain in files if domain == "photo"}
    sketches_paired = any(domain == "sketch" and (name, _photo_stem(path)) in photos for path, name, domain in files)
    rows: list[Row] = []
    for path, name, domain in files:
        stem = path.stem if domain == "photo" else _photo_stem(path)
        instance = stem if sketches_paired and (name, stem) in photos else ""
        rows.append((path, name, domain, instance, ""))
    return Items.from_rows(rows, classes)


def _photo_stem(sketch: Path) -> str:
    return sketch.stem.rpartition("-")[0] or sketch.stem


def _domain_folder(root: Path, domain: Domain) -> Path:
    for base in (root / "256x256", root):
        for variant in _VARIANTS:
            folder = base / domain / variant if variant else base / domain
            if folder.is_dir():
                return folder
    raise InkseekError(
        f"{root}: no {domain} folder; expected 256x256/{domain}/tx_000000000000/<class>/ or {domain}/<class>/"
    )
