"""`log.jsonl`: what a run was like, one line a logged step or validation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from inkseek.errors import InkseekError


class Log:
    """A run's log file, of which every line is written at once and whole.

    Args:
        path: the file.
        keep: lines after this step are dropped: a resumed run writes them again.

    Raises:
        InkseekError: here and in `write`, the file cannot be written or the disk is full.
    """

    def __init__(self, path: Path, *, keep: int) -> None:
        self.path = path
        rows = [row for row in read_log(path) if row["step"] <= keep]
        beside = path.with_suffix(".part")
        with _said(path):
            beside.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            beside.replace(path)

    def write(self, step: int, row: Mapping[str, float]) -> None:
        """Append one line."""
        with _said(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **row}) + "\n")


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InkseekError(
            f"{path}: the log cannot be written ({error.strerror}); the last checkpoint stands: make room, then go on "
            "with --resume"
        ) from None


def read_log(path: Path) -> list[dict[str, float]]:
    """Return the log's rows; a last line that a kill cut off is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and "step" in row:
            rows.append(row)
    return rows
