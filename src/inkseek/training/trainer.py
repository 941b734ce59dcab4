"""One readable loop that trains every recipe, on one process or several."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import torch
from torch import Tensor

from inkseek.errors import InkseekError
from inkseek.losses.collapse import CollapseDetector
from inkseek.losses.diagnostics import diagnose
from inkseek.margins.relation_network import RelationNetwork
from inkseek.models.bundle import Model
from inkseek.models.card import MarginCard
from inkseek.training.checkpoint import Checkpoints
from inkseek.training.features import open_source
from inkseek.training.learner import Learned, Learner
from inkseek.training.loader import open_loader
from inkseek.training.not_finite import FiniteWatch
from inkseek.training.optimisation import rate_of_model
from inkseek.training.plan import Plan, make_plan
from inkseek.training.processes import Processes, joined
from inkseek.training.recipe import Recipe
from inkseek.training.reporting import News, Reporter
from inkseek.training.run_folder import claim
from inkseek.training.stopping import stop_requested
from inkseek.training.validation import check_pictures, validate

LOG_EVERY = 10


class Interrupted(InkseekError):
    """The run was asked to stop, and did so after saving."""

    exit_code = 130


def train(recipe: Recipe, run: Path, *, name: str, resume: bool, reporter: Reporter) -> Model:
    """Run a recipe and return the model of its best checkpoint, which `run/bundle` then holds.

    Started by `torchrun` (or whatever sets its environment variables), the processes train one model together.

    Args:
        recipe: what to run.
        run: the run's folder (DESIGN: `recipe.yaml`, `environment.json`, `log.jsonl`, `checkpoints/`, `bundle/`); of
            several machines, on a disk that they share.
        name: the recipe's name, kept in the bundle.
        resume: go on from the folder's last checkpoint; from the start where it has none.
        reporter: is told of every step; of several processes the first one's, and the others' of unreadable pictures.

    Raises:
        InkseekError: the folder holds another run, a class has no readable picture, the loss is not finite, the disk is
            full.
        Interrupted: SIGINT or SIGTERM came; a checkpoint was written.
    """
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    with joined(recipe.device) as processes:
        plan = make_plan(recipe, name)
        learner = Learner(plan, processes)
        processes.on_first(lambda: claim(run, recipe, resume=resume, processes=processes.world))
        checkpoints = Checkpoints(run / "checkpoints")
        start, best = 0, -math.inf
        if (found := checkpoints.read()) is not None:
            state, figures = found
            learner.load(state)
            start = int(state["step"])
            best = -math.inf if figures["best"] is None else float(figures["best"])
        with closing(News(run, plan, processes, reporter, keep=start)) as news:
            _steps(plan, learner, run, checkpoints, processes, news, start=start, best=best)
        return _finish(run, plan, checkpoints, processes)


def _steps(
    plan: Plan,
    learner: Learner,
    run: Path,
    checkpoints: Checkpoints,
    processes: Processes,
    news: News,
    *,
    start: int,
    best: float,
) -> None:
    recipe, steps, metric = plan.recipe, plan.recipe.optim.steps, plan.recipe.validate_.metric
    if learner.live_batchnorm:
        for advice in _of_live_batchnorm(recipe, processes):
            news.warned(start, advice)
    if start < steps:
        check_pictures(plan, processes)
    loader = open_loader(open_source(plan, processes), plan.batches, start, steps, processes, recipe.workers)
    watch, detector = FiniteWatch(run, plan.training, processes), CollapseDetector(plan.objective)
    speed = _Speed(plan.batches.size)
    with stop_requested() as stop:
        for step, read in enumerate(loader, start=start + 1):
            learned = learner.learn(step, read)
            speed.stepped()
            watch.watch(step, learned.loss, read.index)
            for line in read.unreadable:
                news.unreadable(step, line)

            last = step == steps
            row: dict[str, float] = {}
            if step % LOG_EVERY == 0 or last:
                watch.settle()
                row = {**_figures(learner, learned), "images/s": speed.so_far()}
                for advice in detector.look(row):
                    news.warned(step, advice)
            news.stepped(step, row)

            due = step % recipe.validate_.every == 0 or last
            improved = due and plan.protocol is None
            if due and plan.protocol is not None:
                watch.settle()
                with speed.paused():
                    measured = _kept(plan.model, learner.ema.state, recipe, step=step, path=None)
                    value = validate(measured, plan.protocol, metric, on_features=plan.on_features)
                improved = value > best
                best = max(best, value)
                news.validated(step, metric, value, improved)
            stopping = processes.any(stop.is_set())
            # A stop between two validations only saves: it must not change which checkpoint is chosen.
            if due or stopping:
                watch.settle()
                with speed.paused():
                    _save(checkpoints, processes, learner, step=step, best=best, improved=improved)
            if stopping and not last:
                raise Interrupted(f"{run}: stopped after step {step}, which is saved; go on with --resume")


class _Speed:
    """Pictures a second since the last look, without what validations and checkpoints take.

    Args:
        batch: pictures of a whole batch.
    """

    def __init__(self, batch: int) -> None:
        self.batch, self._steps, self._since = batch, 0, time.perf_counter()

    def stepped(self) -> None:
        self._steps += 1

    def so_far(self) -> float:
        now = time.perf_counter()
        rate = self._steps * self.batch / max(now - self._since, 1e-9)
        self._steps, self._since = 0, now
        return rate

    @contextmanager
    def paused(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._since += time.perf_counter() - began


def _figures(learner: Learner, learned: Learned) -> dict[str, float]:
    objective = learner.objective
    values = {**objective.terms, **diagnose(objective, learned.batch)}
    if learned.gradient is not None:
        values["gradient"] = learned.gradient
    if learner.plan.bilevel is not None:
        values["meta.skipped"] = torch.tensor(learner.plan.bilevel.skipped)
    if learned.meta is not None:
        values |= {"meta.loss": learned.meta.loss, "meta.hypergradient": learned.meta.hypergradient}
    rates = {"lr": rate_of_model(learner.optimiser)}
    return {"loss": float(learned.loss), **{key: float(value) for key, value in values.items()}, **rates}


def _of_live_batchnorm(recipe: Recipe, processes: Processes) -> list[str]:
    """What a user should know whose BatchNorm sees less than the whole batch."""
    seen = [
        *(["each process's share of the batch"] if processes.world > 1 else []),
        *([f"each of the {recipe.batch.parts} parts of the batch"] if recipe.batch.parts > 1 else []),
    ]
    return [
        f"BatchNorm statistics are of {of}, not of the whole: another run than with one process and one part; frozen "
        "statistics (model.batchnorm: frozen) make no difference"
        for of in seen
    ]


def _save(
    checkpoints: Checkpoints, processes: Processes, learner: Learner, *, step: int, best: float, improved: bool
) -> None:
    figures = {"best": best if math.isfinite(best) else None}
    processes.on_first(lambda: checkpoints.write(step, {"step": step, **learner.state()}, figures, best=improved))


def _kept(
    model: Model,
    weights: Mapping[str, Tensor],
    recipe: Recipe,
    *,
    step: int,
    path: Path | None,
    margin: tuple[MarginCard, RelationNetwork] | None = None,
) -> Model:
    """The model as it is measured and kept: with averaged weights, and without the head where the recipe drops it."""
    embedder = copy.deepcopy(model.embedder)
    embedder.load_state_dict(weights)
    embedder = embedder.float()
    card = model.card.model_copy(update={"step": step})
    if recipe.model.head == "dropped":
        embedder, card = embedder.without_head(), card.model_copy(update={"dim": None, "head_batchnorm": False})
        margin = None  # it reads the head's output
    if margin is None:
        return Model(embedder, card, path=path)
    return Model(embedder, card.model_copy(update={"margin": margin[0]}), path=path, margin=margin[1])


def _finish(run: Path, plan: Plan, checkpoints: Checkpoints, processes: Processes) -> Model:
    found = checkpoints.read("best")
    if found is None:
        raise InkseekError(f"{run}: no checkpoint was written; remove the folder and train again")
    state, _ = found
    plan.objective.load_state_dict(state["objective"])
    best = _kept(
        plan.model, state["ema"], plan.recipe, step=int(state["step"]), path=run, margin=plan.relation_network()
    )
    processes.on_first(lambda: best.save(run / "bundle"))
    return best
