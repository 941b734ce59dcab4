"""The folders that a search can be narrowed to. A request names one by its key, so no path ever comes from outside."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from pathlib import Path

from inkseek.gallery.search import Gallery
from inkseek.server.messages import Folder
from inkseek.server.text import text_of

MOST_FOLDERS = 1000


class Folders:
    """A gallery's folders, listed again when it has changed.

    Args:
        gallery: whose folders they are.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._lock = threading.Lock()
        self._revision: object = None
        self._paths: dict[str, Path] = {}
        self._listed: list[Folder] = []

    def list(self) -> list[Folder]:
        """Return the indexed folders and those below them, by name; of very many, the ones nearest to the top."""
        with self._lock:
            revision = self._gallery.store.revision
            if revision != self._revision:
                self._read()
                self._revision = revision
            return self._listed

    def path(self, key: str) -> Path | None:
        """Return the folder of a key; None when there is no such folder."""
        if key not in self._paths:
            self.list()
        return self._paths.get(key)

    def _read(self) -> None:
        store = self._gallery.store
        roots = sorted(store.folders, key=lambda folder: len(folder.parts))
        counts: Counter[tuple[Path, Path]] = Counter()
        for folder, count in self._gallery.folders.items():
            # One indexed folder may lie in another; the outermost gives the name.
            root = next((root for root in roots if folder.is_relative_to(root)), None)
            if root is not None:
                for above in (folder, *folder.parents):
                    counts[above, root] += count
                    if above == root:
                        break
        nearest = sorted(counts, key=lambda pair: len(pair[0].parts) - len(pair[1].parts))[:MOST_FOLDERS]
        self._paths = {_key(path): path for path, _ in nearest}
        listed = [
            Folder(key=_key(path), name=text_of(path.relative_to(root.parent)), count=counts[path, root])
            for path, root in nearest
        ]
        self._listed = sorted(listed, key=lambda folder: folder.name)


def _key(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
