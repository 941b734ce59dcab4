"""Searching and indexing beside what they cannot do without, measured in turns.

    python benchmarks/gallery.py [searching] [indexing] [milvus] [ray] [--out results/bench-gallery.csv]

Searching: 100,000 random unit vectors of length 512 in a gallery's file. `Gallery.find`, which asks the index and reads
the hits from SQLite, beside FAISS's flat index alone; and from strokes to hits, with the model's forward pass.
Indexing: JPEG files of 1024 x 768 pixels, new to the gallery, beside decoding (two threads, to the model's pixels) and
the forward pass in batches, each alone; and beside a plain loop of Pillow and torch, a picture at a time; by torch and
by ONNX Runtime, each beside its own forward pass; and the forward pass in bfloat16, with its embeddings' least cosine
to those in float32. The model is EfficientNet-Lite0 at 128 pixels with an untrained head.
Memory is the operating system's, of a process that searches.
Milvus: the same searches in Milvus Lite, in this process, by its exact index. Ray: the same files several times, each
time with other bytes at its end, by Ray Data with a worker for each core into Milvus Lite, beside this process alone
into the same; counted from the first pictures that are written, so that neither's start is in it, which stands apart.
"""

from __future__ import annotations

import argparse
import math
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

import faiss
import numpy as np
import PIL
import torch
from PIL import Image

from inkseek.evaluation import provenance
from inkseek.evaluation.results_csv import COLUMNS, append_row
from inkseek.gallery.copying import copy_gallery
from inkseek.gallery.filters import Filter
from inkseek.gallery.milvus import MilvusCollection
from inkseek.gallery.ray_engine import RayEngine
from inkseek.gallery.search import Gallery, open_gallery
from inkseek.gallery.store import Content, Entry, ModelRecord, Stamp, Store
from inkseek.images.strokes import Stroke
from inkseek.models.bundle import Model, load, new_model
from inkseek.models.embedding import load_pixels
from inkseek.models.runtime import Runtime, with_runtime

T = TypeVar("T")

VECTORS, DIM, K, SEARCHES = 100_000, 512, 40, 60
PICTURES, WIDTH, HEIGHT, BATCH, ROUNDS, COPIES = 256, 1024, 768, 32, 3, 6
TURN = [i * math.tau / 40 for i in range(41)]
DRAWING: list[Stroke] = [
    ([math.cos(t) for t in TURN], [math.sin(t) for t in TURN]),
    ([-0.3, -0.2], [-0.3, -0.3]),
    ([0.2, 0.3], [-0.3, -0.3]),
]
SEARCHING = f"{VECTORS:,} x {DIM}, k = {K}"
INDEXING = f"{PICTURES} JPEG of {WIDTH} x {HEIGHT}, tf_efficientnet_lite0 at 128 px, batches of {BATCH}"


def seconds(do: Callable[[], T]) -> float:
    """How long something takes by the clock."""
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def bundle(home: Path) -> Model:
    """A model on disk, as `load` gives it."""
    new_model("tf_efficientnet_lite0", dim=DIM, image_size=128).save(home / "model")
    return load(home / "model")


def filled(home: Path, model: Model) -> Path:
    """A gallery's file with random vectors."""
    store = Store(home / "vectors.db")
    store.remember_model(ModelRecord(str(model.path), model.fingerprint, DIM))
    thumbnail = np.random.default_rng(0).bytes(4096)
    for start in range(0, VECTORS, 5000):
        entries = []
        for i, vector in enumerate(_units(5000, seed=start), start):
            path = home / f"{i // 1000}" / f"{i}.jpg"
            entries.append(Entry(path, Stamp(i, i), i.to_bytes(32, "big"), Content(WIDTH, HEIGHT, vector, thumbnail)))
        store.add(entries)
    store.close()
    return store.path


def _units(n: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    vectors = np.random.default_rng(seed).standard_normal((n, DIM), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def searching(home: Path) -> Iterator[tuple[str, str, dict[str, str]]]:
    """What a search costs, and what memory a searching process has for its vectors."""
    gallery = open_gallery(filled(home, bundle(home)))
    flat = faiss.IndexFlatIP(DIM)
    flat.add(gallery.store.vectors()[1])
    parts: dict[str, Callable[[int], object]] = {
        "FAISS IndexFlatIP": lambda i: flat.search(queries[i : i + 1], K),
        "Gallery.find": lambda i: gallery.find(queries[i], K),
        "Gallery.find, one folder of a hundred": lambda i: gallery.find(queries[i], K, only=only),
        "Gallery.find, near-duplicates folded": lambda i: gallery.find(queries[i], K, collapse=True),
        "Gallery.search, strokes to hits": lambda _: gallery.search(DRAWING, K),
    }
    only = Filter(folder=home / "7")
    queries = _units(SEARCHES, seed=1)
    for do in parts.values():
        do(0)
    turns = [{part: seconds(partial(do, i)) for part, do in parts.items()} for i in range(SEARCHES)]
    for part in parts:
        times = sorted(turn[part] for turn in turns)
        ratio = statistics.median(turn[part] / turn["FAISS IndexFlatIP"] for turn in turns)
        yield (
            part,
            SEARCHING,
            {
                "median ms": f"{1000 * statistics.median(times):.2f}",
                "p95 ms": f"{1000 * times[int(0.95 * len(times))]:.2f}",
                "times FAISS": f"{ratio:.3f}" if part.startswith("Gallery.find") else "",
                "rounds": str(SEARCHES),
            },
        )
    gallery.close()
    command = [sys.executable, __file__, "--memory", str(gallery.path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    first, held, peak = map(float, done.stdout.split())
    figures = {"MB": f"{held:.0f}", "peak MB": f"{peak:.0f}", "median ms": f"{1000 * first:.0f}", "rounds": "1"}
    yield "first find of a process, from SQLite", SEARCHING, figures


def memory(path: Path) -> None:
    """Print how long a process takes for its first find, and how many MB it then holds and held at most for it."""
    gallery, query = open_gallery(path), _units(1, seed=2)[0]
    before = _status("VmRSS")
    taken = seconds(lambda: gallery.find(query, K))
    print(taken, _status("VmRSS") - before, _status("VmHWM") - before)


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith(f"{name}:"))


def indexing(home: Path) -> Iterator[tuple[str, str, dict[str, str]]]:
    """What indexing costs beside its parts and beside a plain loop."""
    model = bundle(home)
    onnx = with_runtime(model, "onnx")
    folder = home / "pictures"
    paths = draw_pictures(folder)
    pixels = np.stack([load_pixels(path, "photo", model.prepare) for path in paths])

    def index(runtime: Runtime) -> Gallery:
        gallery = open_gallery(home / f"{time.monotonic_ns()}.db", runtime=runtime)
        gallery.add(folder, onnx if runtime == "onnx" else model, batch_size=BATCH)
        return gallery

    def decode() -> None:
        with ThreadPoolExecutor(2) as pool:
            for _ in pool.map(lambda path: load_pixels(path, "photo", model.prepare), paths):
                pass

    def forward(model: Model) -> None:
        for start in range(0, PICTURES, BATCH):
            model.embed_pixels(pixels[start : start + BATCH])

    def half() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            forward(model)

    @torch.inference_mode()
    def plain() -> None:
        for path in paths:
            with Image.open(path) as picture:
                square = np.asarray(picture.convert("RGB").resize((model.image_size, model.image_size)))
            model.embedder(model.normalise(torch.from_numpy(square.copy())[None])).numpy()

    parts: dict[str, Callable[[], object]] = {
        "inkseek index": lambda: index("torch"),
        "inkseek index --runtime onnx": lambda: index("onnx"),
        "decoding": decode,
        "forward pass": lambda: forward(model),
        "forward pass, bfloat16": half,
        "forward pass, ONNX Runtime": lambda: forward(onnx),
        "plain loop, Pillow and torch": plain,
    }
    of_parts = {"inkseek index": "forward pass", "inkseek index --runtime onnx": "forward pass, ONNX Runtime"}
    for start in (forward, forward):
        start(model)
        start(onnx)
    turns = [{part: seconds(do) for part, do in parts.items()} for _ in range(ROUNDS)]
    for part in parts:
        figures = {
            "images/s": f"{PICTURES / statistics.median(turn[part] for turn in turns):.1f}",
            "rounds": str(ROUNDS),
        }
        if part in of_parts:
            share = statistics.median((turn["decoding"] + turn[of_parts[part]]) / turn[part] for turn in turns)
            figures["share of its parts' speed"] = f"{share:.3f}"
        if part == "forward pass, bfloat16":
            exact = model.embed_pixels(pixels)
            with torch.autocast("cpu", torch.bfloat16):
                figures["least cosine"] = f"{float((exact * model.embed_pixels(pixels)).sum(1).min()):.4f}"
        if part.startswith("plain"):
            figures["times inkseek"] = f"{statistics.median(turn[part] / turn['inkseek index'] for turn in turns):.3f}"
        yield part, INDEXING, figures


def milvus(home: Path) -> Iterator[tuple[str, str, dict[str, str]]]:
    """What a search costs in Milvus Lite."""
    with closing(open_gallery(filled(home, bundle(home)))) as file:
        gallery = open_gallery(MilvusCollection(str(home / "milvus.db")))
        taken = seconds(lambda: copy_gallery(file, gallery))
    queries = _units(SEARCHES, seed=1)
    only = Filter(folder=home / "7")
    parts: dict[str, Callable[[int], object]] = {
        "Milvus Lite, Gallery.find": lambda i: gallery.find(queries[i], K),
        "Milvus Lite, Gallery.find, one folder of a hundred": lambda i: gallery.find(queries[i], K, only=only),
    }
    rounds = SEARCHES // 6
    for part, do in parts.items():
        do(0)
        times = sorted(seconds(partial(do, i)) for i in range(rounds))
        figures = {"median ms": f"{1000 * statistics.median(times):.2f}", "rounds": str(rounds)}
        yield part, SEARCHING, figures
    yield "Milvus Lite, inkseek copy", SEARCHING, {"images/s": f"{VECTORS / taken:.1f}", "rounds": "1"}
    gallery.close()


def ray(home: Path) -> Iterator[tuple[str, str, dict[str, str]]]:
    """How fast Ray Data indexes on this machine, beside this process alone."""
    model = bundle(home)
    folder = home / "pictures"
    paths = draw_pictures(folder)
    for copy in range(1, COPIES):
        for path in paths:
            (folder / f"{copy}-{path.name}").write_bytes(path.read_bytes() + bytes([copy]))
    rates: dict[str, tuple[float, float]] = {}
    for part, engine in (("into Milvus Lite, this process", None), ("into Milvus Lite, --engine ray", RayEngine())):
        at: list[tuple[float, int]] = []
        with closing(open_gallery(MilvusCollection(str(home / f"{len(rates)}.db")))) as gallery:
            start = time.perf_counter()
            progress = partial(_note, at)
            gallery.add(folder, model, batch_size=BATCH, engine=engine, progress=progress)
        first, last = next(moment for moment in at if moment[1]), at[-1]
        rates[part] = (last[1] - first[1]) / (last[0] - first[0]), first[0] - start
    alone = next(iter(rates.values()))[0]
    for part, (rate, before) in rates.items():
        figures = {"images/s": f"{rate:.1f}", "s to the first": f"{before:.1f}", "rounds": "1"}
        figures["times one process"] = f"{rate / alone:.3f}"
        yield part, INDEXING.replace(f"{PICTURES} JPEG", f"{PICTURES * COPIES} JPEG"), figures


def _note(at: list[tuple[float, int]], done: int, _total: int) -> None:
    at.append((time.perf_counter(), done))


def draw_pictures(folder: Path) -> list[Path]:
    """Write JPEG files with as much detail as photos have: noise at every scale."""
    folder.mkdir()
    chance = np.random.default_rng(0)
    paths = []
    for i in range(PICTURES):
        picture = Image.new("RGB", (WIDTH, HEIGHT), (128, 128, 128))
        for side in (4, 16, 64, 256):
            noise = Image.fromarray(chance.integers(0, 256, (side, side, 3), dtype=np.uint8))
            picture = Image.blend(picture, noise.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), 0.4)
        paths.append(folder / f"{i}.jpg")
        picture.save(paths[-1], quality=85)
    return paths


def main() -> None:
    """Measure what was chosen and write the rows."""
    questions = {"searching": searching, "indexing": indexing, "milvus": milvus, "ray": ray}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", nargs="*", help="searching, indexing, milvus, ray; all by default")
    parser.add_argument("--out", type=Path, help="append rows to this CSV of results")
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        memory(options.memory)
        return
    for question in options.questions or questions:
        with tempfile.TemporaryDirectory() as home:
            for part, protocol, figures in questions[question](Path(home)):
                print(part, *(f"{name} {value}" for name, value in figures.items() if value), sep="  ", flush=True)
                about = (
                    shlex.join(["python", "benchmarks/gallery.py", *sys.argv[1:]]),
                    part,
                    protocol,
                    "0",
                    provenance.commit(),
                    provenance.hardware(),
                    f"{provenance.versions()} faiss {faiss.__version__} pillow {PIL.__version__}",
                )
                if options.out:
                    append_row(options.out, dict(zip(COLUMNS, about, strict=True)) | figures)


if __name__ == "__main__":
    main()
