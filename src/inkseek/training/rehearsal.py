"""A few real steps whose result is thrown away, so that a run's time can be told before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

import torch

from inkseek.training.features import open_source
from inkseek.training.learner import Learner
from inkseek.training.loader import open_loader
from inkseek.training.plan import Plan, make_plan
from inkseek.training.processes import joined
from inkseek.training.recipe import Recipe
from inkseek.training.validation import check_pictures

_STEPS = 3


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """What a rehearsal found.

    Attributes:
        plan: what the recipe comes to.
        measured: steps that were timed, after one that was not.
        seconds: that one of them took in the mean: reading, forward, backward, optimiser.
        unreadable: a line for each picture that could not be read.
    """

    plan: Plan
    measured: int
    seconds: float
    unreadable: tuple[str, ...]

    def __str__(self) -> str:
        """Say the estimate, and what it is made of."""
        steps = self.plan.recipe.optim.steps
        whole = timedelta(seconds=round(self.seconds * steps))
        said = (
            f"estimate: {whole} for {steps} steps, {self.seconds:.2f} s a step "
            f"({self.plan.batches.size / self.seconds:.0f} images/s), from {self.measured} real steps after one to "
            "warm up; pictures were read for the first time, and validations and checkpoints come on top"
        )
        return "\n".join([said, *(f"cannot be read, and would be replaced: {line}" for line in self.unreadable)])


def rehearse(recipe: Recipe, name: str) -> Rehearsal:
    """Take the first steps of a recipe and forget them; nothing is written.

    Raises:
        InkseekError: as `train` before its first step.
    """
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    with joined(recipe.device) as processes:
        plan = make_plan(recipe, name)
        learner = Learner(plan, processes)
        check_pictures(plan, processes)
        source = open_source(plan, processes)
        stop = min(_STEPS + 1, recipe.optim.steps)
        unreadable: dict[str, None] = {}
        began, warm = time.perf_counter(), 0
        for step, read in enumerate(open_loader(source, plan.batches, 0, stop, processes, recipe.workers), start=1):
            unreadable.update(dict.fromkeys(read.unreadable))
            float(learner.learn(step, read).loss)  # waits for the device
            if step == 1 < stop:
                began, warm = time.perf_counter(), 1
        measured = stop - warm
        return Rehearsal(plan, measured, (time.perf_counter() - began) / measured, tuple(unreadable))
