from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from inkseek.errors import InkseekError
from inkseek.gallery.store import Content, Entry, ModelRecord, Stamp, Store


def entry(path: str, digest: bytes = b"a", *, known: bool = False, size: int = 1) -> Entry:
    vector = np.full(4, digest[0], dtype=np.float32)
    return Entry(Path(path), Stamp(size, 2), digest * 32, None if known else Content(30, 20, vector, b"jpeg " + digest))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "g.db")
    opened.remember_model(ModelRecord("runs/a", "f" * 64, 4))
    return opened


def test_what_goes_in_comes_out_after_reopening(store: Store) -> None:
    store.add([entry("/p/a.jpg", b"a"), entry("/p/b.jpg", b"b")])
    store.remember_folder(Path("/p"), "by Ann")
    store.close()
    with sqlite3.connect(store.path) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    again = Store(store.path)
    assert again.model == ModelRecord("runs/a", "f" * 64, 4)
    assert again.folders == {Path("/p"): "by Ann"}
    first, second = again.pictures([1, 2])
    assert (first.path, first.stamp, first.sha256, first.width, first.height) == (
        Path("/p/a.jpg"),
        Stamp(1, 2),
        b"a" * 32,
        30,
        20,
    )
    assert second.path == Path("/p/b.jpg")
    assert again.thumbnail(2) == b"jpeg b"
    ids, vectors = again.vectors()
    assert ids.tolist() == [1, 2]
    assert vectors.dtype == np.float32
    assert vectors[:, 0].tolist() == [ord("a"), ord("b")]
    assert again.vectors(after=1)[0].tolist() == [2]


def test_copies_share_their_content(store: Store) -> None:
    store.add([entry("/p/a.jpg"), entry("/q/a.jpg", known=True)])
    assert len(store) == 2
    assert store.thumbnail(1) == store.thumbnail(2)
    store.remove([Path("/p/a.jpg")])
    assert store.has_content(b"a" * 32)
    store.remove([Path("/q/a.jpg")])
    assert not store.has_content(b"a" * 32)
    assert len(store) == 0


def test_an_id_is_one_picture_for_good(store: Store) -> None:
    store.add([entry("/p/a.jpg", b"a")])
    store.add([entry("/p/a.jpg", b"a", size=9)])
    assert store.ids().tolist() == [1]
    assert store.pictures([1])[0].stamp.size == 9
    store.add([entry("/p/a.jpg", b"b")])
    (changed,) = store.ids().tolist()
    assert changed > 1
    assert store.pictures([1]) == []
    store.remove([Path("/p/a.jpg")])
    store.add([entry("/p/a.jpg", b"b")])
    assert store.ids().tolist() > [changed]


def test_a_batch_is_all_or_nothing(store: Store) -> None:
    with pytest.raises(InkseekError, match="another process removed"):
        store.add([entry("/p/a.jpg", b"a"), entry("/p/b.jpg", b"b", known=True)])
    assert len(store) == 0
    assert not store.has_content(b"a" * 32)


def test_a_full_disk_is_one_line_and_loses_nothing(store: Store) -> None:
    store.add([entry("/p/a.jpg", b"a")])
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(InkseekError, match="disk is full"):
        store.add([entry(f"/p/{i}.jpg", bytes([i])) for i in range(1, 200)])
    assert len(store) == 1
    store._db.execute("PRAGMA max_page_count = 100000")
    store.add([entry("/p/b.jpg", b"b")])
    assert len(Store(store.path)) == 2


def test_stamps_below_a_folder_are_those_of_no_neighbour(store: Store) -> None:
    names = ["/p/x.jpg", "/p/sub/y.jpg", "/p.jpg", "/pq/z.jpg", "/p0.jpg"]
    store.add([entry(name, bytes([65 + i])) for i, name in enumerate(names)])
    assert set(store.stamps_below(Path("/p"))) == {Path("/p/x.jpg"), Path("/p/sub/y.jpg")}
    assert len(store.stamps_below(Path("/"))) == 5


@pytest.mark.skipif(os.name != "posix", reason="file names are text there")
def test_names_that_are_no_text(store: Store) -> None:
    odd = os.fsdecode(b"/p/\xff\n'; DROP TABLE pictures;--.jpg")
    store.add([entry(odd)])
    assert store.pictures([1])[0].path == Path(odd)
    assert set(store.stamps_below(Path("/p"))) == {Path(odd)}


def test_another_model_empties_the_gallery(store: Store) -> None:
    store.add([entry("/p/a.jpg")])
    store.remember_model(ModelRecord("moved/a", "f" * 64, 4))
    assert len(store) == 1
    store.remember_model(ModelRecord("runs/b", "0" * 64, 8))
    assert len(store) == 0
    assert store.thumbnail(1) is None
    assert store.model == ModelRecord("runs/b", "0" * 64, 8)


def test_the_revision_follows_other_connections(store: Store) -> None:
    other = Store(store.path)
    before = store.revision
    assert store.revision == before
    other.add([entry("/p/a.jpg")])
    assert store.revision != before
    before = store.revision
    store.remove([Path("/p/a.jpg")])
    assert store.revision != before


def test_a_snapshot_is_of_one_moment(store: Store) -> None:
    other = Store(store.path)
    store.add([entry("/p/a.jpg", b"a")])
    with store.snapshot():
        assert len(store) == 1
        other.add([entry("/p/b.jpg", b"b")])
        assert len(store) == len(store.vectors()[0]) == 1
        with pytest.raises(KeyError), other.snapshot():
            raise KeyError
    assert len(store) == 2
    store.add([entry("/p/c.jpg", b"c")])
    assert len(other) == 3


@pytest.mark.parametrize("content", [b"not a database, but a note to myself\n" * 50, b"\xff\xd8\xff\xe0" * 500])
def test_other_files_are_no_gallery_and_stay_as_they_are(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(InkseekError, match=r"notes.txt: .*not an Inkseek gallery") as caught:
        Store(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE TABLE users (name TEXT)",
        "CREATE TABLE meta (a); CREATE TABLE pictures (b); CREATE TABLE contents (c)",
        "CREATE TABLE meta (key, value); CREATE TABLE pictures (b); CREATE TABLE contents (c); "
        "INSERT INTO meta VALUES ('schema', 'x')",
    ],
)
def test_other_databases_are_no_gallery_and_stay_as_they_are(tmp_path: Path, schema: str) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as raw:
        raw.executescript(schema)
    raw.close()
    content = path.read_bytes()
    with pytest.raises(InkseekError, match="not an Inkseek gallery"):
        Store(path)
    assert path.read_bytes() == content


def test_a_newer_gallery_is_refused(store: Store) -> None:
    with sqlite3.connect(store.path) as raw:
        raw.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    raw.close()
    with pytest.raises(InkseekError, match="newer Inkseek"):
        Store(store.path)


def test_a_damaged_gallery_is_one_line(store: Store) -> None:
    store.add([entry(f"/p/{i}.jpg", bytes([i])) for i in range(1, 200)])
    store.close()
    content = bytearray(store.path.read_bytes())
    content[4096 : len(content) - 4096] = b"\xa5" * (len(content) - 8192)
    store.path.write_bytes(content)
    with pytest.raises(InkseekError, match=r"g\.db") as caught:
        Store(store.path).vectors()
    assert "\n" not in str(caught.value)


def test_a_vector_of_another_length_is_damage(store: Store) -> None:
    store.add([entry("/p/a.jpg")])
    with sqlite3.connect(store.path) as raw:
        raw.execute("UPDATE contents SET vector = x'00'")
    raw.close()
    with pytest.raises(InkseekError, match="damaged"):
        store.vectors()


def test_folders_instead_of_files(tmp_path: Path) -> None:
    with pytest.raises(InkseekError, match="is a folder"):
        Store(tmp_path)
    with pytest.raises(InkseekError, match="does not exist"):
        Store(tmp_path / "nowhere" / "g.db")
