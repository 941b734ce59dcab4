"""A smaller copy of what was downloaded: resumable, originals untouched, nothing hostile unpacked."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkseek.datasets import archives
from inkseek.datasets.archives import members
from inkseek.datasets.preparing import Prepared, prepare
from inkseek.errors import InkseekError


def picture(width: int, height: int, suffix: str = ".png", seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (height // 4, width // 4, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((width, height)).save(out, Image.registered_extensions()[suffix])
    return out.getvalue()


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: dict[str, bytes], *more: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in more:
            archive.addfile(info)
    return path


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    root = tmp_path / "downloads"
    (root / "photo" / "cow").mkdir(parents=True)
    (root / "photo" / "cow" / "large.jpg").write_bytes(picture(400, 200, ".jpg"))
    (root / "photo" / "cow" / "small.png").write_bytes(picture(40, 60))
    (root / "list.txt").write_text("photo/cow/large.jpg 0\n")
    (root / "mask.pickle").write_bytes(b"never copied")
    (root / ".DS_Store").write_bytes(b"never copied")
    zipped(root / "sketches.zip", {"sketch/cow/1.png": picture(128, 128), "__MACOSX/._1.png": b"", "run.sh": b"#!"})
    tarred(root / "more.tar.gz", {"photo/bat/1.jpeg": picture(100, 300, ".jpeg"), "photo/bat/broken.jpg": b"JFIF"})
    return root


def test_everything_is_unpacked_and_made_smaller(downloads: Path, tmp_path: Path) -> None:
    before = contents(downloads)
    steps: list[tuple[int, int]] = []
    to = tmp_path / "small"
    done = prepare(downloads, to, size=64, progress=lambda read, total: steps.append((read, total)))
    assert contents(downloads) == before
    made = contents(to)
    assert set(made) == {
        "prepared.json",
        "list.txt",
        "photo/bat/1.jpeg",
        "photo/cow/large.jpg",
        "photo/cow/small.png",
        "sketch/cow/1.png",
    }
    sizes = {name: Image.open(to / name).size for name in made if name.endswith(("g", "G"))}
    assert sizes == {
        "photo/bat/1.jpeg": (64, 192),
        "photo/cow/large.jpg": (128, 64),
        "photo/cow/small.png": (40, 60),
        "sketch/cow/1.png": (64, 64),
    }
    assert made["photo/cow/small.png"] == before["photo/cow/small.png"]
    assert done.written == 5
    assert done.kept == 0
    ((path, reason),) = done.left_out
    assert path.endswith("more.tar.gz: photo/bat/broken.jpg")
    assert "not a picture" in reason
    reads = [read for read, _ in steps]
    assert reads == sorted(reads)
    assert steps[-1][0] == steps[-1][1]


def test_a_picture_keeps_what_it_shows(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    ramp = np.linspace(0, 255, 512)[None, :, None].repeat(256, 0).repeat(3, 2).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "in" / "ramp.png")
    prepare(tmp_path / "in", tmp_path / "out", size=32)
    with Image.open(tmp_path / "out" / "ramp.png") as made:
        np.testing.assert_allclose(np.asarray(made)[:, :, 0].mean(0), np.linspace(2, 253, 64), atol=3)


def test_a_second_run_does_what_is_new_alone(downloads: Path, tmp_path: Path) -> None:
    to = tmp_path / "small"
    prepare(downloads, to, size=64)
    made = {name: (to / name).stat().st_ino for name in contents(to)}
    (to / "photo" / "cow" / "large.jpg").unlink()
    (downloads / "photo" / "cow" / "new.jpg").write_bytes(picture(80, 80, ".jpg"))
    changed = downloads / "photo" / "cow" / "small.png"
    changed.write_bytes(picture(50, 50))
    os.utime(changed, ns=(10**18, 10**18))
    again = prepare(downloads, to, size=64)
    assert (again.written, again.kept) == (3, 3)
    assert Image.open(to / "photo" / "cow" / "small.png").size == (50, 50)
    for name in ("list.txt", "photo/bat/1.jpeg", "sketch/cow/1.png"):
        assert (to / name).stat().st_ino == made[name]


def test_an_archive_beside_what_was_unpacked_from_it_is_the_same(tmp_path: Path) -> None:
    root = tmp_path / "in"
    (root / "a").mkdir(parents=True)
    data = picture(40, 40)
    (root / "a" / "1.png").write_bytes(data)
    zipped(root / "a.zip", {"a/1.png": data, "a/2.png": picture(40, 40, seed=1)})
    assert prepare(root, tmp_path / "out", size=32).written == 2
    assert prepare(root, tmp_path / "out", size=32) == Prepared(0, 2, ())


def test_a_kill_leaves_whole_files_and_the_next_run_goes_on(tmp_path: Path) -> None:
    root, to = tmp_path / "in", tmp_path / "out"
    root.mkdir()
    for i in range(60):
        (root / f"{i:02}.png").write_bytes(picture(600, 600, seed=i))
    code = """
import sys
from pathlib import Path
from inkseek.datasets.preparing import prepare
prepare(Path(sys.argv[1]), Path(sys.argv[2]), size=500)
"""
    child = subprocess.Popen([sys.executable, "-c", code, str(root), str(to)])
    while child.poll() is None and len(list(to.glob("*.png"))) < 3:
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.wait()
    whole = list(to.glob("*.png"))
    for path in whole:
        with Image.open(path) as made:
            made.load()
            assert made.size == (500, 500)
    done = prepare(root, to, size=500)
    assert (done.written, done.kept) == (60 - len(whole), len(whole))
    assert not (to / ".partial").exists()


@pytest.mark.parametrize("name", ["../out.png", "/out.png", "a/../../out.png", "C:\\out.png", "..\\out.png"])
@pytest.mark.parametrize("form", ["x.zip", "x.tar", "x.tar.gz"])
def test_a_member_that_leads_out_is_refused(name: str, form: str, tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    (zipped if form.endswith("zip") else tarred)(root / form, {name: picture(8, 8)})
    with pytest.raises(InkseekError, match="leads out") as caught:
        prepare(root, tmp_path / "to" / "out", size=32)
    assert form in str(caught.value)
    assert not list(tmp_path.rglob("out.png"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.png")
    info.type, info.linkname = kind, "/etc/passwd"
    archive = tarred(tmp_path / "x.tar", {}, info)
    with pytest.raises(InkseekError, match=r"'a\.png' in it is a link or a device"):
        list(members(archive))


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("a.png")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(InkseekError, match="a link or a device"):
        list(members(tmp_path / "x.zip"))


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_ALWAYS_ALLOWED", 2**16)
    zeros = bytes(2**22)
    for archive in (zipped(tmp_path / "x.zip", {"a.txt": zeros}), tarred(tmp_path / "x.tgz", {"a.txt": zeros})):
        with pytest.raises(InkseekError, match="unpacks to more than 20 times its size"):
            [member.read() for member in members(archive)]
    monkeypatch.setattr(archives, "LARGEST_MEMBER", 2**20)
    with pytest.raises(InkseekError, match="unpacks to 4 MB"):
        list(members(tarred(tmp_path / "y.tar", {"a.txt": zeros})))


@pytest.mark.parametrize("kept", [0, 10, 600])
@pytest.mark.parametrize("form", ["x.zip", "x.tar", "x.tar.gz"])
def test_a_torn_archive_is_one_line(form: str, kept: int, tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    archive = (zipped if form.endswith("zip") else tarred)(root / form, {"a.png": picture(64, 64)})
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(InkseekError, match=f"{form}: cannot be unpacked") as caught:
        prepare(root, tmp_path / "out", size=32)
    assert "\n" not in str(caught.value)


def test_a_member_with_a_wrong_checksum_is_one_line(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    archive = root / "x.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("a.txt", "b" * 100)
    archive.write_bytes(archive.read_bytes().replace(b"bbbb", b"bbbc", 1))
    with pytest.raises(InkseekError, match=r"x\.zip: cannot be unpacked"):
        prepare(root, tmp_path / "out", size=32)


def test_other_archives_are_named(downloads: Path, tmp_path: Path) -> None:
    (downloads / "rendered_256x256.7z").write_bytes(b"7z")
    done = prepare(downloads, tmp_path / "small", size=64)
    assert any("rendered_256x256.7z" in path and "unpack it yourself" in reason for path, reason in done.left_out)


@pytest.mark.parametrize("place", [".", "inside", ".."])
def test_originals_are_never_in_the_way(place: str, downloads: Path) -> None:
    before = contents(downloads)
    with pytest.raises(InkseekError, match="must be outside"):
        prepare(downloads, downloads / place)
    assert contents(downloads) == before


def test_a_folder_with_something_else_is_left_alone(downloads: Path, tmp_path: Path) -> None:
    to = tmp_path / "mine"
    to.mkdir()
    (to / "thesis.txt").write_text("mine")
    with pytest.raises(InkseekError, match="not empty"):
        prepare(downloads, to)
    assert contents(to) == {"thesis.txt": b"mine"}
    prepare(downloads, tmp_path / "small", size=64)
    with pytest.raises(InkseekError, match="another --size"):
        prepare(downloads, tmp_path / "small", size=65)
    (tmp_path / "small" / "prepared.json").write_text("{")
    with pytest.raises(InkseekError, match="take another folder"):
        prepare(downloads, tmp_path / "small", size=64)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InkseekError, match="holds no picture"):
        prepare(tmp_path / "empty", tmp_path / "new")
    with pytest.raises(InkseekError, match="no such folder"):
        prepare(tmp_path / "none", tmp_path / "new")


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (elsewhere / "1.png").write_bytes(picture(8, 8))
    (root / "photo").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(root)
    assert prepare(root, tmp_path / "out", size=32).written == 1
    assert (tmp_path / "out" / "photo" / "1.png").is_file()
