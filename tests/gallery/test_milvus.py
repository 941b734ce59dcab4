"""Milvus: what SQLite finds, Milvus finds; what is written stays; nothing is there twice. Real Milvus Lite."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inkseek.errors import InkseekError
from inkseek.gallery.backend import Records, Vectors
from inkseek.gallery.copying import copy_gallery
from inkseek.gallery.filters import Filter
from inkseek.gallery.milvus import IndexKind, MilvusCollection
from inkseek.gallery.milvus_store import MilvusStore
from inkseek.gallery.search import Gallery, open_gallery
from inkseek.gallery.store import Content, Entry, ModelRecord, Stamp
from inkseek.models.bundle import Model

pytest.importorskip("milvus_lite", reason="needs the extra `milvus`")

CIRCLE = [([10, 50, 90, 50, 10], [50, 10, 50, 90, 50])]
ODD = ["two words.png", "a'b\"c\\d.png", "line\nbreak.png", "ünï😀.png", "50%25.png", os.fsdecode(b"not-\xff-text.png")]


def draw(path: Path, seed: int) -> Path:
    """Write a picture of lines that the seed decides."""
    picture = Image.new("RGB", (300, 240), (250, 250, 240))
    points = [tuple(point) for point in np.random.default_rng(seed).integers(20, 220, (4, 2)).tolist()]
    ImageDraw.Draw(picture).line(points, fill=(20, 40 + seed, 120), width=12)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures and a copy of one, some in a folder whose neighbour's name starts as its own."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(12):
        draw(folder / ("sub", "sub2", "")[seed // 4] / f"{seed}.png", seed)
    (folder / "copy.png").write_bytes((folder / "sub/0.png").read_bytes())
    os.utime(folder / "copy.png", (10**9, 10**9))
    return folder


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory, folder: Path, frozen_model: Model) -> Iterator[Gallery]:
    """The folder in Milvus Lite; tests only read it."""
    gallery = open_gallery(MilvusCollection(str(tmp_path_factory.mktemp("milvus") / "g.db")))
    report = gallery.add(folder, frozen_model, batch_size=5)
    assert report.found == report.embedded + report.reused == 13
    yield gallery
    gallery.close()


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory, folder: Path, frozen_model: Model) -> Gallery:
    """The same folder in SQLite: the oracle."""
    gallery = open_gallery(tmp_path_factory.mktemp("sqlite") / "g.db")
    gallery.add(folder, frozen_model)
    return gallery


def ranking(gallery: Gallery, **options: object) -> list[tuple[float, Path]]:
    """What a drawing finds, with equal scores in the order of the paths."""
    hits = gallery.search(CIRCLE, **options)  # type: ignore[arg-type]
    return sorted(((round(hit.score, 5), hit.path) for hit in hits), key=lambda hit: (-hit[0], hit[1]))


def content(records: Records) -> dict[Path, tuple[Stamp, bytes, int, int, bytes | None]]:
    pictures = records.pictures(records.ids().tolist())
    assert len(pictures) == len(records)
    return {p.path: (p.stamp, p.sha256, p.width, p.height, records.thumbnail(p.id)) for p in pictures}


def test_finds_what_sqlite_finds(milvus: Gallery, sqlite: Gallery, folder: Path) -> None:
    assert len(milvus) == len(sqlite) == 13
    for only in (
        None,
        Filter(folder=folder / "sub"),
        Filter(folder=folder / "s"),
        Filter(min_side=240),
        Filter(min_side=241),
        Filter(newer=date(2002, 1, 1)),
        Filter(older=date(2002, 1, 1), folder=folder),
    ):
        assert ranking(milvus, k=50, only=only) == ranking(sqlite, k=50, only=only)
    assert len(ranking(milvus, k=50, only=Filter(folder=folder / "sub"))) == 4
    assert ranking(milvus, k=50, cutoff="auto") == ranking(sqlite, k=50, cutoff="auto")
    assert [hit.path for hit in milvus.search(CIRCLE, k=3)] == [hit.path for hit in sqlite.search(CIRCLE, k=3)]


def test_holds_what_sqlite_holds(milvus: Gallery, sqlite: Gallery) -> None:
    assert content(milvus.store) == content(sqlite.store)
    assert milvus.folders == sqlite.folders
    assert milvus.store.folders == sqlite.store.folders
    assert milvus.record.fingerprint == sqlite.record.fingerprint
    ids, vectors = milvus.store.vectors()
    paths = {picture.path: vector for picture, vector in zip(milvus.store.pictures(ids.tolist()), vectors, strict=True)}
    for picture in sqlite.store.pictures(sqlite.store.ids().tolist()):
        expected = sqlite.store.vector(picture.id)
        assert expected is not None
        np.testing.assert_allclose(paths[picture.path], expected, atol=1e-6)
    assert all(0 < i < 2**53 for i in ids)


def test_near_duplicates_fold_and_a_picture_is_left_out_of_what_is_like_it(milvus: Gallery, folder: Path) -> None:
    folded = milvus.search(CIRCLE, k=50, collapse=0.9999)
    (twin,) = [hit for hit in folded if hit.duplicates]
    assert {folder / "copy.png", folder / "sub/0.png"} == {
        twin.path,
        *(picture.path for picture in milvus.store.pictures(twin.duplicates)),
    }
    assert milvus.similar(twin.id, k=1)[0].id == twin.duplicates[0]


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    opened = open_gallery(MilvusCollection(str(tmp_path / "g.db")))
    yield opened
    opened.close()


def test_changed_moved_and_deleted_files_are_followed(gallery: Gallery, tmp_path: Path, frozen_model: Model) -> None:
    home = tmp_path / "pictures"
    paths = [draw(home / f"{seed}.png", seed) for seed in range(5)]
    for name in ODD:
        draw(home / name, 7)
    report = gallery.add(home, frozen_model, batch_size=3)
    assert len(gallery) == 11
    assert {path.name for path in content(gallery.store)} == {*ODD, *(path.name for path in paths)}
    assert len(gallery.search(CIRCLE, k=50, only=Filter(folder=home))) == 11
    again = gallery.add(home)
    assert (again.unchanged, again.embedded, again.reused) == (11, 0, 0)

    before = content(gallery.store)
    lost = before[paths[0]][1]
    paths[0].unlink()
    draw(paths[1], 99)
    paths[2].rename(home / "moved.png")
    for name in ODD:
        (home / name).unlink()
    report = gallery.add(home)
    assert (report.embedded, report.reused, report.removed) == (1, 1, 8)
    after = content(gallery.store)
    assert set(after) == {home / "moved.png", *paths[1:2], *paths[3:]}
    assert after[home / "moved.png"][1:] == before[paths[2]][1:]
    assert after[paths[1]][1] != before[paths[1]][1]
    assert not gallery.store.has_content(lost)
    assert not gallery.store.has_content(before[paths[1]][1])
    assert len(gallery.search(CIRCLE, k=50)) == 4


def test_is_there_again_after_closing_and_another_model_is_refused(
    tmp_path: Path, folder: Path, frozen_bundle: Path
) -> None:
    place = MilvusCollection(str(tmp_path / "g.db"), collection="holiday")
    assert place.open(create=False) is None
    with closing(open_gallery(place)) as gallery:
        with pytest.raises(InkseekError, match=r"--backend milvus --uri .* --collection holiday"):
            gallery.search(CIRCLE)
        gallery.add(folder, frozen_bundle)
        found = ranking(gallery)
    with closing(open_gallery(place)) as gallery:
        assert ranking(gallery) == found
        with pytest.raises(InkseekError, match="another process has"):
            _open_elsewhere(place)
        with pytest.raises(InkseekError, match=r"is not the model .*--backend milvus --uri .* --rebuild"):
            gallery.add(folder, "frozen:tf_efficientnet_lite0@64")
        report = gallery.add(folder, "frozen:tf_efficientnet_lite0@64", rebuild=True)
        assert report.embedded + report.reused == 13
        assert len(gallery) == 13
        assert ranking(gallery) != found
    with pytest.raises(InkseekError, match="is searched by FLAT, not HNSW"):
        open_gallery(MilvusCollection(place.uri, collection="holiday", index="HNSW"))


def _open_elsewhere(place: MilvusCollection) -> None:
    code = (
        "import sys\n"
        "from inkseek.gallery.milvus import MilvusCollection\n"
        "from inkseek.gallery.milvus_store import MilvusStore\n"
        "try: MilvusStore(MilvusCollection(sys.argv[1]))\n"
        "except Exception as error: sys.exit(f'{type(error).__name__} {error}')"
    )
    done = subprocess.run([sys.executable, "-c", code, place.uri], capture_output=True, text=True, check=False)
    assert done.stderr.startswith("InkseekError "), done.stderr
    raise InkseekError(done.stderr)


_INDEXER = """
import os, signal, sys
from inkseek.gallery.milvus import MilvusCollection
from inkseek.gallery.search import open_gallery

def progress(done, total):
    if done >= 8:
        os.kill(os.getpid(), signal.SIGKILL)

open_gallery(MilvusCollection(sys.argv[1])).add(sys.argv[2], sys.argv[3], batch_size=4, progress=progress)
"""


def test_a_kill_loses_the_batch_in_flight_and_the_next_run_goes_on(
    tmp_path: Path, folder: Path, frozen_bundle: Path, sqlite: Gallery
) -> None:
    place = MilvusCollection(str(tmp_path / "g.db"))
    done = subprocess.run([sys.executable, "-c", _INDEXER, place.uri, folder, frozen_bundle], check=False)
    assert done.returncode == -signal.SIGKILL
    with closing(open_gallery(place)) as gallery:
        assert len(gallery) == 8
        report = gallery.add(folder)
        assert report.unchanged == 8
        assert report.embedded + report.reused == 5
        assert content(gallery.store) == content(sqlite.store)


@pytest.mark.parametrize("index", ["HNSW", "IVF_FLAT"])
def test_approximate_indexes_find_nearly_what_exact_search_finds(tmp_path: Path, index: IndexKind) -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(2000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with closing(MilvusStore(MilvusCollection(str(tmp_path / "g.db"), index=index))) as store:
        store.remember_model(ModelRecord("", "a", 16))
        store.add(entry(Path(f"/{n}.png"), n, vector) for n, vector in enumerate(vectors))
        store.remove([])
        assert store.index == index
        ids, ours = store.vectors()
        truth = ids[np.argsort(-(ours[:20] @ ours.T), axis=1)[:, :10]]
        found = [store.nearest(vector, 10)[1] for vector in ours[:20]]
        recall = np.mean([np.isin(some, right).mean() for some, right in zip(found, truth, strict=True)])
        assert all(len(some) == 10 for some in found)
        assert recall > 0.5
        assert [some[0] for some in found] == ids[:20].tolist()


def entry(path: Path, number: int, vector: Vectors, thumbnail: bytes = b"jpeg") -> Entry:
    return Entry(path, Stamp(number, number), number.to_bytes(32, "big"), Content(3, 4, vector, thumbnail))


def test_two_paths_that_meet_in_one_id_are_both_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkseek.gallery.milvus_store.slots_of", lambda text: [7, 8, 9, 10])
    paths = [Path("/a.png"), Path("/b.png"), Path("/c.png")]
    vector = np.array([1, 0], dtype=np.float32)
    with closing(MilvusStore(MilvusCollection(str(tmp_path / "g.db")))) as store:
        store.remember_model(ModelRecord("", "a", 2))
        store.add(entry(path, number, vector) for number, path in enumerate(paths[:2]))
        store.add([entry(paths[2], 2, vector), entry(paths[0], 0, vector)])
        assert {picture.path for picture in store.pictures([7, 8, 9, 10])} == set(paths)
        store.remove([paths[0]])
        store.add([entry(paths[1], 5, vector)])
        assert [(picture.id, picture.path) for picture in store.pictures([7, 8, 9, 10])] == [
            (8, paths[1]),
            (9, paths[2]),
        ]


def test_a_thumbnail_too_large_for_a_field_is_compressed(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=95)
    assert len(buffer.getvalue()) > 60_000
    with closing(MilvusStore(MilvusCollection(str(tmp_path / "g.db")))) as store:
        store.remember_model(ModelRecord("", "a", 2))
        store.add([entry(Path("/a.png"), 1, np.array([1, 0], dtype=np.float32), buffer.getvalue())])
        kept = store.thumbnail(int(store.ids()[0]))
        assert kept is not None
        assert Image.open(io.BytesIO(kept)).size == (256, 256)


def test_a_copy_into_milvus_and_back_loses_nothing(tmp_path: Path, sqlite: Gallery, folder: Path) -> None:
    place = MilvusCollection(str(tmp_path / "g.db"))
    with closing(open_gallery(place)) as there, closing(open_gallery(tmp_path / "back.db")) as back:
        assert copy_gallery(sqlite, there) == 13
        assert copy_gallery(sqlite, there) == 13
        assert ranking(there, k=50) == ranking(sqlite, k=50)
        assert there.add(folder).unchanged == 13
        assert copy_gallery(there, back) == 13
        assert content(there.store) == content(back.store) == content(sqlite.store)
        assert back.store.folders == sqlite.store.folders
        assert ranking(back, k=50) == ranking(sqlite, k=50)
        other = open_gallery(tmp_path / "other.db")
        other.create().remember_model(ModelRecord("", "another", 3))
        with pytest.raises(InkseekError, match="another model"):
            copy_gallery(there, other)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a Milvus in another process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "milvus_lite",
            "server",
            f"--data-dir={tmp_path / 'server'}",
            "--host=127.0.0.1",
            f"--port={port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def test_a_server_is_shared_by_several_galleries_at_once(
    server: str, folder: Path, frozen_model: Model, sqlite: Gallery
) -> None:
    place = MilvusCollection(server)
    with closing(open_gallery(place)) as writing:
        writing.add(folder, frozen_model)
        with closing(open_gallery(place)) as reading:
            assert content(reading.store) == content(sqlite.store)
            before = reading.store.revision
            writing.store.remove([folder / "copy.png"])
            assert reading.store.revision != before
            assert len(reading) == 12


@pytest.mark.parametrize(
    ("uri", "options", "says"),
    [
        ("photos.sqlite", {}, "ends in .db"),
        ("http://me:secret@localhost:1", {}, "INKSEEK_MILVUS_TOKEN"),
        ("g.db", {"collection": "1;drop"}, "no name for a collection"),
        ("g.db", {"index": "IVF_PQ"}, "FLAT, HNSW, IVF_FLAT"),
    ],
)
def test_what_is_no_place_is_refused(uri: str, options: dict[str, str], says: str) -> None:
    with pytest.raises(InkseekError, match=says):
        MilvusCollection(uri, **options)  # type: ignore[arg-type]


def test_a_file_and_a_silent_address_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "gallery.db").write_bytes(b"SQLite format 3\0")
    with pytest.raises(InkseekError, match="is a file and not a local Milvus"):
        open_gallery(MilvusCollection(str(tmp_path / "gallery.db")))
    with pytest.raises(InkseekError, match="no Milvus answers there"):
        open_gallery(MilvusCollection("http://127.0.0.1:9"))
    with pytest.raises(InkseekError, match="does not exist"):
        MilvusCollection(str(tmp_path / "none" / "g.db")).open(create=True)
