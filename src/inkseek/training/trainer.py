"""One readable loop that trains every recipe."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import yaml
from torch import Tensor
from torch.utils.data import DataLoader

from inkseek.datasets import protocol as protocols
from inkseek.datasets.catalogue import open_dataset
from inkseek.datasets.dataset import Dataset
from inkseek.datasets.items import Items
from inkseek.datasets.sampling import PKBatches
from inkseek.errors import InkseekError
from inkseek.evaluation import provenance
from inkseek.evaluation.evaluate import evaluate_items
from inkseek.losses.catalogue import build_objective
from inkseek.losses.collapse import CollapseDetector
from inkseek.losses.diagnostics import diagnose
from inkseek.models.bundle import Model, new_model
from inkseek.models.tuning import apply_tuning, parameter_groups, set_train_mode
from inkseek.relations import Batch
from inkseek.training import plain_yaml
from inkseek.training.checkpoint import Checkpoints
from inkseek.training.ema import EMA
from inkseek.training.log import Log
from inkseek.training.pixels import TrainingPixels
from inkseek.training.recipe import Recipe
from inkseek.training.stopping import stop_requested

LOG_EVERY = 10


class Reporter(Protocol):
    """What a run tells whoever watches it."""

    def started(self, plan: Plan, step: int) -> None:
        """The run begins at `step`."""

    def stepped(self, step: int, figures: Mapping[str, float]) -> None:
        """A step is done; figures are empty but for logging steps."""

    def validated(self, step: int, metric: str, value: float, best: bool) -> None:
        """A checkpoint was measured."""

    def warned(self, step: int, advice: str) -> None:
        """The run goes wrong in a way that is known."""


@dataclass(frozen=True)
class Plan:
    """What a recipe comes to: counts for the summary that is printed first."""

    recipe: Recipe
    dataset: Dataset
    training: Items
    dim: int
    trained_parameters: int
    parameters: int


class Interrupted(InkseekError):
    """The run was asked to stop, and did so after saving."""

    exit_code = 130


def train(recipe: Recipe, run: Path, *, name: str, resume: bool, reporter: Reporter) -> Model:
    """Run a recipe and return the model of its best checkpoint, which `run/bundle` then holds.

    Args:
        recipe: what to run.
        run: the run's folder (DESIGN: `recipe.yaml`, `environment.json`, `log.jsonl`, `checkpoints/`, `bundle/`).
        name: the recipe's name, kept in the bundle.
        resume: go on from the folder's last checkpoint; from the start where it has none.
        reporter: is told of every step.

    Raises:
        InkseekError: the folder holds another run, a picture is unreadable, the loss is not finite, the disk is full.
        Interrupted: SIGINT or SIGTERM came; a checkpoint was written.
    """
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    dataset = open_dataset(recipe.data.name, recipe.data.root)
    validating = recipe.validate_.on != "none"
    training = dataset.training(hold_out=validating)
    protocol = protocols.protocol_of(dataset, "pseudo-unseen") if validating else None
    batches = PKBatches(training, seed=recipe.seed, **recipe.batch.model_dump())

    torch.manual_seed(recipe.seed)
    model = new_model(
        recipe.model.backbone,
        dim=recipe.model.dim,
        image_size=recipe.data.image_size,
        recipe=name,
        trained_on=dataset.name,
        attribution=dataset.attribution,
    )
    embedder = model.embedder.to(memory_format=torch.channels_last)
    apply_tuning(embedder, recipe.model.tune, recipe.model.batchnorm)
    # Losses with proxies have one for each class that is trained on, by the number of its place among them.
    trained_classes = np.unique(training.labels)
    objective = build_objective(recipe.objective, classes=len(trained_classes), dim=embedder.dim)
    groups = {**parameter_groups(embedder), "objective": list(objective.parameters())}
    optimiser = _optimiser(recipe, groups)
    detector = CollapseDetector(objective)
    ema = EMA(embedder, recipe.optim.ema)

    checkpoints = Checkpoints(run / "checkpoints")
    _claim(run, recipe, resume=resume)
    start, best = 0, -math.inf
    if (found := checkpoints.read()) is not None:
        state, figures = found
        embedder.load_state_dict(state["embedder"])
        objective.load_state_dict(state["objective"])
        optimiser.load_state_dict(state["optimiser"])
        ema.state, ema.updates = state["ema"], state["ema_updates"]
        torch.set_rng_state(state["rng"])
        start = int(state["step"])
        best = -math.inf if figures["best"] is None else float(figures["best"])
    log = Log(run / "log.jsonl", keep=start)
    trained = sum(p.numel() for group in groups.values() for p in group)
    plan = Plan(recipe, dataset, training, embedder.dim, trained, sum(p.numel() for p in embedder.parameters()))
    reporter.started(plan, start)

    pixels = TrainingPixels(training, recipe.data.image_size, recipe.augment.build(), recipe.seed)
    stream = islice(batches, start, recipe.optim.steps)
    loader: DataLoader[Any] = DataLoader(
        pixels,
        batch_sampler=stream,
        num_workers=recipe.workers,
        collate_fn=_collate,
    )
    normalise = model.normalise
    with stop_requested() as stop:
        for step, (inputs, index) in enumerate(loader, start=start + 1):
            _schedule(optimiser, recipe, step - 1)
            set_train_mode(embedder, recipe.model.tune, recipe.model.batchnorm)
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                embeddings = embedder(normalise(inputs).contiguous(memory_format=torch.channels_last))
            batch = _batch(embeddings, training, np.searchsorted(trained_classes, training.labels[index]), index)
            loss = objective(batch)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            ema.update(embedder)

            row: dict[str, float] = {}
            if step % LOG_EVERY == 0 or step == recipe.optim.steps:
                row = _figures(loss, objective.terms, diagnose(objective, batch), optimiser)
                if not math.isfinite(row["loss"]):
                    raise InkseekError(
                        f"{run}: the loss is {row['loss']} at step {step}; the last checkpoint stands: lower optim.lr"
                    )
                log.write(step, row)
                for advice in detector.look(row):
                    reporter.warned(step, advice)
            reporter.stepped(step, row)

            last = step == recipe.optim.steps
            due = step % recipe.validate_.every == 0 or last
            improved = due and protocol is None
            if due and protocol is not None:
                metric = recipe.validate_.metric
                measured = _averaged(model, ema.state, recipe, step=step, path=None)
                value = _validate(measured, protocol, metric)
                improved = value > best
                best = max(best, value)
                log.write(step, {f"validation {metric}": value})
                reporter.validated(step, metric, value, improved)
            # A stop between two validations only saves: it must not change which checkpoint is chosen.
            if due or stop.is_set():
                state = {
                    "step": step,
                    "embedder": embedder.state_dict(),
                    "objective": objective.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "ema": ema.state,
                    "ema_updates": ema.updates,
                    "rng": torch.get_rng_state(),
                }
                checkpoints.write(step, state, {"best": best if math.isfinite(best) else None}, best=improved)
            if stop.is_set() and not last:
                raise Interrupted(f"{run}: stopped after step {step}, which is saved; go on with --resume")
    return _finish(run, model, recipe, checkpoints)


def _optimiser(recipe: Recipe, groups: Mapping[str, list[torch.nn.Parameter]]) -> torch.optim.Optimizer:
    rates = recipe.optim.lr.model_dump()
    rates["objective"] = rates["head"] if rates["objective"] is None else rates["objective"]
    parts = [
        {"params": parameters, "lr": rates[name], "base": rates[name], "name": name}
        for name, parameters in groups.items()
        if parameters
    ]
    kind: type[torch.optim.AdamW | torch.optim.Adam]
    kind = torch.optim.AdamW if recipe.optim.name == "adamw" else torch.optim.Adam
    return kind(parts, weight_decay=recipe.optim.weight_decay)


def _schedule(optimiser: torch.optim.Optimizer, recipe: Recipe, done: int) -> None:
    share = done / recipe.optim.steps
    factor = 0.5 * (1 + math.cos(math.pi * share)) if recipe.optim.schedule == "cosine" else 1.0
    for group in optimiser.param_groups:
        group["lr"] = group["base"] * factor


def _collate(rows: list[tuple[npt.NDArray[np.uint8], int]]) -> tuple[Tensor, npt.NDArray[np.int64]]:
    return torch.from_numpy(np.stack([pixels for pixels, _ in rows])), np.array([index for _, index in rows])


def _batch(embeddings: Tensor, items: Items, classes: npt.NDArray[np.int64], index: npt.NDArray[np.int64]) -> Batch:
    """Sketches against photos; a batch holds its sketches first."""
    labels, instances = torch.from_numpy(classes), torch.from_numpy(items.instances[index])
    n = int((items.domains[index] == "sketch").sum())
    pair = (instances[:n], instances[n:]) if items.paired else None
    return Batch(embeddings[:n], labels[:n], embeddings[n:], labels[n:], instances=pair)


def _figures(
    loss: Tensor, terms: Mapping[str, Tensor], relations: Mapping[str, Tensor], optimiser: torch.optim.Optimizer
) -> dict[str, float]:
    rates = {"lr": [float(group["lr"]) for group in optimiser.param_groups if group["name"] != "objective"][-1]}
    return {
        "loss": float(loss.detach()),
        **{key: float(value) for key, value in {**terms, **relations}.items()},
        **rates,
    }


def _validate(model: Model, protocol: protocols.Protocol, metric: str) -> float:
    evaluation = evaluate_items(model, protocol, metrics=(metric,), cached=False)
    return evaluation.results.metrics[metric]


def _averaged(model: Model, weights: Mapping[str, Tensor], recipe: Recipe, *, step: int, path: Path | None) -> Model:
    """The model as it is measured and kept: with averaged weights, and without the head where the recipe drops it."""
    embedder = copy.deepcopy(model.embedder)
    embedder.load_state_dict(weights)
    card = model.card.model_copy(update={"step": step})
    if recipe.model.head == "dropped":
        embedder, card = embedder.without_head(), card.model_copy(update={"dim": None, "head_batchnorm": False})
    return Model(embedder, card, path=path)


def _finish(run: Path, model: Model, recipe: Recipe, checkpoints: Checkpoints) -> Model:
    found = checkpoints.read("best")
    if found is None:
        raise InkseekError(f"{run}: no checkpoint was written; remove the folder and train again")
    state, _ = found
    best = _averaged(model, state["ema"], recipe, step=int(state["step"]), path=run)
    best.save(run / "bundle")
    return best


def _claim(run: Path, recipe: Recipe, *, resume: bool) -> None:
    """Take a folder for this run, or make sure that it already is this run's."""
    written = run / "recipe.yaml"
    values = plain_yaml.parse(recipe.to_yaml())
    if written.exists():
        if not resume:
            raise InkseekError(f"{run}: holds a run already; go on with --resume, or choose another folder with --run")
        try:
            same = plain_yaml.parse(written.read_text(encoding="utf-8")) == values
        except (yaml.YAMLError, UnicodeDecodeError):
            same = False
        if not same:
            raise InkseekError(f"{written}: another recipe than the one to resume; choose another folder with --run")
        return
    try:
        if run.exists() and any(run.iterdir()):
            raise InkseekError(f"{run}: not empty and not a run; choose another folder with --run")
        run.mkdir(parents=True, exist_ok=True)
        environment = {
            "seed": recipe.seed,
            "commit": provenance.commit(),
            "hardware": provenance.hardware(),
            "versions": provenance.versions(),
        }
        (run / "environment.json").write_text(json.dumps(environment, indent=2) + "\n", encoding="utf-8")
        written.write_text(recipe.to_yaml(), encoding="utf-8")
    except OSError as error:
        raise InkseekError(f"{run}: cannot be written ({error.strerror}); choose another folder with --run") from None
