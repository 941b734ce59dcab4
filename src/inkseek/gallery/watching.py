"""A gallery that follows its folder: whenever something changes below it, or every so often, it is indexed again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from inkseek.errors import InkseekError
from inkseek.gallery.indexing import Report
from inkseek.gallery.search import Gallery
from inkseek.images.reading import PICTURE_SUFFIXES

# Files arrive in bursts (a copied folder, a camera's card): indexing waits for a pause this long, but not for ever.
_PAUSE_MS = 500
_LONGEST_WAIT_MS = 5000


def watch(
    gallery: Gallery,
    folder: Path,
    *,
    before: Report,
    stop: threading.Event,
    every: float | None = None,
    indexed: Callable[[Report], None],
    failed: Callable[[InkseekError], None],
) -> None:
    """Index a folder again after each change below it, until told to stop.

    A pass looks at every file's size and time of change and opens what is new, so nothing depends on the events being
    complete.

    Args:
        gallery: has indexed the folder before.
        folder: with all its subfolders.
        before: what that did.
        stop: ends the watch when set.
        every: look every so many seconds instead of waiting for the system to tell of changes, which it does not do
            for most network drives.
        indexed: told what a pass did, when it did anything.
        failed: told why a pass was not possible, for example while the folder is not mounted; the watch goes on.

    Raises:
        InkseekError: the system cannot watch this folder.
    """
    unreadable = before.unreadable
    for _ in _changes(folder, stop) if every is None else _ticks(every, stop):
        try:
            report = gallery.add(folder)
        except InkseekError as error:
            failed(error)
            continue
        if report.embedded or report.reused or report.removed or report.unreadable != unreadable:
            indexed(report)
        unreadable = report.unreadable


def _ticks(seconds: float, stop: threading.Event) -> Iterator[None]:
    while not stop.wait(seconds):
        yield


def _changes(folder: Path, stop: threading.Event) -> Iterator[None]:
    try:
        import watchfiles
    except ImportError:
        raise InkseekError(
            "watching needs an extra: pip install 'inkseek[watch]'; or look every so often with --every SECONDS"
        ) from None

    def of_account(_change: watchfiles.Change, path: str) -> bool:
        # A folder has no suffix, and one that goes takes its pictures along.
        suffix = Path(path).suffix.lower()
        return suffix in PICTURE_SUFFIXES or not suffix

    # The first time-out stands for what has changed since the folder was indexed and before it was watched.
    begun = False
    try:
        for changes in watchfiles.watch(
            folder,
            watch_filter=of_account,
            debounce=_LONGEST_WAIT_MS,
            step=_PAUSE_MS,
            stop_event=stop,
            rust_timeout=_PAUSE_MS,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        ):
            if changes or not begun:
                begun = True
                yield
    except (OSError, RuntimeError) as error:
        raise InkseekError(f"{folder} cannot be watched ({error}); look every so often with --every SECONDS") from None
