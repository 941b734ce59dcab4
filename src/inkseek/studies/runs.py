"""Runs of a study: trained once under a folder that their recipe names, measured, and put away small."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from inkseek.datasets.protocol import Protocol, open_protocol
from inkseek.errors import InkseekError
from inkseek.evaluation.evaluate import Evaluation, evaluate_items
from inkseek.models.bundle import Model
from inkseek.models.embedding import Cached
from inkseek.studies.study import Row
from inkseek.training.log import read_log
from inkseek.training.recipe import Recipe, load_recipe
from inkseek.training.reporting import Reporter
from inkseek.training.trainer import train

_NOT_WHAT_IS_RUN = {"seed", "device", "threads", "workers", "track"}


@dataclass(frozen=True)
class Bench:
    """Where runs are made.

    Attributes:
        folder: holds the runs' folders, which studies share.
        data: holds the data sets' folders, under the names that recipes give them; None takes the recipes' own places.
        set: overrides for every run, after the rows' own.
        reporter: watches each run.
    """

    folder: Path
    data: Path | None
    set: tuple[str, ...]
    reporter: Reporter

    def recipe(self, row: Row, settings: Sequence[str], *more: str) -> Recipe:
        """Return a row's recipe under the given settings."""
        return self._at_data(row.recipe, [*row.set, *settings, *more, *self.set])

    def protocol(self, row: Row, recipe: Recipe) -> Protocol:
        """Open what a row's recipe is measured on; with class galleries where it trains on pairs.

        Raises:
            InkseekError: what the protocol refuses.
        """
        data, name = recipe.data, f"{recipe.data.name}/unseen"
        if row.measured_on is not None:
            data = self._at_data(row.measured_on, []).data
            name = f"{data.name}/all@without={recipe.data.name}"
        protocol = open_protocol(name, data.root)
        return replace(protocol, class_galleries=True) if recipe.batch.pairs else protocol

    def _at_data(self, name: str, overrides: Sequence[str]) -> Recipe:
        recipe = load_recipe(name, overrides)
        if self.data is not None and recipe.data.root is not None:
            recipe = load_recipe(name, [*overrides, f"data.root={self.data / recipe.data.root.name}"])
        return recipe

    def figure(self, recipe: Recipe) -> float:
        """Train a recipe that validates, and return its last validation figure; the model is not kept.

        Raises:
            InkseekError: what training refuses.
            Interrupted: training was asked to stop; it goes on the next time.
        """
        folder, name = self.folder_of(recipe), f"validation {recipe.validate_.metric}"

        def last() -> float | None:
            rows = [row for row in read_log(folder / "log.jsonl") if name in row]
            return rows[-1][name] if rows and rows[-1]["step"] == recipe.optim.steps else None

        if last() is None:
            train(recipe, folder, name=folder.name, resume=True, reporter=self.reporter)
        if (found := last()) is None:
            raise InkseekError(f"{folder}: has no figure of its last step; remove the folder and run again")
        for part in ("checkpoints", "bundle"):
            shutil.rmtree(folder / part, ignore_errors=True)
        return found

    def model(self, recipe: Recipe) -> Path:
        """Train a recipe unless a run of it is there already, and return its folder.

        Raises:
            InkseekError: what training refuses.
            Interrupted: training was asked to stop; it goes on the next time.
        """
        folder = self.folder_of(recipe)
        if not (folder / "bundle").is_dir():  # it appears whole, when everything else is done
            train(recipe, folder, name=folder.name, resume=True, reporter=self.reporter)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return folder

    def folder_of(self, recipe: Recipe) -> Path:
        """Return the folder of a recipe's run."""
        return self.folder / f"{recipe.data.name.replace('/', '-')}-{digest(recipe)}-seed{recipe.seed}"


def digest(recipe: Recipe) -> str:
    """Return a short name of what a recipe computes, whatever its seed, and wherever and on what it runs."""
    values = recipe.model_dump(mode="json", by_alias=True, exclude=_NOT_WHAT_IS_RUN)
    values["data"].pop("root")
    values["model"]["weights"] = values["model"]["weights"] is not None
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def measure(model: Model, recipe: Recipe, protocol: Protocol) -> Evaluation:
    """Measure a recipe's model on a protocol.

    Raises:
        InkseekError: what the protocol refuses.
    """
    # A head's backbone is the same in every run, so that its features are worth keeping; another's embeddings are not.
    cached: Cached = "features" if recipe.model.tune == "head" else False
    return evaluate_items(model, protocol, cached=cached)


def environment(folder: Path) -> Mapping[str, str]:
    """Return commit, hardware and versions that a run was trained with."""
    read = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    return {name: str(read[name]) for name in ("commit", "hardware", "versions")}
