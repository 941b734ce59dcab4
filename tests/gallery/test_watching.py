"""A watched folder, on the real file system: what comes, moves, goes and breaks is followed until told to stop."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inkseek.errors import InkseekError
from inkseek.gallery.indexing import Report
from inkseek.gallery.search import Gallery, open_gallery
from inkseek.gallery.watching import watch
from inkseek.models.bundle import Model

Draw = Callable[[Path, int], list[Path]]
PATIENCE = 60.0


class Watched:
    """A gallery that follows a folder in a thread of its own, and what it told."""

    def __init__(self, gallery: Gallery, folder: Path, every: float | None) -> None:
        self.gallery, self.folder = gallery, folder
        self.told: queue.Queue[Report | InkseekError] = queue.Queue()
        self.stop = threading.Event()
        options = {"before": gallery.add(folder), "stop": self.stop, "every": every}
        told = {"indexed": self.told.put, "failed": self.told.put}
        self.thread = threading.Thread(target=watch, args=(gallery, folder), kwargs=options | told)
        self.thread.start()

    def report(self) -> Report:
        told = self.told.get(timeout=PATIENCE)
        assert isinstance(told, Report), told
        return told

    def names(self) -> set[str]:
        store = self.gallery.store
        return {picture.path.name for picture in store.pictures(store.ids().tolist())}


@pytest.fixture(params=[None, 0.05], ids=["told by the system", "looking every so often"])
def watched(request: pytest.FixtureRequest, tmp_path: Path, draw: Draw, frozen_model: Model) -> Iterator[Watched]:
    if request.param is None:
        pytest.importorskip("watchfiles", reason="the extra 'watch' is not installed")
    draw(tmp_path / "pictures", 3)
    gallery = open_gallery(tmp_path / "g.db")
    gallery.add(tmp_path / "pictures", frozen_model)
    watching = Watched(gallery, tmp_path / "pictures", request.param)
    yield watching
    watching.stop.set()
    watching.thread.join(PATIENCE)
    assert not watching.thread.is_alive()


def test_what_changes_is_followed(watched: Watched, tmp_path: Path, draw: Draw) -> None:
    folder = watched.folder
    # Drawn beside and moved in, so that a file appears whole.
    new = draw(tmp_path / "beside", 4)[3]
    new.rename(folder / "new.png")
    assert watched.report().embedded == 1
    assert watched.names() == {"circle-0.png", "square-1.png", "cross-2.png", "new.png"}

    (folder / "sub").mkdir()
    (folder / "new.png").rename(folder / "sub" / "moved.png")
    report = watched.report()
    assert (report.embedded, report.reused, report.removed) == (0, 1, 1)

    (tmp_path / "torn.jpg").write_bytes(b"no picture")
    (tmp_path / "torn.jpg").rename(folder / "torn.jpg")
    assert [file.path.name for file in watched.report().unreadable] == ["torn.jpg"]

    shutil.rmtree(folder / "sub")
    assert watched.report().removed == 1
    assert watched.names() == {"circle-0.png", "square-1.png", "cross-2.png"}


def test_a_folder_that_goes_away_loses_no_picture(watched: Watched, tmp_path: Path) -> None:
    for path in watched.folder.iterdir():
        path.rename(tmp_path / path.name)
    told = watched.told.get(timeout=PATIENCE)
    while isinstance(told, Report):  # a pass that came while they were going
        told = watched.told.get(timeout=PATIENCE)
    assert "holds no pictures" in str(told)
    assert watched.names()


def test_what_changed_before_the_watch_began_is_seen(tmp_path: Path, draw: Draw, frozen_model: Model) -> None:
    pytest.importorskip("watchfiles", reason="the extra 'watch' is not installed")
    draw(tmp_path / "pictures", 2)
    gallery = open_gallery(tmp_path / "g.db")
    before = gallery.add(tmp_path / "pictures", frozen_model)
    draw(tmp_path / "pictures", 3)
    stop = threading.Event()
    seen: list[Report] = []

    def indexed(report: Report) -> None:
        seen.append(report)
        stop.set()

    watch(
        gallery,
        tmp_path / "pictures",
        before=before,
        stop=stop,
        indexed=indexed,
        failed=lambda error: pytest.fail(str(error)),
    )
    assert [report.embedded for report in seen] == [1]
