"""Time and memory of ranking beside the matmul that it cannot do without, and beside its peers.

Each implementation runs in a process of its own, in turn with the blocked matmul of the same sizes, so that its ratio
to the matmul is of one run; peak memory is the operating system's. Embeddings are random points around class centres.
"""

from __future__ import annotations

import json
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from inkseek.evaluation import provenance
from inkseek.evaluation.results_csv import COLUMNS, append_row
from inkseek.metrics.names import FORMS
from inkseek.metrics.ranking import rank

T = TypeVar("T")
Float32s = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

DIM = 512
METRICS = [form.replace("@K", "@200") for form in FORMS if "gallery" not in form]
CSV = Path(__file__).resolve().parent.parent / "results" / "bench-evaluation.csv"


@dataclass(frozen=True)
class Size:
    """How many queries meet how many gallery items of how many classes; in one domain nothing meets itself."""

    queries: int
    gallery: int
    classes: int
    one_domain: bool = False
    repeats: int = 5

    def data(self) -> tuple[Float32s, Ints, Float32s, Ints]:
        """Make unit embeddings and labels; classes differ in size as in Sketchy, the largest thrice the smallest."""
        rng = np.random.default_rng(0)
        centres = rng.standard_normal((self.classes, DIM), dtype=np.float32)
        share = np.linspace(1, 3, self.classes)

        def side(n: int) -> tuple[Float32s, Ints]:
            labels = rng.choice(self.classes, n, p=share / share.sum())
            x = np.empty((n, DIM), dtype=np.float32)
            for at in range(0, n, 4096):
                part = labels[at : at + 4096]
                x[at : at + 4096] = centres[part] + 4 * rng.standard_normal((len(part), DIM), dtype=np.float32)
                x[at : at + 4096] /= np.linalg.norm(x[at : at + 4096], axis=1, keepdims=True)
            return x, labels

        gallery, found = side(self.gallery)
        return (gallery, found, gallery, found) if self.one_domain else (*side(self.queries), gallery, found)


SIZES = {
    "sketchy-2 (12,694 x 12,553, 21 classes)": Size(12_694, 12_553, 21),
    "one domain (6,000 x 6,000, 100 classes)": Size(6_000, 6_000, 100, one_domain=True),
    "one domain (60,000 x 60,000, 11,000 classes)": Size(60_000, 60_000, 11_000, one_domain=True, repeats=3),
    "quickdraw (92,291 x 54,151, 30 classes)": Size(92_291, 54_151, 30, repeats=1),
}
SKETCHY, SMALL, LARGE, QUICKDRAW = SIZES


@dataclass(frozen=True)
class Sides:
    """Queries, or a sample of them, and the gallery; ids where nothing meets itself."""

    q: Float32s
    ql: Ints
    g: Float32s
    gl: Ints
    ids: Ints | None = None


def inkseek(metrics: list[str]) -> Callable[[Sides], float]:
    """Every metric asked for, of every query."""
    return lambda s: rank(
        s.q,
        s.ql,
        s.g,
        s.gl,
        metrics=metrics,
        query_ids=s.ids,
        gallery_ids=None if s.ids is None else np.arange(len(s.g)),
    ).micro()["mAP@all"]


def argsort(order_of: Callable[[Float32s], Ints]) -> Callable[[Sides], float]:
    """What evaluators commonly do: sort the gallery by index for every query, then take every metric from the order."""

    def run(s: Sides) -> float:
        figures = []
        for at in range(0, len(s.q), 256):
            order = order_of(s.q[at : at + 256] @ s.g.T)
            figures.append(_of_order(s.gl[order] == s.ql[at : at + 256, None])["mAP@all"])
        return float(np.concatenate(figures).mean())

    return run


def _torch_order(scores: Float32s) -> Ints:
    import torch

    return torch.from_numpy(scores).argsort(1, descending=True).numpy()


def _of_order(relevant: npt.NDArray[np.bool_], k: int = 200) -> dict[str, npt.NDArray[Any]]:
    """The benchmark's metrics of decided rankings, over whole rows."""
    hits = np.cumsum(relevant, axis=1)
    r = hits[:, -1]
    precision = hits / np.arange(1, relevant.shape[1] + 1)
    row = np.arange(len(r))
    figures = {"mAP@all": (precision * relevant).sum(axis=1) / r}
    figures["mAP@R"] = (precision * relevant * (np.arange(relevant.shape[1]) < r[:, None])).sum(axis=1) / r
    whole = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    figures["mAP@all (VOC)"] = (whole * relevant).sum(axis=1) / r
    top = precision[:, :k] * relevant[:, :k]
    for p, form in ((top, ""), (np.maximum.accumulate(top[:, ::-1], axis=1)[:, ::-1] * relevant[:, :k], " (VOC)")):
        for name, divisor in (("strict", np.minimum(r, k)), ("lenient", np.maximum(hits[:, k - 1], 1)), ("/K", k)):
            figures[f"mAP@{k} {name}{form}"] = p.sum(axis=1) / divisor
    figures[f"P@{k}"] = hits[:, k - 1] / k
    figures[f"P@{k} (min)"] = hits[row, np.minimum(r, k) - 1] / np.minimum(r, k)
    figures["R-precision"] = hits[row, r - 1] / r
    figures[f"R@{k}"] = figures[f"Acc@{k}"] = hits[:, k - 1] > 0
    figures["MRR"] = 1 / (relevant.argmax(axis=1) + 1)
    assert set(figures) == set(METRICS)
    return figures


def torchmetrics(s: Sides) -> float:
    """The peer's own way: a call for each query and metric, of those of ours that it has.

    1 is added to the scores, because it drops relevant items whose score is not above 0.
    """
    import torch
    from torchmetrics.functional import retrieval

    figures = []
    for query, label in zip(s.q, s.ql, strict=True):
        scores, relevant = torch.from_numpy(s.g @ query + 1), torch.from_numpy(s.gl == label)
        figures.append(float(retrieval.retrieval_average_precision(scores, relevant)))
        retrieval.retrieval_average_precision(scores, relevant, top_k=200)
        retrieval.retrieval_precision(scores, relevant, top_k=200)
        retrieval.retrieval_hit_rate(scores, relevant, top_k=200)
        retrieval.retrieval_r_precision(scores, relevant)
        retrieval.retrieval_reciprocal_rank(scores, relevant)
    return float(np.mean(figures))


def pytorch_metric_learning(s: Sides) -> float:
    """The peer's calculator, with k set to the whole gallery: its default cuts mAP off without saying so."""
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    calculator = AccuracyCalculator(include=("mean_average_precision",), k=len(s.g) - 1)
    return float(calculator.get_accuracy(s.g, s.gl)["mean_average_precision"])


@dataclass(frozen=True)
class Case:
    """An implementation at a size, over all queries or a sample of them."""

    size: str
    what: str
    run: Callable[[Sides], float]
    sample: int | None = None


CASES = {
    "all": Case(SKETCHY, f"inkseek, {len(METRICS)} metrics", inkseek(METRICS)),
    "argsort": Case(
        SKETCHY,
        f"numpy.argsort (vectorised; ties fall as they may), {len(METRICS)} metrics",
        argsort(lambda scores: np.argsort(-scores, axis=1)),
        sample=1_024,
    ),
    "stable": Case(
        SKETCHY,
        f"numpy.argsort (stable), {len(METRICS)} metrics",
        argsort(lambda scores: np.argsort(-scores, axis=1, kind="stable")),
        sample=1_024,
    ),
    "torch": Case(SKETCHY, f"torch.argsort, {len(METRICS)} metrics", argsort(_torch_order), sample=1_024),
    "torchmetrics": Case(SKETCHY, "torchmetrics, a call a query and metric, 6 metrics", torchmetrics, sample=256),
    "small": Case(SMALL, "inkseek, mAP@all", inkseek(["mAP@all"])),
    "pml": Case(SMALL, "pytorch-metric-learning, mAP@all", pytorch_metric_learning),
    "large": Case(LARGE, f"inkseek, {len(METRICS)} metrics", inkseek(METRICS)),
    "quickdraw": Case(QUICKDRAW, f"inkseek, {len(METRICS)} metrics", inkseek(METRICS)),
}


def measure(case: Case) -> dict[str, Any]:
    """Run a case and its matmul in turn, in this process."""
    size = SIZES[case.size]
    q, ql, g, gl = size.data()
    drawn = np.random.default_rng(1).permutation(len(q))[: case.sample] if case.sample else np.arange(len(q))
    part = Sides(q, ql, g, gl) if case.sample is None else Sides(q[drawn], ql[drawn], g, gl)
    if size.one_domain:
        part = replace(part, ids=drawn)
    case.run(Sides(q[:200], ql[:200], q[:200], ql[:200]))  # imports, and what a library prepares once
    rows = min(1024, 2**26 // (4 * len(g)))

    def matmul() -> None:
        block = np.empty((rows, len(g)), dtype=np.float32)
        for at in range(0, len(q), rows):
            np.matmul(q[at : at + rows], g.T, out=block[: len(q) - at])

    seconds, cpu, peaks, figure = [], [], [], 0.0
    for _ in range(size.repeats):
        of_matmul, _ = _timed(matmul)
        before = _forget_peak()
        of_case, figure = _timed(lambda: case.run(part))
        peaks.append(_status("VmHWM") - before)
        factor = len(q) / len(part.q)
        seconds.append((of_case[0] * factor, of_matmul[0]))
        cpu.append((of_case[1] * factor, of_matmul[1]))
    return {
        "mAP@all": figure,
        "seconds": statistics.median(s for s, _ in seconds),
        "seconds of the matmul": statistics.median(m for _, m in seconds),
        "times the matmul": statistics.median(s / m for s, m in seconds),
        "times the matmul in CPU time": statistics.median(s / m for s, m in cpu),
        "MB beyond the embeddings": max(peaks),
        "MB": _status("VmHWM"),
        "queries measured": len(part.q),
        "repeats": size.repeats,
    }


def _timed(do: Callable[[], T]) -> tuple[tuple[float, float], T]:
    """Return seconds by the clock and of all cores, and the result."""
    clock, cpu = time.perf_counter(), time.process_time()
    result = do()
    return (time.perf_counter() - clock, time.process_time() - cpu), result


def _forget_peak() -> float:
    """Have Linux count the peak from now on; return what the process holds now, in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith(f"{name}:"))


def main(chosen: list[str]) -> None:
    """Measure each case in a process of its own, print it and add a row for it."""
    if chosen[:1] == ["--here"]:
        print(json.dumps(measure(CASES[chosen[1]])))
        return
    print(f"{provenance.hardware()}; {provenance.versions()}\n")
    ratios: dict[str, float] = {}
    for name in chosen or list(CASES):
        case = CASES[name]
        done = subprocess.run([sys.executable, __file__, "--here", name], check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        ratios[name] = found["times the matmul"]
        ours = {SKETCHY: "all", SMALL: "small"}.get(case.size)
        if ours in ratios and ours != name:
            found["times inkseek"] = ratios[name] / ratios[ours]
        figures = {key: f"{value:.4g}" if isinstance(value, float) else str(value) for key, value in found.items()}
        print(
            f"{case.size}\n  {case.what}: {', '.join(f'{key} {value}' for key, value in figures.items())}", flush=True
        )
        about = (
            shlex.join(["python", "benchmarks/evaluation.py", *chosen]),
            case.what,
            case.size,
            "0",
            provenance.commit(),
            provenance.hardware(),
            f"{provenance.versions()} {_peers(name)}".strip(),
        )
        append_row(CSV, dict(zip(COLUMNS, about, strict=True)) | figures)


def _peers(name: str) -> str:
    from importlib.metadata import version

    package = {"torchmetrics": "torchmetrics", "pml": "pytorch-metric-learning"}.get(name)
    return f"{package} {version(package)}" if package else ""


if __name__ == "__main__":
    main(sys.argv[1:])
