"""Real processes on one gallery: some read while one writes, and each reader always sees whole transactions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inkseek.errors import InkseekError
from inkseek.gallery.search import open_gallery
from inkseek.gallery.store import Content, Entry, ModelRecord, Stamp, Store

# A writer adds batches of four pictures that belong together and takes the oldest batch out now and then; readers ask
# what they find until the writer's last batch is there.
COMMON = """
import json, sys
from pathlib import Path
import numpy as np
from inkseek.gallery.search import open_gallery
from inkseek.gallery.store import Content, Entry, Stamp, Store
path, batches = sys.argv[1], int(sys.argv[2])
def vector(i):
    v = np.random.default_rng(i // 4).standard_normal(16).astype(np.float32)
    return v / np.linalg.norm(v)
"""
WRITER = """
store = Store(Path(path))
sys.stdin.readline()
for batch in range(1, batches + 1):
    ids = range(4 * batch, 4 * batch + 4)
    store.add(
        Entry(Path(f"/p/{i}.jpg"), Stamp(i, i), i.to_bytes(32, "big"), Content(i, i, vector(i), b"jpeg %d" % i))
        for i in ids
    )
    if batch % 5 == 0:
        store.remove(Path(f"/p/{i}.jpg") for i in range(4 * batch - 16, 4 * batch - 12))
store.close()
"""
READER = """
gallery = open_gallery(path)
last, looks, wrong = f"{4 * batches}.jpg", 0, []
print("ready", flush=True)
found = []
while last not in found:
    looks += 1
    hits = gallery.find(vector(4 * batches), k=10 * batches)
    found = [hit.path.name for hit in hits]
    names = [int(Path(name).stem) for name in found]
    if len(set(names)) != len(names) or [hit.score for hit in hits] != sorted((h.score for h in hits), reverse=True):
        wrong.append("order")
    if any(hit.width != int(hit.path.stem) for hit in hits):
        wrong.append("another picture's row")
    for hit in hits[:4]:
        thumbnail = gallery.store.thumbnail(hit.id)
        if thumbnail is not None and thumbnail != b"jpeg %d" % hit.width:
            wrong.append("another picture's thumbnail")
    stored = {p.stem for p in gallery.store.stamps_below(Path("/p"))}
    if any(len({str(4 * b + j) for j in range(4)} & stored) not in (0, 4) for b in range(1, batches + 1)):
        wrong.append("half a batch")
gallery.close()
print(json.dumps({"looks": looks, "wrong": wrong, "held": sorted(names)}))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    store = Store(tmp_path / "g.db")
    store.remember_model(ModelRecord("m", "f", 16))
    store.close()
    return store.path


def start(what: str, path: Path, batches: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMON + what, str(path), str(batches)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_readers_see_whole_batches_while_another_process_writes(path: Path) -> None:
    batches = 60
    writer = start(WRITER, path, batches)
    readers = [start(READER, path, batches) for _ in range(2)]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    writer.communicate("go\n", timeout=120)
    assert writer.returncode == 0
    expected = [i for b in range(1, batches + 1) if (b + 4) % 5 or b + 4 > batches for i in range(4 * b, 4 * b + 4)]
    for reader in readers:
        told = json.loads(reader.communicate(timeout=120)[0])
        assert reader.returncode == 0
        assert told["wrong"] == []
        # The last removal comes after the last batch.
        assert set(told["held"]) - set(expected) <= set(range(4 * batches - 16, 4 * batches - 12))
        assert set(told["held"]) >= set(expected)
    gallery = open_gallery(path)
    assert sorted(int(hit.path.stem) for hit in gallery.find(np.full(16, 0.25, np.float32), k=9999)) == expected


def test_a_second_writer_waits_and_says_so_when_it_takes_too_long(path: Path) -> None:
    store = Store(path)
    store._db.execute("PRAGMA busy_timeout = 50")
    held = Store(path)
    held._db.execute("BEGIN IMMEDIATE")
    entry = Entry(Path("/p/1.jpg"), Stamp(1, 1), bytes(32), Content(1, 1, np.ones(16, np.float32), b""))
    with pytest.raises(InkseekError, match="another process has been writing"):
        store.add([entry])
    assert store.ids().tolist() == []
    held._db.execute("COMMIT")
    store.add([entry])
    assert held.ids().tolist() == [1]
