"""What the bilevel step costs: steps of a RAMLN recipe beside the same recipe's at a fixed margin, in turns.

    python benchmarks/ramln.py [--root datasets/quickdraw_photo] [--out results/bench-ramln.csv]

`ramln-quickdraw-photo` on the CPU with its whole network learning, at 128 pixels in batches of 72, and with a head
alone on kept features, where nothing hides the cost. Both learners take each step on the same batch, one after the
other; the ratio is of medians over the steps after the first.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import time
from pathlib import Path

from inkseek.evaluation import provenance
from inkseek.evaluation.results_csv import COLUMNS, append_row
from inkseek.training.features import open_source
from inkseek.training.learner import Learner
from inkseek.training.loader import open_loader
from inkseek.training.plan import make_plan
from inkseek.training.processes import joined
from inkseek.training.recipe import load_recipe

FIXED = 'objective={"quadruplet": {"smooth": "softplus", "level": "category"}, "classification": {"weight": 0.1}}'
HEAD = ["model.tune=head", "augment={flip: 0, rotation: 0, scale: 1, stroke: 0, colour: 0, grey: 0}"]
CASES: dict[str, tuple[int, list[str]]] = {
    "whole network, 128 px": (12, []),
    "head on kept features": (200, HEAD),
}


def seconds(root: Path, steps: int, overrides: list[str]) -> tuple[float, float]:
    """Median seconds of a step with the bilevel step, and of one without."""
    common = [f"data.root={root}", "device=cpu", f"optim.steps={steps}", *overrides]
    recipes = [load_recipe("ramln-quickdraw-photo", [*common, *more]) for more in ([], [FIXED, "meta=null"])]
    with joined("cpu") as processes:
        plans = [make_plan(recipe, "bench") for recipe in recipes]
        learners = [Learner(plan, processes) for plan in plans]
        taken: list[list[float]] = [[], []]
        loader = open_loader(open_source(plans[0], processes), plans[0].batches, 0, steps, processes, 0)
        for step, read in enumerate(loader, start=1):
            for learner, times in zip(learners, taken, strict=True):
                began = time.perf_counter()
                learner.learn(step, read)
                times.append(time.perf_counter() - began)
    learned, fixed = (statistics.median(times[1:]) for times in taken)
    return learned, fixed


def main() -> None:
    """Measure the cases and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("../shared/data/quickdraw_photo"))
    parser.add_argument("--out", type=Path, help="append rows to this CSV of results")
    options = parser.parse_args()
    for case, (steps, overrides) in CASES.items():
        learned, fixed = seconds(options.root, steps, overrides)
        figures = {
            "ms with the bilevel step": f"{1000 * learned:.1f}",
            "ms without": f"{1000 * fixed:.1f}",
            "ratio": f"{learned / fixed:.3f}",
            "steps": str(steps - 1),
        }
        print(f"{case}: {figures}")
        if options.out is not None:
            about = {
                "command": shlex.join(["python", "benchmarks/ramln.py", "--out", str(options.out)]),
                "recipe": "ramln-quickdraw-photo",
                "protocol": case,
                "seed": "0",
                "commit": provenance.commit(),
                "hardware": provenance.hardware(),
                "versions": provenance.versions(),
            }
            assert list(about) == list(COLUMNS)
            append_row(options.out, about | figures)


if __name__ == "__main__":
    main()
