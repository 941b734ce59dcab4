"""Embeddings in which a sketch lands next to its photo: learn them, measure them, search by drawing.

Importing this package loads nothing heavy: its public names are resolved on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inkseek.evaluation.evaluate import evaluate as evaluate
    from inkseek.gallery.search import open_gallery as open_gallery
    from inkseek.models.bundle import load as load

__version__ = "0.1.0"

_WHERE = {
    "evaluate": "inkseek.evaluation.evaluate",
    "load": "inkseek.models.bundle",
    "open_gallery": "inkseek.gallery.search",
}

__all__ = ["__version__", "evaluate", "load", "open_gallery"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'inkseek' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return __all__
