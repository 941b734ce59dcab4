"""Names of files as text, whatever bytes they are."""

from __future__ import annotations

import os
from pathlib import Path

from inkseek.gallery.sources import address_of


def text_of(path: Path) -> str:
    """Return a path as text even where a file's name is not; an address as it is written."""
    return os.fsencode(address_of(path)).decode("utf-8", "replace")
