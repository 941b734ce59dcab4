"""Cars196 (Stanford Cars): the original `cars_annos.mat`, the devkit's annotations, or class folders."""

from __future__ import annotations

from pathlib import Path

from inkseek.datasets.class_folders import class_rows, left_out, own_folder
from inkseek.datasets.dataset import Dataset, every_fifth
from inkseek.datasets.file_lists import relative_path
from inkseek.datasets.items import Items, Row
from inkseek.datasets.mat_files import fields, read_mat
from inkseek.datasets.one_domain import one_domain
from inkseek.datasets.records import DATASET_RECORDS
from inkseek.errors import InkseekError

_NAME = "cars196"
# Annotations of the devkit and the folder of their pictures. Test labels came later, in a file of their own.
_DEVKIT = (("cars_train_annos.mat", "cars_train"), ("cars_test_annos_withlabels.mat", "cars_test"))


def open_cars(root: Path) -> Dataset:
    """Open Cars196: classes 1-98 are seen, 99-196 unseen, whatever the annotations say of training and test.

    Args:
        root: holds `cars_annos.mat` and `car_ims/`; or the devkit's annotations (in `devkit/` too), `cars_train/` and
            `cars_test/`; or class folders, at once or in `train/` and `test/`.

    Raises:
        InkseekError: none of these, annotations that are broken, or no picture is there.
    """
    own = own_folder(root, ("cars196", "stanford_cars"))
    devkit = [(_annotations(own, file), folder) for file, folder in _DEVKIT]
    if (own / "cars_annos.mat").is_file():
        rows = _read(own / "cars_annos.mat", "relative_im_path", "")
        return _by_list(own, rows, "cars_annos.mat")
    if any(file.is_file() for file, _ in devkit):
        rows = [row for file, folder in devkit for row in _read(file, "fname", f"{folder}/")]
        return _by_list(own, rows, " and ".join(file.name for file, _ in devkit))
    return _by_folder(own)


def _annotations(root: Path, name: str) -> Path:
    return next((root / f / name for f in ("", "devkit") if (root / f / name).is_file()), root / name)


def _read(file: Path, path_field: str, above: str) -> list[tuple[str, int]]:
    rows = []
    for path, number in fields(read_mat(file, "annotations"), (path_field, "class"), file):
        if not number.isdecimal() or not 1 <= int(number) <= 196:
            raise InkseekError(f"{file}: {path!r} is of class {number}, which is none of 1 to 196")
        rows.append((above + relative_path(path, file), int(number)))
    return rows


def _by_list(root: Path, rows: list[tuple[str, int]], listed_in: str) -> Dataset:
    record = DATASET_RECORDS[_NAME]
    names = (*record.seen, *record.unseen)
    named = [(path, names[number - 1], "") for path, number in rows]
    return one_domain(_NAME, root, named, seen=record.seen, unseen=record.unseen, listed_in=listed_in)


def _by_folder(root: Path) -> Dataset:
    record = DATASET_RECORDS[_NAME]
    names = (*record.seen, *record.unseen)
    folders = [f for f in ("train", "test") if (root / f).is_dir()] or ["."]
    rows: list[Row] = []
    strangers: list[str] = []
    for folder in folders:
        more, strange = class_rows(root / folder, "photo", known=names)
        rows += more
        strangers += strange
    if not rows:
        raise InkseekError(f"{root}: expected cars_annos.mat, the devkit's annotations, or a folder a class")
    return Dataset(
        name=_NAME,
        root=root,
        items=Items.from_rows(rows, names),
        seen=record.seen,
        unseen=record.unseen,
        pseudo_unseen=every_fifth(record.seen),
        layout=f"class folders in {', '.join(folders)}",
        notes=left_out(strangers),
    )
