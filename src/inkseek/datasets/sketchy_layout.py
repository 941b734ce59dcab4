"""Sketchy's folder layout: {sketch,photo}/tx_000000000000/<class>/, a sketch named after its photo."""

from __future__ import annotations

from pathlib import Path

from inkseek.datasets.items import Items
from inkseek.errors import InkseekError
from inkseek.images.preprocessing import Domain
from inkseek.images.reading import find_pictures

_VARIANTS = ("tx_000000000000_ready", "tx_000000000000", "")


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
    classes = sorted(
        {
            entry.name
            for folder in folders.values()
            for entry in folder.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        }
    )
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
    rows = []
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
