"""Small trees of empty files: layouts are recognised by names alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Make files below a folder of the test's own; a file is empty, or holds the text that it is given by keyword."""

    def make(*names: str, **texts: str) -> Path:
        root = tmp_path / "root"
        root.mkdir(exist_ok=True)
        for name, text in {**dict.fromkeys(names, ""), **texts}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        return root

    return make
