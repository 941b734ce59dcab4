"""The folder for everything that can be made again: the rendered emoji set, embeddings."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return the folder that `INKSEEK_CACHE` names, or the user's cache folder."""
    chosen = os.environ.get("INKSEEK_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("inkseek")
