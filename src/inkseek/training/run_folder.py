"""A run's folder: taken for one recipe, and never from another run."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from inkseek.errors import InkseekError
from inkseek.evaluation import provenance
from inkseek.training import plain_yaml
from inkseek.training.recipe import Recipe, check_recipe


def claim(run: Path, recipe: Recipe, *, resume: bool, processes: int) -> None:
    """Take a folder for this run, or make sure that it already is this run's.

    Raises:
        InkseekError: the folder holds another run or something else, or cannot be written.
    """
    written = run / "recipe.yaml"
    if written.exists():
        if not resume:
            raise InkseekError(f"{run}: holds a run already; go on with --resume, or choose another folder with --run")
        if _read(written) != recipe:
            raise InkseekError(f"{written}: another recipe than the one to resume; choose another folder with --run")
        return
    try:
        if run.exists() and any(run.iterdir()):
            raise InkseekError(f"{run}: not empty and not a run; choose another folder with --run")
        run.mkdir(parents=True, exist_ok=True)
        environment = {
            "seed": recipe.seed,
            "processes": processes,
            "commit": provenance.commit(),
            "hardware": provenance.hardware(),
            "versions": provenance.versions(),
        }
        (run / "environment.json").write_text(json.dumps(environment, indent=2) + "\n", encoding="utf-8")
        written.write_text(recipe.to_yaml(), encoding="utf-8")
    except OSError as error:
        raise InkseekError(f"{run}: cannot be written ({error.strerror}); choose another folder with --run") from None


def _read(written: Path) -> Recipe | None:
    """The recipe that the folder was taken for; keys that a later version added have their defaults."""
    try:
        values = plain_yaml.parse(written.read_text(encoding="utf-8"))
        return check_recipe(values, str(written))
    except (yaml.YAMLError, UnicodeDecodeError, InkseekError):
        return None
