"""Stanford Online Products, by the official lists `Ebay_train.txt` and `Ebay_test.txt`."""

from __future__ import annotations

from pathlib import Path

from inkseek.datasets.class_folders import own_folder
from inkseek.datasets.dataset import Dataset
from inkseek.datasets.file_lists import read_rows, relative_path
from inkseek.datasets.one_domain import one_domain
from inkseek.errors import InkseekError

_COLUMNS = ("#image_id", "#class_id", "#super_class_id", "path")


def open_sop(root: Path) -> Dataset:
    """Open Stanford Online Products: a class is a product; the products of `Ebay_test.txt` are unseen.

    Args:
        root: the folder `Stanford_Online_Products` or its parent.

    Raises:
        InkseekError: a list is missing or broken, a product is in both, or no picture is there.
    """
    own = own_folder(root, ("Stanford_Online_Products",))
    rows: list[tuple[str, str, str]] = []
    splits: list[tuple[str, ...]] = []
    for name in ("Ebay_train.txt", "Ebay_test.txt"):
        part = [
            (relative_path(path, own / name), product, "")
            for _, product, _, path in read_rows(own / name, _COLUMNS, skip=1)
        ]
        splits.append(tuple(dict.fromkeys(product for _, product, _ in part)))
        rows += part
    seen, unseen = splits
    if both := set(seen) & set(unseen):
        raise InkseekError(f"{own}: product {min(both, key=int)} is in Ebay_train.txt and in Ebay_test.txt")
    return one_domain("sop", own, rows, seen=seen, unseen=unseen, listed_in="Ebay_train.txt and Ebay_test.txt")
