"""Your own pictures: folders of sketches and photos, class folders of photos alone, or a CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from inkseek.datasets.class_folders import class_folders, class_rows, own_folder
from inkseek.datasets.class_names import spelled_as
from inkseek.datasets.dataset import Dataset, every_fifth, halves
from inkseek.datasets.file_lists import read_lines, relative_path
from inkseek.datasets.items import Items, Row
from inkseek.datasets.sketchy_layout import layout_of, read_sketchy_layout
from inkseek.errors import InkseekError, nearest

_CSV = "items.csv"
_UNSEEN = "unseen.txt"
_COLUMNS = ("path", "label", "domain", "instance", "split")
_SPLITS = {
    "seen": "seen",
    "train": "seen",
    "pseudo-unseen": "pseudo-unseen",
    "val": "pseudo-unseen",
    "unseen": "unseen",
    "test": "unseen",
}


def open_own(root: Path) -> Dataset:
    """Open pictures of one's own.

    Three forms are understood:

    - folders `sketch/<class>/` and `photo/<class>/` (or Sketchy's own), paired where a sketch is named after its photo;
    - folders `<class>/` of photos, which look for each other;
    - a CSV, given itself or as `items.csv` in the folder, with the columns `path` (relative to the CSV) and `label`,
      and, where wanted, `domain` (`sketch` or `photo`, the default), `instance`, and `split` (`seen`, `pseudo-unseen`
      or `unseen`; `train`, `val` and `test` mean the same), which is of the class.

    Where the CSV does not say so, the unseen classes are those that the file `unseen.txt` names, one a line; without
    it the second half in sorted order. Every fifth seen class is pseudo-unseen.

    Raises:
        InkseekError: nothing of this, or a CSV that is broken: the line that does not fit is named.
    """
    if root.is_file():
        return _open_csv(root)
    root = own_folder(root, ())
    if (root / _CSV).is_file():
        return _open_csv(root / _CSV)
    if any((root / name).is_dir() for name in ("256x256", "sketch", "photo")):
        return _split(root, read_sketchy_layout(root), {}, layout_of(root))
    names = class_folders(root)
    rows, _ = class_rows(root, "photo", known=names)
    if not rows:
        raise InkseekError(f"{root}: no picture is here; expected sketch/ and photo/, class folders, or {_CSV}")
    classes = sorted({name for _, name, _, _, _ in rows})
    return _split(root, Items.from_rows(rows, classes), {}, "class folders of photos")


def _open_csv(file: Path) -> Dataset:
    root = file.parent
    lines = read_lines(file)
    reader = csv.DictReader(lines, strict=True)
    columns = [column.strip() for column in reader.fieldnames or ()]
    if missing := [column for column in _COLUMNS[:2] if column not in columns]:
        raise InkseekError(f"{file}: the column {missing[0]!r} is missing; the first line names {', '.join(_COLUMNS)}")
    reader.fieldnames = columns
    rows: list[Row] = []
    splits: dict[str, str] = {}
    try:
        for number, values in enumerate(reader, start=2):
            row, split = _csv_row(root, values, f"{file}: line {number}")
            rows.append(row)
            if splits.setdefault(row[1], split) != split:
                raise InkseekError(
                    f"{file}: line {number}: class {row[1]!r} is {split!r} here, {splits[row[1]]!r} above"
                )
    except csv.Error as error:
        raise InkseekError(f"{file}: line {reader.line_num}: not CSV ({error})") from None
    if not rows:
        raise InkseekError(f"{file}: lists nothing")
    classes = sorted(splits)
    spelled_as(classes, classes, str(file))
    if "" in splits.values() and set(splits.values()) != {""}:
        unsaid = next(name for name in classes if not splits[name])
        raise InkseekError(f"{file}: class {unsaid!r} has no split although others have one")
    given = splits if "" not in splits.values() else {}
    return _split(root, Items.from_rows(rows, classes), given, f"list {file.name}")


def _csv_row(root: Path, values: Mapping[str | None, object], where: str) -> tuple[Row, str]:
    if None in values or None in values.values():
        raise InkseekError(f"{where} has more or fewer columns than the first line")
    text = {str(column): str(value).strip() for column, value in values.items()}
    if not text["path"] or not text["label"]:
        raise InkseekError(f"{where} has no path or no label")
    path = root / relative_path(text["path"], where)
    if not path.is_file():
        raise InkseekError(f"{where}: {path}: no such file")
    domain = text.get("domain") or "photo"
    if domain not in ("sketch", "photo"):
        raise InkseekError(f"{where}: the domain is sketch or photo, not {domain!r}")
    split = text.get("split", "")
    if split and split not in _SPLITS:
        raise InkseekError(f"{where}: no split is named {split!r}{nearest(split, _SPLITS)}")
    row: Row = (path, text["label"], "sketch" if domain == "sketch" else "photo", text.get("instance", ""), "")
    return row, _SPLITS.get(split, "")


def _split(root: Path, items: Items, splits: Mapping[str, str], layout: str) -> Dataset:
    classes = tuple(sorted(items.classes))
    if len(classes) < 2:
        raise InkseekError(f"{root}: only one class is here ({classes[0]}), so none could be unseen; two are needed")
    if splits:
        seen = tuple(name for name in classes if splits[name] != "unseen")
        unseen = tuple(name for name in classes if splits[name] == "unseen")
        held_out = tuple(name for name in seen if splits[name] == "pseudo-unseen") or every_fifth(seen)
    elif (root / _UNSEEN).is_file():
        names = read_lines(root / _UNSEEN)
        spelled = spelled_as(names, classes, str(root / _UNSEEN))
        if unknown := [name for name in names if name not in spelled]:
            raise InkseekError(f"{root / _UNSEEN}: no class is named {unknown[0]!r}{nearest(unknown[0], classes)}")
        unseen = tuple(spelled.values())
        seen = tuple(name for name in classes if name not in unseen)
        held_out = every_fifth(seen)
    else:
        seen, unseen = halves(classes)
        held_out = every_fifth(seen)
    for what, of in (("seen", seen), ("unseen", unseen)):
        if not of:
            raise InkseekError(f"{root}: the split leaves no {what} class")
    return Dataset("own", root, items, seen, unseen, held_out, layout=layout)
