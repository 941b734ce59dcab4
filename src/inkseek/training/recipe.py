"""Recipes: a training run's whole configuration, checked before anything else happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inkseek.datasets.catalogue import DATASETS
from inkseek.errors import InkseekError, nearest
from inkseek.images.augmentation import Augmentation
from inkseek.losses.catalogue import build_objective
from inkseek.metrics.names import metric as parse_metric
from inkseek.models.tuning import BatchNormMode, Tune
from inkseek.training import plain_yaml


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Part):
    """Which data set, where its pictures are, and how large the model sees them."""

    name: str
    root: Path | None = None
    image_size: int = Field(default=128, ge=32, le=1024)


class ModelPart(_Part):
    """The network and what of it learns.

    With `dim: null` there is no head: the embedding is the backbone's own feature. With `head: dropped` losses see the
    head's output, but what is measured and kept is the feature below it, as with the projection head of SimCLR (Chen et
    al., ICML 2020): the head takes upon itself what only the seen classes need.
    """

    backbone: str = "tf_efficientnet_lite0"
    dim: int | None = Field(default=256, ge=2, le=8192)
    head: Literal["kept", "dropped"] = "kept"
    tune: Tune = "full"
    batchnorm: BatchNormMode = "frozen"


class BatchPart(_Part):
    """P classes, and of each so many sketches and photos."""

    classes: int = Field(ge=2)
    sketches: int = Field(ge=1)
    photos: int = Field(ge=1)


class AugmentPart(_Part):
    """See `inkseek.images.augmentation.Augmentation`."""

    flip: float = Field(default=0.5, ge=0, le=1)
    rotation: float = Field(default=10.0, ge=0, le=180)
    scale: float = Field(default=0.75, gt=0, le=1)
    stroke: float = Field(default=0.5, ge=0, le=1)
    colour: float = Field(default=0.3, ge=0, lt=1)
    grey: float = Field(default=0.2, ge=0, le=1)

    def build(self) -> Augmentation:
        """Return the augmentation."""
        return Augmentation(**self.model_dump())


class Rates(_Part):
    """Learning rates: of the backbone, of the head, and of what the objective itself learns (proxies, a margin).

    The objective's is the head's where it is not given; papers with proxies take 100 times the backbone's.
    """

    backbone: float = Field(ge=0)
    head: float = Field(ge=0)
    objective: float | None = Field(default=None, ge=0)


class Optim(_Part):
    """Optimiser and schedule."""

    name: Literal["adamw", "adam"] = "adamw"
    lr: Rates
    weight_decay: float = Field(default=0.01, ge=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    steps: int = Field(ge=1)
    ema: float = Field(default=0.0, ge=0, lt=1)


class Validate(_Part):
    """How often a checkpoint is written, and how one is chosen.

    On `pseudo-unseen` the data set's held-out seen classes measure every checkpoint by the metric, and the best is
    kept. On `none` all seen classes are trained on, nothing is measured, and the last is kept: for settings that have
    been chosen with held-out classes before.
    """

    every: int = Field(default=100, ge=1)
    on: Literal["pseudo-unseen", "none"] = "pseudo-unseen"
    metric: str = "mAP@all"


class Recipe(_Part):
    """A training run's whole configuration."""

    data: Data
    model: ModelPart = ModelPart()
    batch: BatchPart
    augment: AugmentPart = AugmentPart()
    objective: dict[str, dict[str, Any] | None]
    optim: Optim
    validate_: Validate = Field(default=Validate(), alias="validate")
    seed: int = Field(default=0, ge=0, lt=2**31)
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: int | None = Field(default=None, ge=1)
    workers: int = Field(default=0, ge=0, le=64)

    def to_yaml(self) -> str:
        """Return the resolved recipe, every default written out."""
        text: str = yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True)
        return text


def shipped_recipes() -> list[str]:
    """Return the names of the recipes in the package."""
    files = resources.files("inkseek.recipes").iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a shipped recipe by name, or a YAML file, and apply overrides.

    Args:
        name: `quickdraw-rdvc`, or a path that ends in `.yaml` or `.yml`.
        overrides: `a.b=value`, the value in YAML.

    Raises:
        InkseekError: no such recipe, not YAML, or a key or value that does not fit: the line names the key, the file
            and the nearest valid name.
    """
    if name.endswith((".yaml", ".yml")):
        where = name
        try:
            text = Path(name).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InkseekError(f"{name}: the recipe cannot be read ({error})") from None
    else:
        known = shipped_recipes()
        if name not in known:
            raise InkseekError(
                f"no recipe is named {name!r}{nearest(name, known)}; there are: {', '.join(known)}, or give a YAML file"
            )
        where = f"{name}.yaml"
        text = (resources.files("inkseek.recipes") / where).read_text(encoding="utf-8")
    try:
        values = plain_yaml.parse(text)
    except yaml.YAMLError as error:
        raise InkseekError(f"{where}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise InkseekError(f"{where}: a recipe is a mapping of data, model, batch, objective, optim, ...")
    for override in overrides:
        _override(values, override)
    return check_recipe(values, where)


def check_recipe(values: Mapping[str, Any], where: str) -> Recipe:
    """Check a recipe's values, down to the data set's, the losses' and the metric's names.

    Raises:
        InkseekError: one line for the first thing that does not fit.
    """
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise InkseekError(f"{where}: {_first_line(error)}") from None
    if recipe.data.name not in DATASETS:
        raise InkseekError(
            f"{where}: data.name: no data set is named {recipe.data.name!r}{nearest(recipe.data.name, DATASETS)}"
        )
    try:
        build_objective(recipe.objective, classes=2, dim=2)  # how many there will be, the data and the model say
        parse_metric(recipe.validate_.metric)
    except InkseekError as error:
        raise InkseekError(f"{where}: {error}") from None
    return recipe


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InkseekError(f"--set {override}: write it as key.key=value, for example --set optim.steps=400")
    try:
        value = plain_yaml.parse(text)
    except yaml.YAMLError:
        raise InkseekError(f"--set {override}: the value is not YAML") from None
    here: Any = values
    *above, last = key.split(".")
    for part in above:
        if here.get(part) is None:
            here[part] = {}
        here = here[part]
        if not isinstance(here, dict):
            raise InkseekError(f"--set {override}: {part} is a single value and has no keys of its own")
    here[last] = value


def _first_line(error: ValidationError) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}{nearest(path[-1], _keys_at(path[:-1]))}"
    if first["type"] == "missing":
        return f"{key} is missing"
    return f"{key}: {first['msg'][0].lower()}{first['msg'][1:]}, not {first['input']!r}"


def _keys_at(path: Sequence[str]) -> list[str]:
    part: Any = Recipe
    for name in path:
        field = next(f for key, f in part.model_fields.items() if name in (key, f.alias))
        options = [field.annotation, *get_args(field.annotation)]
        part = next(option for option in options if isinstance(option, type) and issubclass(option, BaseModel))
    return [field.alias or key for key, field in part.model_fields.items()]
