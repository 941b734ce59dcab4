"""Recipes: a training run's whole configuration, checked before anything else happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inkseek.datasets.catalogue import DATASETS
from inkseek.errors import InkseekError, first_problem, nearest
from inkseek.images.augmentation import Augmentation
from inkseek.images.preprocessing import Preparation
from inkseek.losses.catalogue import build_objective
from inkseek.margins.bilevel import bilevel_term
from inkseek.margins.settings import MetaSettings, with_margins
from inkseek.metrics.names import metric as parse_metric
from inkseek.models.tuning import BatchNormMode, Tune
from inkseek.training import plain_yaml
from inkseek.training.tracking import TrackerName

_SUFFIXES = (".yaml", ".yml")
_WHOLE = ("batch", "objective")
"""Sections of which a recipe that extends another says all or nothing: a key left over would change what it is."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Part):
    """Which data set, where its pictures are, and how the model sees them.

    Photos are squeezed whole into squares of `image_size`. With `resize` they keep their aspect ratio: their shorter
    side is brought to `resize` pixels, and `image_size` is cut out of the middle, in training out of a random place.
    `classes` trains on so many of the seen classes alone, spread evenly over their list.
    """

    name: str
    root: Path | None = None
    image_size: int = Field(default=128, ge=32, le=1024)
    resize: int | None = Field(default=None, ge=32, le=2048)
    classes: int | None = Field(default=None, ge=2)

    @model_validator(mode="after")
    def _crops_what_is_there(self) -> Self:
        if self.resize is not None and self.resize < self.image_size:
            raise ValueError(f"resize ({self.resize}) must be at least image_size ({self.image_size}), the crop")
        return self


class ModelPart(_Part):
    """The network and what of it learns.

    With `dim: null` there is no head: the embedding is the backbone's own feature. With `head: dropped` losses see the
    head's output, but what is measured and kept is the feature below it, as with the projection head of SimCLR (Chen et
    al., ICML 2020): the head takes upon itself what only the seen classes need. `weights` is a file to start from, in
    place of those that the backbone's name stands for; `head_batchnorm` normalises the feature below the head, as SEC.
    """

    backbone: str = "tf_efficientnet_lite0"
    weights: Path | None = None
    dim: int | None = Field(default=256, ge=2, le=8192)
    head: Literal["kept", "dropped"] = "kept"
    head_batchnorm: bool = False
    tune: Tune = "full"
    batchnorm: BatchNormMode = "frozen"


_BATCHES = {
    ("classes", "sketches", "photos"): "classes x (sketches + photos)",
    ("classes", "photos"): "classes x photos, of photos alone",
    ("classes", "pairs"): "classes x pairs of a sketch and its own photo",
    ("pairs",): "random pairs of a sketch and its own photo",
    ("photos",): "random photos, of photos alone",
}


class BatchPart(_Part):
    """What meets in a step; its keys say which kind of batch it is.

    `classes, sketches, photos`: P classes, and of each so many sketches and photos. `classes, photos`: the same of
    photos alone. `classes, pairs`: P classes, and of each K sketches beside their own photos. `pairs`: N such pairs at
    random. `photos`: N photos at random.

    With `anchors: both` every picture of a batch of sketches and photos is an anchor and meets all others, as in one
    domain. A batch too large for the memory goes through the network in `parts`; the loss is that of the whole.
    """

    classes: int | None = Field(default=None, ge=2)
    sketches: int | None = Field(default=None, ge=1)
    photos: int | None = Field(default=None, ge=1)
    pairs: int | None = Field(default=None, ge=1)
    anchors: Literal["sketches", "both"] = "sketches"
    parts: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _is_one_of_the_kinds(self) -> Self:
        if self.kind not in _BATCHES:
            forms = " | ".join(f"{', '.join(keys)} ({what})" for keys, what in _BATCHES.items())
            raise ValueError(f"the keys {', '.join(self.kind) or '(none)'} make no batch; there are: {forms}")
        return self

    @property
    def kind(self) -> tuple[str, ...]:
        """Which of the numbers are given."""
        return tuple(key for key in ("classes", "sketches", "photos", "pairs") if getattr(self, key) is not None)

    def __str__(self) -> str:
        """Say the batch in words."""
        words = _BATCHES[self.kind].split(", ")[0]
        for key in self.kind:
            words = words.replace(key, f"{getattr(self, key)} {key}", 1)
        return words


class AugmentPart(_Part):
    """See `inkseek.images.augmentation.Augmentation`."""

    flip: float = Field(default=0.5, ge=0, le=1)
    rotation: float = Field(default=10.0, ge=0, le=180)
    scale: float = Field(default=0.75, gt=0, le=1)
    stroke: float = Field(default=0.5, ge=0, le=1)
    colour: float = Field(default=0.3, ge=0, lt=1)
    grey: float = Field(default=0.2, ge=0, le=1)

    @property
    def nothing(self) -> bool:
        """Whether pictures stay as they are."""
        return self.scale == 1 and not any((self.flip, self.rotation, self.stroke, self.colour, self.grey))

    def build(self, prepare: Preparation) -> Augmentation:
        """Return the augmentation of pictures that are prepared so."""
        return Augmentation(**self.model_dump(), crop=prepare.size if prepare.resize else None)


class Rates(_Part):
    """Learning rates: of the backbone, of the head, and of what the objective itself learns (proxies, a margin).

    The objective's is the head's where it is not given; papers with proxies take 100 times the backbone's.
    """

    backbone: float = Field(ge=0)
    head: float = Field(ge=0)
    objective: float | None = Field(default=None, ge=0)


class Optim(_Part):
    """Optimiser and schedule.

    Over the first `warmup` steps the rates rise linearly. Then `cosine` lets them fall to zero at the last step, and
    `milestones` multiplies them by `factor` at each step that `milestones` names. Gradients longer than `clip` are cut
    to that length. `no_decay` keeps the scales and shifts of normalisation layers, or biases too, out of weight decay.
    """

    name: Literal["adamw", "adam"] = "adamw"
    lr: Rates
    weight_decay: float = Field(default=0.01, ge=0)
    no_decay: Literal["none", "norms", "norms-and-biases"] = "none"
    schedule: Literal["cosine", "constant", "milestones"] = "cosine"
    milestones: tuple[Annotated[int, Field(ge=1)], ...] = ()
    factor: float = Field(default=0.1, gt=0, le=1)
    warmup: int = Field(default=0, ge=0)
    clip: float | None = Field(default=None, gt=0)
    steps: int = Field(ge=1)
    ema: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if bool(self.milestones) != (self.schedule == "milestones"):
            raise ValueError("milestones and schedule: milestones go together: give both or neither")
        if self.warmup >= self.steps:
            raise ValueError(f"warmup ({self.warmup}) must be shorter than steps ({self.steps})")
        return self


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
    """A training run's whole configuration.

    A term's `margin` in `objective` is a number, or `{kind: relation | scalar | anchor, ...}`
    (`inkseek.margins.settings`). With `meta` a learned margin is taught by the bilevel step; without, it descends on
    the objective like everything else, which drives it to its lower bound. A relation network reads the head's output,
    and is kept in the bundle where the head is.

    `bfloat16` computes the network in half precision where that is safe; losses and what is learned stay float32.
    `float64` is for comparisons that must be exact.
    """

    data: Data
    model: ModelPart = ModelPart()
    batch: BatchPart
    augment: AugmentPart = AugmentPart()
    objective: dict[str, dict[str, Any] | None]
    meta: MetaSettings | None = None
    optim: Optim
    validate_: Validate = Field(default=Validate(), alias="validate")
    seed: int = Field(default=0, ge=0, lt=2**31)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16", "float64"] = "float32"
    threads: int | None = Field(default=None, ge=1)
    workers: int = Field(default=0, ge=0, le=64)
    track: TrackerName | None = None

    def to_yaml(self) -> str:
        """Return the resolved recipe, every default written out."""
        text: str = yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True)
        return text


def shipped_recipes() -> list[str]:
    """Return the names of the recipes in the package; those of a paper's table have the table's name in front."""
    folder = resources.files("inkseek.recipes")
    here = [("", folder), *((f"{part.name}/", part) for part in folder.iterdir() if part.is_dir())]
    return sorted(
        above + file.name.removesuffix(".yaml")
        for above, part in here
        for file in part.iterdir()
        if file.name.endswith(".yaml")
    )


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a shipped recipe by name, or a YAML file, and apply overrides.

    A recipe may say `extends: other`, a shipped recipe's name or a file beside it: what it does not say itself is the
    other's. Sections are joined key by key, but for `batch` and `objective`, which are taken whole.

    Args:
        name: `quickdraw-rdvc`, or a path that ends in `.yaml` or `.yml`.
        overrides: `a.b=value`, the value in YAML.

    Raises:
        InkseekError: no such recipe, not YAML, recipes that extend each other in a circle, or a key or value that does
            not fit: the line names the key, the file and the nearest valid name.
    """
    values = _read(name, ())
    for override in overrides:
        _override(values, override)
    return check_recipe(values, name if name.endswith(_SUFFIXES) else f"{name}.yaml")


def check_recipe(values: Mapping[str, Any], where: str) -> Recipe:
    """Check a recipe's values, down to the data set's, the losses' and the metric's names.

    Raises:
        InkseekError: one line for the first thing that does not fit.
    """
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise InkseekError(f"{where}: {first_problem(error, Recipe)}") from None
    if recipe.data.name not in DATASETS:
        raise InkseekError(
            f"{where}: data.name: no data set is named {recipe.data.name!r}{nearest(recipe.data.name, DATASETS)}"
        )
    try:
        # How many there will be, the data and the model say.
        objective = build_objective(with_margins(recipe.objective, classes=2, dim=2), classes=2, dim=2)
        if recipe.meta is not None:
            bilevel_term(objective)
        parse_metric(recipe.validate_.metric)
    except InkseekError as error:
        raise InkseekError(f"{where}: {error}") from None
    return recipe


def _read(name: str, below: tuple[str, ...]) -> dict[str, Any]:
    """A recipe's values, with those of the recipes that it extends; `below` are the ones that extend it."""
    if name in below:
        raise InkseekError(f"recipes extend each other in a circle: {' -> '.join((*below, name))}")
    if name.endswith(_SUFFIXES):
        file: Traversable = Path(name).expanduser()
    else:
        known = shipped_recipes()
        if name not in known:
            by = f"{below[-1]}: extends: " if below else ""
            raise InkseekError(
                f"{by}no recipe is named {name!r}{nearest(name, known)}; there are: {', '.join(known)}, or give a YAML "
                "file"
            )
        file = resources.files("inkseek.recipes") / f"{name}.yaml"
    try:
        values = plain_yaml.parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InkseekError(f"{name}: the recipe cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise InkseekError(f"{name}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise InkseekError(f"{name}: a recipe is a mapping of data, model, batch, objective, optim, ...")
    other = values.pop("extends", None)
    if other is None:
        return values
    if not isinstance(other, str):
        raise InkseekError(f"{name}: extends names one recipe, not {other!r}")
    if other.endswith(_SUFFIXES):
        other = str(Path(name).parent / other)
    return _join(_read(other, (*below, name)), values)


def _join(under: Mapping[str, Any], over: Mapping[str, Any], whole: Sequence[str] = _WHOLE) -> dict[str, Any]:
    """Two mappings as one, key by key; `over` has the last word."""
    joined = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(joined.get(key), Mapping) and key not in whole
        joined[key] = _join(joined[key], value, ()) if both else value
    return joined


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
