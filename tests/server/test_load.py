"""More clients than the server can serve at once: each is answered or told to come back, and memory stays as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "server.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the server's memory is read from /proc")


def put_under_load(*, clients: int, seconds: int, pictures: int) -> dict[str, float]:
    command = [sys.executable, str(BENCHMARK), f"--clients={clients}", f"--seconds={seconds}", f"--pictures={pictures}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 240)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    figures: dict[str, float] = json.loads(ran.stdout)
    return figures


def check(figures: dict[str, float]) -> None:
    assert figures["other"] == 0
    assert figures["answered"] > 0
    # Work space for a forward pass of each size comes once; what waits takes next to nothing.
    assert figures["MB at most"] < figures["MB at first"] + 1000


def test_more_clients_than_there_is_room_for() -> None:
    figures = put_under_load(clients=48, seconds=6, pictures=2000)
    check(figures)
    assert figures["told to wait (503)"] > 0


@pytest.mark.soak
def test_a_minute_of_many_clients_on_a_large_gallery() -> None:
    figures = put_under_load(clients=64, seconds=60, pictures=100_000)
    check(figures)
    assert figures["MB at last"] < 1.1 * figures["MB settled"] + 100
