"""A gallery into another place, vectors and thumbnails and all: from SQLite into Milvus, and back."""

from __future__ import annotations

from inkseek.errors import InkseekError
from inkseek.gallery.backend import Records
from inkseek.gallery.indexing import Progress
from inkseek.gallery.search import Gallery
from inkseek.gallery.store import Entry

# Pictures that are on their way at once: 10 MB or so.
_BLOCK = 256


def copy_gallery(source: Gallery, target: Gallery, progress: Progress | None = None) -> int:
    """Put every picture of a gallery into another one, without a model, and return how many.

    What the target has under the same path is replaced; what else it has stays. Doing it again changes nothing, so a
    copy that was interrupted is simply started again.

    Args:
        source: only read.
        target: made where there is none; otherwise one that the same model has made.
        progress: called with (pictures done, pictures to do).

    Raises:
        InkseekError: the source is not there or empty, another model made the target, or it cannot be written.
    """
    records = source.store
    store = _ready(source, target)
    for folder, attribution in records.folders.items():
        store.remember_folder(folder, attribution)
    ids = records.ids().tolist()
    for start in range(0, len(ids), _BLOCK):
        pictures = records.pictures(ids[start : start + _BLOCK])
        contents = records.contents(list({picture.sha256 for picture in pictures}))
        # What another process has removed meanwhile is not there any more.
        store.add(
            Entry(picture.path, picture.stamp, picture.sha256, contents[picture.sha256])
            for picture in pictures
            if picture.sha256 in contents
        )
        if progress is not None:
            progress(min(start + _BLOCK, len(ids)), len(ids))
    return len(ids)


def _ready(source: Gallery, target: Gallery) -> Records:
    record = source.record
    store = target.create()
    if (theirs := store.model) is None:
        store.remember_model(record)
    elif theirs.fingerprint != record.fingerprint:
        raise InkseekError(
            f"{target.name} was made by another model (fingerprint {theirs.fingerprint[:12]}) than {source.name} "
            f"({record.fingerprint[:12]}); copy into a new one"
        )
    return store
