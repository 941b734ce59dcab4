"""Two processes that share a protocol give, bit for bit, what one gives; and one that fails takes the other along."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inkseek.evaluation.results import Results

# Run here by one process, and by two of its own.
MEASURE = """
import sys
from pathlib import Path

import numpy as np

from inkseek.datasets.items import Items
from inkseek.datasets.protocol import Protocol
from inkseek.errors import InkseekError
from inkseek.evaluation.evaluate import evaluate_items
from inkseek.evaluation.processes import process_group, rank_shared
from inkseek.models.bundle import load


def rank_integers():
    # Ties everywhere, and some queries without a relevant item.
    rng = np.random.default_rng(0)
    q, g = (rng.integers(-2, 3, (n, 4)).astype(np.float32) for n in (41, 90))
    ql, gl = rng.integers(0, 7, 41), rng.integers(0, 6, 90)
    return rank_shared(q, ql, g, gl, metrics=["mAP@all", "mAP@5 lenient", "mAP@all (VOC)", "P@3", "MRR"])


def evaluate_pictures(folder, model):
    paths = sorted(folder.glob("*.png"))
    pictures = Items.from_rows([(path, path.name[:1], "photo", "", "") for path in paths], ("a", "b", "c"))
    protocol = Protocol("toy", pictures, pictures, metrics=("R@1", "mAP@R", "mAP@all (VOC)"), leave_self_out=True)
    return evaluate_items(load(model), protocol, cached=False).results
"""
AS_ONE_OF_TWO = f"""{MEASURE}
folder, model = Path(sys.argv[1]), Path(sys.argv[2])
with process_group() as writes:
    ranking, results = rank_integers(), evaluate_pictures(folder / "whole", model)
    if writes:
        np.savez(folder / "ranking.npz", relevant=ranking.relevant, tied=ranking.tied, **ranking.per_query)
        (folder / "results.json").write_text(results.to_json())
    try:
        evaluate_pictures(folder / "torn", model)
    except InkseekError as error:
        sys.exit(str(error))
"""


def in_two_processes(folder: Path, model: Path) -> list[str]:
    """Run, and return what each process said when it failed in the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []
    for rank in range(2):
        of_torchrun = {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
        of_torchrun |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, "-c", AS_ONE_OF_TWO, str(folder), str(model)]
        running.append(subprocess.Popen(command, env={**os.environ, **of_torchrun}, stderr=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=300)[1] for process in running]
    # Not the exact code: torch's own threads now and then abort a process that is ending.
    assert all(process.returncode != 0 for process in running), said
    return said


def test_two_processes_equal_one(tmp_path: Path, frozen_bundle: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("whole", "torn"):
        (tmp_path / folder).mkdir()
        for nth in range(9):
            picture = Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
            picture.save(tmp_path / folder / f"{'abc'[nth // 3]}{nth}.png")
    (tmp_path / "torn" / "c8.png").write_bytes(b"torn")
    said = in_two_processes(tmp_path, frozen_bundle)
    assert "process 1 of 2 failed, and says why" in said[0]
    assert "c8.png" in said[1]

    alone: dict[str, Any] = {}
    exec(MEASURE, alone)
    ranking = alone["rank_integers"]()
    with np.load(tmp_path / "ranking.npz") as joined:
        assert "mAP@all (VOC) optimistic" in joined.files
        assert set(joined.files) == {"relevant", "tied", *ranking.per_query}
        for name, figures in ranking.per_query.items():
            np.testing.assert_array_equal(joined[name], figures, err_msg=name)
        np.testing.assert_array_equal(joined["relevant"], ranking.relevant)
        assert joined["tied"] == ranking.tied > 0
    results = Results.from_json((tmp_path / "results.json").read_text())
    expected = alone["evaluate_pictures"](tmp_path / "whole", frozen_bundle)
    # Pictures are embedded in batches, whose size moves an embedding by rounding.
    assert results.metrics == pytest.approx(expected.metrics, abs=1e-6)
    assert (results.notes, results.queries, results.counts) == (expected.notes, expected.queries, expected.counts)
