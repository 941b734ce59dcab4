"""The whole training loop beside its parts and its peers: what it adds, in time and memory, measured in turns.

    python benchmarks/training.py [--root datasets/quickdraw_photo] [--out results/bench-training.csv]

`quickdraw-rdvc` at 128 pixels on the CPU, batches of 64. The loop is `inkseek train`'s own, up to the checkpoint of its
last step. Forward and backward are those of network and objective on a batch that is there already; decoding is reading
the same batches, each picture for the first time, and augmenting them.

Beside it, on pixels that are there, a plain loop of torch with pytorch-metric-learning's triplet loss. Peak memory is
the operating system's, a process each. `--memory` measures that alone, and needs no quiet machine, of a loop with
sentence-transformers' in-batch negatives over as many (sketch, photo) pairs, and of the batch in four parts, as
`batch.parts` and as sentence-transformers' cached loss.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from inkseek.evaluation import provenance
from inkseek.evaluation.results_csv import COLUMNS, append_row
from inkseek.losses import RDVC, SEC, Batch, Triplet
from inkseek.models.tuning import set_train_mode
from inkseek.training.features import open_source
from inkseek.training.learner import Learner
from inkseek.training.loader import ReadBatch, open_loader
from inkseek.training.plan import Plan, make_plan
from inkseek.training.processes import Processes, joined
from inkseek.training.recipe import Recipe, load_recipe
from inkseek.training.trainer import train

WARM, STEPS, ROUNDS = 2, 8, 3
BATCH = {"classes": 8, "sketches": 4, "photos": 4}
SIZE = BATCH["classes"] * (BATCH["sketches"] + BATCH["photos"])
PIECES = 4


def recipe_of(root: Path) -> Recipe:
    """The recipe that is measured."""
    return load_recipe(
        "quickdraw-rdvc",
        [
            f"data.root={root}",
            "device=cpu",
            f"optim.steps={WARM + STEPS}",
            "validate.every=1000",
            *(f"batch.{key}={value}" for key, value in BATCH.items()),
        ],
    )


@dataclass
class Clock:
    """A reporter that notes when a step was done."""

    since: float = 0.0

    def started(self, plan: Plan, step: int) -> None:
        """Nothing to note."""

    def stepped(self, step: int, _: Mapping[str, float], /) -> None:
        """The first steps warm up; the last one ends the measurement, before the checkpoint is written."""
        if step == WARM:
            self.since = time.perf_counter()
        if step == WARM + STEPS:
            self.seconds = time.perf_counter() - self.since

    def validated(self, step: int, metric: str, value: float, best: bool) -> None:
        """Nothing to note."""

    def warned(self, step: int, advice: str) -> None:
        """Nothing to note."""


def loop(recipe: Recipe) -> float:
    """Seconds a step of `inkseek train`."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        train(recipe, Path(folder) / "run", name="bench", resume=False, reporter=clock)
    return clock.seconds / STEPS


def decoding(recipe: Recipe) -> float:
    """Seconds to read and augment a batch."""
    plan = make_plan(recipe, "bench")
    loader = iter(open_loader(open_source(plan, _alone()), plan.batches, 0, WARM + STEPS, _alone(), recipe.workers))
    for _ in range(WARM):
        next(loader)
    start = time.perf_counter()
    for _ in loader:
        pass
    return (time.perf_counter() - start) / STEPS


def forward_backward(recipe: Recipe) -> float:
    """Seconds of forward and backward alone, on a batch that has been read."""
    plan, batch, learner = _ready(recipe)
    inputs = _inputs(plan, batch)
    labels = torch.arange(BATCH["classes"]).repeat_interleave(BATCH["sketches"])
    half = len(labels)
    objective = Triplet(0.5) + 0.02 * RDVC() + 0.001 * SEC()

    def step() -> None:
        learner.embedder.zero_grad(set_to_none=True)
        embeddings = learner.embedder(inputs)
        torch.autograd.backward(objective(Batch(embeddings[:half], labels, embeddings[half:], labels)))

    return _repeat(step)


def plain(recipe: Recipe) -> float:
    """Seconds a step of a plain loop with the library's loss, Adam and decoded pixels."""
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.losses import TripletMarginLoss
    from pytorch_metric_learning.reducers import MeanReducer

    plan, batch, learner = _ready(recipe)
    squared = LpDistance(normalize_embeddings=True, p=2, power=2)
    loss_func = TripletMarginLoss(0.5, distance=squared, reducer=MeanReducer())
    optimiser = torch.optim.AdamW([p for p in learner.embedder.parameters() if p.requires_grad], lr=1e-4)
    labels = torch.arange(BATCH["classes"]).repeat_interleave(BATCH["sketches"]).repeat(2)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss_func(learner.embedder(_inputs(plan, batch)), labels))
        optimiser.step()

    return _repeat(step)


class _Pictures(nn.Module):
    """An embedder as a module of sentence-transformers."""

    def __init__(self, embedder: nn.Module) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {**features, "sentence_embedding": self.embedder(features["pixels"])}


def pairs(recipe: Recipe, *, cached: bool = False) -> float:
    """Seconds a step of a loop with sentence-transformers' loss over pairs, Adam and decoded pixels."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import losses

    plan, batch, learner = _ready(recipe)
    model = SentenceTransformer(modules=[_Pictures(learner.embedder)], device="cpu")
    loss_func: nn.Module = losses.MultipleNegativesRankingLoss(model)
    if cached:
        loss_func = losses.CachedMultipleNegativesRankingLoss(model, mini_batch_size=SIZE // PIECES)
    optimiser = torch.optim.AdamW([p for p in learner.embedder.parameters() if p.requires_grad], lr=1e-4)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        columns = [{"pixels": pixels} for pixels in _inputs(plan, batch).chunk(2)]
        torch.autograd.backward(loss_func(columns, None))
        optimiser.step()

    return _repeat(step)


def loop_in_parts(recipe: Recipe) -> float:
    """Seconds a step of `inkseek train` whose batches go through the network in parts."""
    return loop(recipe.model_copy(update={"batch": recipe.batch.model_copy(update={"parts": PIECES})}))


PARTS: dict[str, Callable[[Recipe], float]] = {
    "inkseek train": loop,
    "forward and backward": forward_backward,
    "decoding": decoding,
    "plain loop, pytorch-metric-learning": plain,
}
PEERS: dict[str, Callable[[Recipe], float]] = {
    "plain loop, sentence-transformers, pairs": pairs,
    f"inkseek train, in {PIECES} parts": loop_in_parts,
    f"plain loop, sentence-transformers, cached pairs, in {PIECES} parts": lambda recipe: pairs(recipe, cached=True),
}


def _repeat(step: Callable[[], None]) -> float:
    for _ in range(WARM):
        step()
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - start) / STEPS


def _ready(recipe: Recipe) -> tuple[Plan, ReadBatch, Learner]:
    """A plan, its first batch, and what learns, in training mode."""
    plan = make_plan(recipe, "bench")
    learner = Learner(plan, _alone())
    batch = next(iter(open_loader(open_source(plan, _alone()), plan.batches, 0, 1, _alone(), 0)))
    set_train_mode(learner.embedder, recipe.model.tune, recipe.model.batchnorm)
    return plan, batch, learner


def _inputs(plan: Plan, batch: ReadBatch) -> torch.Tensor:
    return plan.model.normalise(batch.inputs).contiguous(memory_format=torch.channels_last)


def _alone() -> Processes:
    with joined("cpu") as processes:
        return processes


def peak(part: str, root: Path) -> float:
    """Peak memory in MB of a process that does one part and nothing else."""
    command = [sys.executable, __file__, "--root", str(root), "--peak", part]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main() -> None:
    """Measure the parts in turns and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("../shared/data/quickdraw_photo"))
    parser.add_argument("--out", type=Path, help="append rows to this CSV of results")
    parser.add_argument("--memory", action="store_true", help="measure the peers' peak memory, and nothing else")
    parser.add_argument("--peak", choices=[*PARTS, *PEERS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    recipe = recipe_of(options.root)
    if options.peak:
        (PARTS | PEERS)[options.peak](recipe)
        lines = Path("/proc/self/status").read_text().splitlines()
        print(next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM:")))
        return
    if options.memory:
        for part in PEERS:
            _tell(part, {"peak MB": f"{peak(part, options.root):.0f}"}, options.out)
        return
    turns = [{part: measure(recipe) for part, measure in PARTS.items()} for _ in range(ROUNDS)]
    share = statistics.median(
        (turn["forward and backward"] + turn["decoding"]) / turn["inkseek train"] for turn in turns
    )
    for part in PARTS:
        seconds = statistics.median(turn[part] for turn in turns)
        figures = {
            "seconds a batch": f"{seconds:.4f}",
            "images/s": f"{SIZE / seconds:.1f}",
            "peak MB": f"{peak(part, options.root):.0f}",
            "share of its parts' speed": f"{share:.3f}" if part == "inkseek train" else "",
            "rounds": str(ROUNDS),
        }
        _tell(part, figures, options.out)


def _tell(part: str, figures: dict[str, str], out: Path | None) -> None:
    print(part, *(f"{name} {value}" for name, value in figures.items() if value), sep="  ", flush=True)
    about = (
        shlex.join(["python", "benchmarks/training.py", *sys.argv[1:]]),
        part,
        f"quickdraw-photo, tf_efficientnet_lite0 at 128 px, batches of {SIZE}",
        "0",
        provenance.commit(),
        provenance.hardware(),
        provenance.versions(),
    )
    if out:
        empty = dict.fromkeys(("seconds a batch", "images/s", "peak MB", "share of its parts' speed", "rounds"), "")
        append_row(out, dict(zip(COLUMNS, about, strict=True)) | empty | figures)


if __name__ == "__main__":
    main()
