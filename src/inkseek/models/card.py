"""The card of a model: what `model.json` says, checked, since bundles come from strangers too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from inkseek.errors import InkseekError
from inkseek.images.preprocessing import PREPROCESSING_VERSION, Channels, Normalisation, Preparation
from inkseek.margins.settings import RelationSettings

_MOST_BYTES = 2**20
_Positive = Annotated[FiniteFloat, Field(gt=0)]


class MarginCard(BaseModel):
    """The relation network that a bundle carries: what it is built from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: RelationSettings
    classes: int = Field(ge=1, le=1_000_000)


class Card(BaseModel):
    """What `model.json` says: the architecture, the preprocessing, and where the weights come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    backbone: str
    dim: int | None = Field(gt=0, le=65536)
    image_size: int = Field(ge=16, le=2048)
    resize: int | None = Field(default=None, ge=16, le=2048)
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    std: tuple[_Positive, _Positive, _Positive]
    channels: Channels = "rgb"
    head_batchnorm: bool = False
    margin: MarginCard | None = None
    preprocessing: int
    recipe: str = ""
    step: int = 0
    trained_on: str = ""
    attribution: str = ""

    @model_validator(mode="after")
    def _crops_what_is_there(self) -> Self:
        if self.resize is not None and self.resize < self.image_size:
            raise ValueError(f"photos of {self.resize} pixels cannot be cropped to {self.image_size}")
        return self

    @property
    def preparation(self) -> Preparation:
        """How a picture becomes the network's pixels."""
        return Preparation(self.image_size, self.resize)

    @property
    def normalisation(self) -> Normalisation:
        """What is done to pixels before the network sees them."""
        return Normalisation(self.mean, self.std, self.channels)


def read_card(file: Path) -> Card:
    """Read a bundle's `model.json`.

    Raises:
        InkseekError: not a card, or one of another version of the preprocessing.
    """
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError(f"larger than {_MOST_BYTES} bytes")
        card = Card.model_validate_json(file.read_bytes())
    except (ValueError, OSError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InkseekError(f"{file}: not a model card of this version ({' '.join(reason.split())[:160]})") from None
    if card.preprocessing != PREPROCESSING_VERSION:
        raise InkseekError(
            f"{file.parent}: made for preprocessing version {card.preprocessing}, this is version "
            f"{PREPROCESSING_VERSION}; train it again"
        )
    return card
