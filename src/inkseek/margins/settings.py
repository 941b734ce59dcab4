"""How a recipe and a bundle describe a margin that is more than a number, and the module that the description means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from inkseek.errors import InkseekError, first_problem, nearest
from inkseek.margins.anchor import AnchorMargin
from inkseek.margins.class_memory import ClassMemory
from inkseek.margins.interval import Interval
from inkseek.margins.lrua import LRUA
from inkseek.margins.memory import Memory
from inkseek.margins.relation_network import RelationNetwork
from inkseek.margins.scalar import ScalarMargin


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LRUASettings(_Settings):
    """See `LRUA`."""

    kind: Literal["lrua"] = "lrua"
    slots: int = Field(default=128, ge=2, le=65536)
    temperature: float = Field(default=0.1, gt=0)
    decay: float = Field(default=0.95, ge=0, lt=1)
    gate: float = Field(default=0.5, ge=0, le=1)


class ClassSettings(_Settings):
    """See `ClassMemory`."""

    kind: Literal["class"] = "class"
    temperature: float = Field(default=0.1, gt=0)
    keep: float = Field(default=0.9, ge=0, lt=1)


class _Inside(_Settings):
    smallest: FiniteFloat = 0.05
    largest: FiniteFloat = 1.0
    start: FiniteFloat = 0.3

    @model_validator(mode="after")
    def _starts_inside(self) -> Self:
        try:
            self.interval.place(self.start)
        except InkseekError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def interval(self) -> Interval:
        """m_min and m_max."""
        return Interval(self.smallest, self.largest)


def _named(memory: Any) -> Any:
    return {"kind": memory} if isinstance(memory, str) else memory


class RelationSettings(_Inside):
    """A relation network's margin; see `RelationNetwork`. A memory may be given by its kind alone."""

    kind: Literal["relation"] = "relation"
    memory: Annotated[LRUASettings | ClassSettings, Field(discriminator="kind"), BeforeValidator(_named)] | None = (
        LRUASettings()
    )
    compared: bool = False
    hidden: int = Field(default=128, ge=1, le=65536)
    granularity: Literal["sample", "class"] = "class"

    def build(self, *, dim: int, classes: int) -> RelationNetwork:
        """The network for embeddings [., dim] and labels 0..classes-1."""
        memory: Memory | None = None
        if isinstance(self.memory, LRUASettings):
            memory = LRUA(dim, classes, **self.memory.model_dump(exclude={"kind"}))
        elif self.memory is not None:
            memory = ClassMemory(dim, classes, **self.memory.model_dump(exclude={"kind"}))
        return RelationNetwork(
            dim,
            memory,
            compared=self.compared,
            hidden=self.hidden,
            interval=self.interval,
            start=self.start,
            granularity=self.granularity,
        )


class ScalarSettings(_Inside):
    """One learned margin; see `ScalarMargin`."""

    kind: Literal["scalar"]

    def build(self, *, dim: int, classes: int) -> ScalarMargin:  # noqa: ARG002
        """The margin, whatever the embeddings and classes."""
        return ScalarMargin(interval=self.interval, start=self.start)


class AnchorSettings(_Settings):
    """A margin in closed form; see `AnchorMargin`."""

    kind: Literal["anchor"]
    scale: float = Field(default=0.3, gt=0, allow_inf_nan=False)

    def build(self, *, dim: int, classes: int) -> AnchorMargin:  # noqa: ARG002
        """The margin, whatever the embeddings and classes."""
        return AnchorMargin(scale=self.scale)


class MetaSettings(_Settings):
    """How a margin is learned by the bilevel step; see `Bilevel`.

    The inner rate is that of a single plain step on unit embeddings: below about 1 it leaves almost no trace of the
    margin in the outer loss.
    """

    every: int = Field(default=1, ge=1)
    held_out: float = Field(default=0.25, gt=0, lt=1)
    inner_rate: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    inner_normalise: bool = False
    lr: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    prototypes: float = Field(default=0.0, ge=0, allow_inf_nan=False)


MarginSettings = RelationSettings | ScalarSettings | AnchorSettings
_KINDS: dict[str, type[MarginSettings]] = {
    "relation": RelationSettings,
    "scalar": ScalarSettings,
    "anchor": AnchorSettings,
}


def margin_settings(term: str, given: Mapping[str, Any]) -> MarginSettings:
    """Check what a recipe says of a term's margin.

    Raises:
        InkseekError: for an unknown kind or key, naming the nearest valid one, or for a value that does not fit.
    """
    kind = given.get("kind")
    if kind not in _KINDS:
        close = nearest(str(kind), _KINDS)
        raise InkseekError(f"{term}: margin: kind must be {' or '.join(_KINDS)}, not {kind!r}{close}")
    try:
        return _KINDS[kind].model_validate(given)
    except ValidationError as error:
        raise InkseekError(f"{term}: {first_problem(error, _KINDS[kind], 'margin')}") from None


def with_margins(
    terms: Mapping[str, Mapping[str, Any] | None], *, classes: int, dim: int
) -> dict[str, Mapping[str, Any] | None]:
    """A recipe's `objective` section with modules in place of what describes them.

    A term's `margin:` that is a mapping, `{kind: relation, memory: class}` say, becomes the module that it means.

    Args:
        terms: the section.
        classes: how many classes the training labels 0..classes-1 name.
        dim: the embedding's.

    Raises:
        InkseekError: as `margin_settings`.
    """
    built: dict[str, Mapping[str, Any] | None] = {}
    for name, options in terms.items():
        margin = options.get("margin") if isinstance(options, Mapping) else None
        if isinstance(options, Mapping) and isinstance(margin, Mapping):
            built[name] = {**options, "margin": margin_settings(name, margin).build(dim=dim, classes=classes)}
        else:
            built[name] = options
    return built
