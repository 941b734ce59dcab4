"""The server under load: many clients that ask again as soon as they are answered, on a gallery of synthetic pictures.

    python benchmarks/server.py [--clients 64] [--seconds 60] [--pictures 100000] [--csv results/bench-server.csv]

`inkseek serve` runs in a process of its own, the clients in this one, on the same cores. The gallery holds random unit
vectors of length 512; the model is ImageNet's EfficientNet-Lite0 at 128 pixels with a random head, which costs what a
trained one costs. Of eight requests, six are drawings, one is a picture that is sent and one a thumbnail. A client that
is told 503 waits as long as Retry-After says. Seconds are those of searches that were answered; memory is the server's.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from inkseek.evaluation import provenance
from inkseek.evaluation.results_csv import append_row
from inkseek.gallery.store import Content, Entry, ModelRecord, Stamp, Store
from inkseek.models.bundle import new_model

DIM, SIZE = 512, 128
SETTLED = 0.25
"""The share of the time after which memory should not grow any more."""


def make_gallery(folder: Path, pictures: int) -> Path:
    """Write a model and a gallery of random unit vectors that it could have made; return the gallery's file."""
    model = new_model("tf_efficientnet_lite0", dim=DIM, image_size=SIZE)
    model.save(folder / "model")
    path = folder / "gallery.db"
    store = Store(path)
    store.remember_model(ModelRecord(str(folder / "model"), model.fingerprint, DIM))
    store.remember_folder(folder / "pictures", "")
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).resize((256, 256)).save(buffer, "JPEG")
    for start in range(0, pictures, 4096):
        numbers = range(start, min(pictures, start + 4096))
        vectors = rng.standard_normal((len(numbers), DIM), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        store.add(
            Entry(
                folder / "pictures" / str(number // 1000) / f"{number}.jpg",
                Stamp(1, number),
                hashlib.sha256(str(number).encode()).digest(),
                Content(256, 256, vector, buffer.getvalue()),
            )
            for number, vector in zip(numbers, vectors, strict=True)
        )
    store.close()
    return path


@contextmanager
def running(gallery: Path) -> Iterator[tuple[str, int]]:
    """Run `inkseek serve`; give its address and its process id."""
    command = [sys.executable, "-m", "inkseek", "serve", "--gallery", str(gallery), "--port", "0", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("Draw at ").strip(), process.pid
        finally:
            process.terminate()


def memory(process: int) -> float:
    """Return the megabytes that a process holds just now (Linux)."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


@dataclass
class Load:
    """What the clients saw, and the server's memory second by second."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)

    def summary(self, duration: float) -> dict[str, float | int]:
        """Return the figures."""
        settled = self.megabytes[int(SETTLED * len(self.megabytes))]
        return {
            "searches/s": round(len(self.seconds) / duration, 1),
            "p50 s": round(float(np.percentile(self.seconds, 50)), 3),
            "p99 s": round(float(np.percentile(self.seconds, 99)), 3),
            "answered": self.statuses["200"],
            "told to wait (503)": self.statuses["503"],
            "other": sum(self.statuses.values()) - self.statuses["200"] - self.statuses["503"],
            "MB at first": round(self.megabytes[0]),
            "MB settled": round(settled),
            "MB at most": round(max(self.megabytes)),
            "MB at last": round(self.megabytes[-1]),
        }


async def one_client(number: int, http: httpx.AsyncClient, pictures: int, until: float, load: Load) -> None:
    """Ask until the time is over."""
    rng = np.random.default_rng(number)
    while time.perf_counter() < until:
        choice = int(rng.integers(0, 8))
        if choice == 7:
            request = http.build_request("GET", f"/api/thumbnails/{int(rng.integers(1, pictures + 1))}")
        elif choice == 6:
            request = http.build_request(
                "POST", "/api/search", content=drawn(rng), headers={"content-type": "image/png"}
            )
        else:
            strokes = [[rng.random(20).round(3).tolist(), rng.random(20).round(3).tolist()] for _ in range(4)]
            request = http.build_request("POST", "/api/search", json={"examples": [{"strokes": strokes}], "k": 40})
        start = time.perf_counter()
        try:
            answer = await http.send(request)
        except httpx.HTTPError as error:
            load.statuses[type(error).__name__] += 1
            continue
        load.statuses[str(answer.status_code)] += 1
        if answer.status_code == 503:
            await asyncio.sleep(float(answer.headers["retry-after"]))
        elif choice != 7:
            load.seconds.append(time.perf_counter() - start)


def drawn(rng: np.random.Generator) -> bytes:
    """Return a PNG of a few black blocks on white."""
    picture = np.full((200, 200), 255, dtype=np.uint8)
    for x, y in rng.integers(0, 160, (3, 2)):
        picture[y : y + 30, x : x + 8] = 0
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


async def put_under_load(address: str, process: int, clients: int, duration: float, pictures: int) -> Load:
    """Let clients ask for so many seconds."""
    load = Load()
    until = time.perf_counter() + duration
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)

    async def watch() -> None:
        while time.perf_counter() < until:
            load.megabytes.append(memory(process))
            await asyncio.sleep(0.5)

    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=60) as http:
        asking = (one_client(number, http, pictures, until, load) for number in range(clients))
        await asyncio.gather(watch(), *asking)
    load.megabytes.append(memory(process))
    return load


def main() -> None:
    """Measure, print the figures as JSON, and append them to a CSV of results if one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        gallery = make_gallery(Path(folder), given.pictures)
        with running(gallery) as (address, process):
            load = asyncio.run(put_under_load(address, process, given.clients, given.seconds, given.pictures))
    figures = load.summary(given.seconds)
    print(json.dumps(figures))
    if given.csv is not None:
        append_row(
            given.csv,
            {
                "command": shlex.join(["python", "benchmarks/server.py", *sys.argv[1:]]),
                "recipe": "inkseek serve",
                "protocol": f"{given.clients} clients for {given.seconds:g} s, {given.pictures:,} pictures x {DIM}",
                "seed": "0",
                "commit": provenance.commit(),
                "hardware": provenance.hardware(),
                "versions": provenance.versions(),
                **{name: str(value) for name, value in figures.items()},
            },
        )


if __name__ == "__main__":
    main()
