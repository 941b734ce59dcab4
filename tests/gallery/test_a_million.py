"""A million vectors: written, searched exactly, and found again by a process that starts anew after a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from inkseek.gallery.filters import Filter
from inkseek.gallery.search import open_gallery
from inkseek.gallery.store import Content, Entry, ModelRecord, Stamp, Store

COUNT, BLOCK, DIM, K = 1_000_000, 10_000, 64, 25

SEARCHER = """
import json, sys
import numpy as np
from pathlib import Path
from inkseek.gallery.filters import Filter
from inkseek.gallery.search import open_gallery
gallery = open_gallery(sys.argv[1])
for query in np.load(sys.argv[2]):
    hits = gallery.find(query, int(sys.argv[3]))
    below = gallery.find(query, int(sys.argv[3]), only=Filter(folder=Path("/p/7")))
    print(json.dumps([[hit.id for hit in hits], [hit.id for hit in below]]), flush=True)
sys.stdin.readline()
"""


def block(number: int) -> npt.NDArray[np.float32]:
    vectors = np.random.default_rng(number).standard_normal((BLOCK, DIM), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@pytest.mark.soak
def test_a_million_vectors_open_search_and_survive_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "g.db")
    store.remember_model(ModelRecord("m", "f", DIM))
    queries = block(1_000)[:5]
    np.save(tmp_path / "queries.npy", queries)
    products = np.empty((len(queries), COUNT), dtype=np.float32)
    for number in range(COUNT // BLOCK):
        vectors, first = block(number), number * BLOCK
        products[:, first : first + BLOCK] = queries @ vectors.T
        store.add(
            Entry(Path(f"/p/{number}/{i}.jpg"), Stamp(1, 1), i.to_bytes(32, "big"), Content(9, 9, vector, b"jpeg"))
            for i, vector in enumerate(vectors, first)
        )
    store.close()
    # Ids were given in order, from 1.
    nearest = np.argsort(-products, axis=1)[:, :K] + 1
    seventh = np.argsort(-products[:, 7 * BLOCK : 8 * BLOCK], axis=1)[:, :K] + 1 + 7 * BLOCK
    command = [sys.executable, "-c", SEARCHER, str(store.path), str(tmp_path / "queries.npy"), str(K)]
    for _ in range(2):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as searcher:
            assert searcher.stdout is not None
            for everywhere, below in zip(nearest, seventh, strict=True):
                hits = json.loads(searcher.stdout.readline())
                assert hits == [everywhere.tolist(), below.tolist()]
            searcher.send_signal(signal.SIGKILL)
    gallery = open_gallery(store.path)
    assert len(gallery) == COUNT
    assert [hit.id for hit in gallery.find(queries[0], K, only=Filter(folder=Path("/p/7")))] == seventh[0].tolist()
