"""Names of files as text, whatever bytes they are."""

from __future__ import annotations

import os
from pathlib import Path


def text_of(path: Path) -> str:
    """Return a path as text even where a file's name is not."""
    return os.fsencode(path).decode("utf-8", "replace")
