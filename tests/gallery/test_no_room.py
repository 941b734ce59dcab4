"""A disk without room and folders without permission: one clear line, and nothing that was committed is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inkseek.errors import InkseekError
from inkseek.gallery.search import open_gallery
from inkseek.models.bundle import Model

Draw = Callable[[Path, int], list[Path]]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no resource limits or permissions of this kind there")

# Permissions do not bind the superuser, so a process that is one gives that up; what it needs is imported before.
AS_NOBODY = """
import os, sys
from pathlib import Path
from inkseek.errors import InkseekError
from inkseek.gallery.search import open_gallery
home = Path(sys.argv[1])
open_gallery(home / "g.db").add(home / "pictures")
home.joinpath("g.db").chmod(0o444)
for closed in (home, home / "pictures" / "closed"):
    closed.chmod(0o555 if closed == home else 0)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for what in ("g.db", "new.db"):
    try:
        open_gallery(home / what).add(home / "pictures", home / "model")
        print("no error")
    except InkseekError as error:
        print(error)
"""


def test_a_full_disk_stops_indexing_and_the_next_run_goes_on(tmp_path: Path, draw: Draw, frozen_model: Model) -> None:
    import resource

    gallery = open_gallery(tmp_path / "g.db")
    draw(tmp_path / "pictures", 12)
    gallery.add(tmp_path / "pictures", frozen_model, batch_size=4)
    gallery.close()
    before = {hit: hit.path for hit in open_gallery(gallery.path).similar(1, k=99)}
    draw(tmp_path / "pictures" / "more", 60)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may outgrow what the gallery has now, so the write-ahead log comes to its end within a few batches.
    resource.setrlimit(resource.RLIMIT_FSIZE, (gallery.path.stat().st_size, hard))
    gallery = open_gallery(gallery.path)
    try:
        with pytest.raises(InkseekError, match=r"g\.db: the disk is full or fails; what was committed before") as error:
            gallery.add(tmp_path / "pictures", batch_size=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(error.value)
    kept = len(gallery)
    gallery.close()
    again = open_gallery(gallery.path)
    assert 12 <= kept == len(again) < 72
    held = again.store.pictures(again.store.ids().tolist())
    assert set(before.values()) <= {picture.path for picture in held}
    assert all(again.store.thumbnail(picture.id) for picture in held)
    report = again.add(tmp_path / "pictures")
    assert (report.unchanged, report.unchanged + report.embedded + report.reused) == (kept, 72)


@pytest.fixture
def open_to_all(frozen_bundle: Path, draw: Draw) -> Iterator[Path]:
    """A folder that another user can get at: pytest's own are for its user alone."""
    home = Path(tempfile.mkdtemp(prefix="inkseek-"))
    shutil.copytree(frozen_bundle, home / "model")
    draw(home / "pictures", 3)
    draw(home / "pictures" / "closed", 1)
    for path in (home, *home.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield home
    for path in (home, home / "pictures" / "closed"):
        path.chmod(0o755)
    shutil.rmtree(home)


def test_what_may_not_be_written_or_entered_is_said(open_to_all: Path) -> None:
    gallery = open_gallery(open_to_all / "g.db")
    gallery.add(open_to_all / "pictures", open_to_all / "model")
    assert len(gallery) == 4
    gallery.close()
    content = gallery.path.read_bytes()
    command = [sys.executable, "-c", AS_NOBODY, str(open_to_all)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    old, new = done.stdout.splitlines()
    assert "g.db: the file cannot be written; check the permissions" in old
    assert "new.db: the file cannot be opened or made; check the permissions" in new
    assert gallery.path.read_bytes() == content
    assert not (open_to_all / "new.db").exists()


def test_a_folder_that_cannot_be_entered_keeps_its_pictures(
    tmp_path: Path, draw: Draw, frozen_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "pictures", 2)
    draw(tmp_path / "pictures" / "closed", 3)
    gallery = open_gallery(tmp_path / "g.db")
    gallery.add(tmp_path / "pictures", frozen_model)
    (tmp_path / "pictures" / "closed").chmod(0)
    if os.geteuid() == 0:  # whom no permission binds
        listed, looked_at = os.scandir, Path.stat

        def scandir(path: Path) -> object:
            if path.name == "closed":
                raise PermissionError(13, "Permission denied")
            return listed(path)

        def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
            if path.parent.name == "closed":
                raise PermissionError(13, "Permission denied")
            return looked_at(path, follow_symlinks=follow_symlinks)

        monkeypatch.setattr(os, "scandir", scandir)
        monkeypatch.setattr(Path, "stat", stat)
    report = gallery.add(tmp_path / "pictures")
    assert [(file.path.name, file.reason) for file in report.unreadable] == [("closed", "Permission denied")]
    assert (report.unchanged, report.removed, len(gallery)) == (2, 0, 5)
    monkeypatch.undo()
    (tmp_path / "pictures" / "closed").chmod(0o755)
