"""Losses beside pytorch-metric-learning's: time and memory of a forward and a backward pass, in one run, as ratios.

    python benchmarks/losses.py [--only TEXT] [--device cuda] [--out results/bench-losses.csv]

Time: both sides take turns in one process, and medians are compared. Memory: a process each, the peak of its resident
set (of the device's allocator on CUDA) beyond what stood before the pass. Where the library cannot run, its triplet
indices alone, three int64 numbers each, say why.
"""

from __future__ import annotations

import argparse
import csv
import functools
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from inkseek.evaluation import provenance
from inkseek.losses import RDVC, MultiSimilarity, NPair, SemiHardTriplet, Triplet

DIM = 512
TARGET_SECONDS = 3.0
COLUMNS = (
    "command", "commit", "hardware", "versions", "case", "N", "classes", "against",
    "ours ms", "theirs ms", "time ratio", "ours MB", "theirs MB", "memory ratio", "to reach", "reached",
)  # fmt: skip

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """One row: what is run, against what, and what the ratio should be.

    Attributes:
        time: theirs / ours to reach, or, for a floor, ours / theirs not to exceed; None where time is not the question.
        memory: theirs / ours to reach, or ours in MB not to exceed where there is nothing to compare with.
    """

    name: str
    n: int
    classes: int
    against: str | None
    time: float | None = None
    memory: float | None = None
    accelerator: bool = False


CASES = (
    Case("triplet", 120, 40, "pml triplet", time=1.5),
    Case("triplet", 512, 128, "pml triplet", time=20),
    Case("semi-hard", 512, 128, "pml semi-hard", time=20),
    Case("triplet", 1024, 10, "pml triplet", time=100, memory=90),
    Case("semi-hard", 1024, 10, "pml semi-hard", time=140, memory=90),
    Case("triplet + RDVC", 1024, 256, "triplet", time=1.25),
    Case("triplet + RDVC", 1024, 10, "triplet", time=1.25),
    Case("multi-similarity", 1024, 256, "pml multi-similarity", time=2),
    Case("multi-similarity", 1024, 10, "pml multi-similarity", time=2),
    Case("n-pair", 1024, 256, "pml n-pair", time=2),
    Case("n-pair", 1024, 10, "pml n-pair", time=2),
    Case("triplet", 2048, 10, "floor", time=2, memory=150),
    Case("semi-hard", 2048, 10, "floor", time=2),
    Case("triplet", 2048, 512, "floor", time=2),
    Case("triplet + RDVC", 8192, 2048, None, memory=2000),
    Case("triplet + RDVC", 16384, 4096, None, accelerator=True),
)
BOUNDS = ("triplet", "floor")  # ours / theirs is at most so much; beside a library it is theirs / ours at least


def loss_of(name: str) -> Loss:
    """A loss by the name that the cases give it."""
    if name.startswith("pml "):
        return _peers()[name]
    made: dict[str, Callable[[], Loss]] = {
        "triplet": Triplet,
        "semi-hard": SemiHardTriplet,
        "triplet + RDVC": lambda: Triplet() + 0.5 * RDVC(),
        "multi-similarity": MultiSimilarity,
        "n-pair": NPair,
        "floor": lambda: _floor,
    }
    return made[name]()


def _peers() -> dict[str, Loss]:
    from pytorch_metric_learning import distances, losses, miners, reducers

    squared = distances.LpDistance(normalize_embeddings=True, p=2, power=2)
    triplet, semi_hard = (
        losses.TripletMarginLoss(m, distance=squared, reducer=reducers.MeanReducer()) for m in (1, 0.2)
    )
    miner = miners.TripletMarginMiner(0.2, "semihard", distance=squared)
    similar, near = losses.MultiSimilarityLoss(2, 40, 0.5), miners.MultiSimilarityMiner(0.1)
    return {
        "pml triplet": triplet,
        "pml semi-hard": lambda x, y: semi_hard(x, y, miner(x, y)),
        "pml multi-similarity": lambda x, y: similar(x, y, near(x, y)),
        "pml n-pair": losses.NPairsLoss(),
    }


def _floor(x: Tensor, _: Tensor) -> Tensor:
    """What any loss over all pairs that orders them costs: their matrix, forward and backward, and one sort."""
    product = x @ x.T
    product.detach().sort(1)
    return product.sum()


def batch(case: Case, device: str) -> tuple[Tensor, Tensor]:
    """Random embeddings, so that most tuples are active, and labels of classes of equal size."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(case.n, DIM, generator=generator).to(device).requires_grad_()
    return embeddings, (torch.arange(case.n) % case.classes).to(device)


def step(loss: Loss, embeddings: Tensor, labels: Tensor) -> float:
    """Milliseconds of one forward and backward pass."""
    embeddings.grad = None
    if embeddings.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    torch.autograd.backward(loss(embeddings, labels))
    if embeddings.is_cuda:
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def times(losses: list[Loss], embeddings: Tensor, labels: Tensor) -> list[float]:
    """Median milliseconds of each, taken in turns; as many turns as fit into a few seconds, at least three."""
    first = [step(loss, embeddings, labels) for loss in losses]  # the first pass of a process is not like the others
    turns = max(3, min(101, int(1000 * TARGET_SECONDS / sum(first))))
    rows = [[step(loss, embeddings, labels) for loss in losses] for _ in range(turns)]
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def peak(case: Case, name: str, device: str) -> float:
    """MB that one pass needs beyond what stood before it, measured in a process of its own."""
    index = str(CASES.index(case))
    command = [sys.executable, __file__, "--device", device, "--peak", index, name]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _peak_here(case: Case, name: str, device: str) -> float:
    loss, small = loss_of(name), batch(Case("", 64, 8, None), device)
    step(loss, *small)  # libraries are loaded, threads started
    embeddings, labels = batch(case, device)
    embeddings.grad = torch.zeros_like(embeddings)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        stood = torch.cuda.memory_allocated()
        step(loss, embeddings, labels)
        return (torch.cuda.max_memory_allocated() - stood) / 1e6
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = _status("VmRSS")
    step(loss, embeddings, labels)
    return (_status("VmHWM") - before) / 1e3


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def rows(cases: list[Case], device: str) -> Iterator[dict[str, str]]:
    """Measure case after case."""
    for case in cases:
        against = case.against
        both = times([loss_of(name) for name in (case.name, against) if name], *batch(case, device))
        bound = against in BOUNDS
        ratio = (both[0] / both[1] if bound else both[1] / both[0]) if against else None
        ours: float | None = None
        theirs: float | None = None
        if case.memory is not None:
            ours = peak(case, case.name, device)
            theirs = peak(case, against, device) if against and not bound else None
        wanted, reached = [], []
        if case.time is not None and ratio is not None:
            wanted.append(f"time {'<=' if bound else '>='} {case.time:g}")
            reached.append(ratio <= case.time if bound else ratio >= case.time)
        if case.memory is not None and ours is not None:
            wanted.append(f"memory {f'ratio >= {case.memory:g}' if theirs else f'<= {case.memory:g} MB'}")
            reached.append(theirs / ours >= case.memory if theirs else ours <= case.memory)
        if against == "floor":
            per = case.n // case.classes
            needs = case.n * (per - 1) * (case.n - per) * 24 / 1e9
            wanted.append(f"(the library's triplet indices alone: {needs:.1f} GB)")
        yield {
            "case": case.name,
            "N": str(case.n),
            "classes": str(case.classes),
            "against": against or "",
            "ours ms": f"{both[0]:.2f}",
            "theirs ms": f"{both[1]:.2f}" if against else "",
            "time ratio": "" if ratio is None else f"{ratio:.2f}",
            "ours MB": "" if ours is None else f"{ours:.0f}",
            "theirs MB": "" if theirs is None else f"{theirs:.0f}",
            "memory ratio": f"{theirs / ours:.0f}" if theirs and ours else "",
            "to reach": ", ".join(wanted),
            "reached": "" if not reached else "yes" if all(reached) else "no",
        }


def main() -> None:
    """Run the cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write a CSV of results here")
    parser.add_argument("--only", default="", help="cases whose name or N contains this")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--peak", nargs=2, metavar=("INDEX", "LOSS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(_peak_here(CASES[int(options.peak[0])], options.peak[1], options.device))
        return
    chosen = [
        case
        for case in CASES
        if options.only in f"{case.name} {case.n}" and (options.device == "cuda" or not case.accelerator)
    ]
    about = {
        "command": shlex.join(["python", "benchmarks/losses.py", *sys.argv[1:]]),
        "commit": provenance.commit(),
        "hardware": provenance.hardware(),
        "versions": provenance.versions() + _library_version(),
    }
    table = []
    for row in rows(chosen, options.device):
        table.append({**about, **row})
        print("  ".join(f"{name} {value}" for name, value in row.items() if value), flush=True)
    if options.out:
        with options.out.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)


@functools.cache
def _library_version() -> str:
    import pytorch_metric_learning

    return f" pytorch-metric-learning {pytorch_metric_learning.__version__}"


if __name__ == "__main__":
    main()
