"""DeepFashion In-Shop Clothes Retrieval, by the official list `list_eval_partition.txt`."""

from __future__ import annotations

from pathlib import Path

from inkseek.datasets.class_folders import own_folder
from inkseek.datasets.dataset import Dataset
from inkseek.datasets.file_lists import read_rows, relative_path
from inkseek.datasets.one_domain import one_domain
from inkseek.errors import InkseekError

_LIST = "list_eval_partition.txt"
_PARTS = ("train", "query", "gallery")


def open_in_shop(root: Path) -> Dataset:
    """Open In-Shop: a class is a clothing item; the items of `query` and `gallery` are unseen.

    Args:
        root: the folder with `img/` and the list, which may also be in `Eval/` or `Anno/`.

    Raises:
        InkseekError: the list is missing or broken, an item is both trained on and asked for, or no picture is there.
    """
    root = own_folder(root, ("In-shop", "In-shop Clothes Retrieval Benchmark"))
    file = next((root / f / _LIST for f in ("", "Eval", "Anno") if (root / f / _LIST).is_file()), root / _LIST)
    rows: list[tuple[str, str, str]] = []
    # The list begins with the number of pictures and a line of headings.
    for path, item, part in read_rows(file, ("path", "item_id", "evaluation_status"), skip=2):
        if part not in _PARTS:
            raise InkseekError(f"{file}: {path!r} is in {part!r}, not in one of {', '.join(_PARTS)}")
        rows.append((relative_path(path, file), item, part))
    seen = tuple(dict.fromkeys(item for _, item, part in rows if part == "train"))
    unseen = tuple(dict.fromkeys(item for _, item, part in rows if part != "train"))
    if both := set(seen) & set(unseen):
        raise InkseekError(f"{file}: item {min(both)!r} is trained on and asked for")
    pictures = next((root / f for f in ("", "Img") if (root / f / "img").is_dir()), root)
    return one_domain("in-shop", pictures, rows, seen=seen, unseen=unseen, listed_in=_LIST)
