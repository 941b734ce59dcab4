from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inkseek.gallery.backend import Records
from inkseek.gallery.search import open_gallery
from inkseek.gallery.store import Picture, Store
from inkseek.models.bundle import Model

Draw = Callable[[Path, int], list[Path]]

# Loading torch takes seconds, so one process does it and every run is a fork of it, with nothing of it begun before.
INDEXER = """
import os, sys
import torch
from inkseek.gallery.search import open_gallery
from inkseek.models.bundle import load
torch.set_num_threads(1)
gallery, folder, bundle = sys.argv[1:]
model = load(bundle)
for _ in sys.stdin:
    if (child := os.fork()) == 0:
        say = lambda done, of: print(os.getpid(), done, flush=True)
        open_gallery(gallery).add(folder, model, batch_size=4, progress=say)
        os._exit(0)
    os.waitpid(child, 0)
    print("ended", 0, flush=True)
"""


def content(store: Records) -> dict[Path, tuple[Picture, bytes | None]]:
    return {p.path: (p, store.thumbnail(p.id)) for p in store.pictures(store.ids().tolist())}


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.soak)])
def test_a_kill_loses_at_most_the_batch_in_flight(
    kills: int, tmp_path: Path, draw: Draw, frozen_model: Model, frozen_bundle: Path
) -> None:
    batches = 4
    folder, chance = tmp_path / "pictures", random.Random(0)
    # Three times what is waited for: the batches that go on until the kill must not use the folder up.
    draw(folder, 3 * 4 * batches * (kills + 2))
    path = tmp_path / "g.db"
    committed = 0
    command = [sys.executable, "-c", INDEXER, str(path), str(folder), str(frozen_bundle)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as indexer:
        assert indexer.stdin is not None
        assert indexer.stdout is not None
        for _ in range(kills):
            indexer.stdin.write("go\n")
            indexer.stdin.flush()
            told = [indexer.stdout.readline().split() for _ in range(batches)]
            # Anywhere from just after a commit to well into the next batches.
            time.sleep(chance.uniform(0, 0.15))
            os.kill(int(told[-1][0]), signal.SIGKILL)
            while not indexer.stdout.readline().startswith("ended"):
                pass
            with sqlite3.connect(path) as raw:
                assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            raw.close()
            store = Store(path)
            assert len(store) >= committed + int(told[-1][1])
            committed = len(store)
            assert all(entry[1] for entry in content(store).values())
            store.close()
        indexer.stdin.close()
    resumed = open_gallery(path)
    report = resumed.add(folder)
    assert report.unchanged == committed
    assert report.embedded == report.found - committed > 0

    straight = open_gallery(tmp_path / "straight.db")
    straight.add(folder, frozen_model)
    ours, expected = content(resumed.store), content(straight.store)
    assert ours.keys() == expected.keys()
    for where, (picture, thumbnail) in expected.items():
        found, found_thumbnail = ours[where]
        assert (found.stamp, found.sha256, found.width, found.height, found_thumbnail) == (
            picture.stamp,
            picture.sha256,
            picture.width,
            picture.height,
            thumbnail,
        )
        ours_vector, straight_vector = resumed.store.vector(found.id), straight.store.vector(picture.id)
        assert ours_vector is not None
        assert straight_vector is not None
        np.testing.assert_allclose(ours_vector, straight_vector, atol=1e-5)
