"""What is asked of the API and what it answers, checked field by field."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from inkseek.images.preprocessing import Domain

MOST_HITS = 200
MOST_EXAMPLES = 16
MOST_STROKES = 10_000
MOST_THUMBS = 100
MOST_QUERY = 100_000

Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
FolderKey = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class Message(BaseModel):
    """A body; a key that it does not know is an error, so that a misspelt one is not passed over."""

    model_config = ConfigDict(extra="forbid")


class Example(Message):
    """One thing that a search is about: `strokes`, a `picture` of the gallery, or the `query` of an earlier answer."""

    strokes: list[tuple[list[FiniteFloat], list[FiniteFloat]]] | None = Field(
        None, max_length=MOST_STROKES, description="QuickDraw's form: each stroke is [xs, ys], in any unit, y down."
    )
    widths: list[FiniteFloat] | None = Field(
        None, max_length=MOST_STROKES, description="Each stroke's width as a multiple of the usual pen's."
    )
    picture: Id | None = Field(None, description="One of the gallery's own pictures; it is left out of the answer.")
    query: str | None = Field(
        None, max_length=MOST_QUERY, description="As an earlier answer gave it: for pictures that were sent."
    )
    weight: FiniteFloat = Field(1.0, description="How much it counts; below zero for what is not wanted.")

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if sum(part is not None for part in (self.strokes, self.picture, self.query)) != 1:
            raise ValueError("an example is one of strokes, picture, query")
        if self.widths is not None and self.strokes is None:
            raise ValueError("widths are those of strokes")
        return self


class Options(Message):
    """How much to answer, and which pictures may be found at all."""

    k: int = Field(40, ge=1, le=MOST_HITS, description="How many pictures.")
    folder: FolderKey | None = Field(None, description="Only below this folder: a key of `/api/folders`.")
    newer: datetime | None = Field(None, description="Only files changed at this time or later.")
    older: datetime | None = Field(None, description="Only files changed before this time.")
    min_side: int | None = Field(None, ge=1, le=10**6, description="Only with so many pixels on the shorter side.")
    collapse: bool = Field(False, description="Fold near-duplicates into the best of them.")
    cutoff: float | None = Field(
        None,
        gt=0,
        le=2,
        description="How much farther than the best picture the cut-off line lies (Euclidean); by default what the "
        "model has learned or, where it has not, half way from the best picture to the gallery's median.",
    )


class PictureOptions(Options):
    """The same for a picture that is sent."""

    domain: Domain = Field("sketch", description="Whether it is a drawing, or a photo to find more like it.")


class Search(Options):
    """What to find: examples that count together."""

    examples: list[Example] = Field(min_length=1, max_length=MOST_EXAMPLES)


class Feedback(Search):
    """A search again, moved towards pictures with a thumb up and away from those with a thumb down."""

    up: list[Id] = Field([], max_length=MOST_THUMBS)
    down: list[Id] = Field([], max_length=MOST_THUMBS)


class Found(BaseModel):
    """One picture of an answer; `score` is the cosine similarity to the query."""

    id: int
    name: str
    path: str
    score: float
    width: int
    height: int
    thumbnail: str = Field(description="Where its thumbnail is; this address never shows another picture.")
    duplicates: list[int] = Field(description="Ids of near-duplicates folded into it.")


class Answer(BaseModel):
    """The pictures most like the query, best first."""

    hits: list[Found]
    within: int = Field(description="How many of them lie before the cut-off line.")
    query: str = Field(description="What was asked, without thumbs: an example for later searches here.")


class About(BaseModel):
    """What this gallery is: its file's name, its pictures, the model that made it, whose pictures they are."""

    name: str
    count: int
    model: str
    fingerprint: str
    attributions: list[str]


class Folder(BaseModel):
    """A folder with indexed pictures in it or below, under the key by which a search can be narrowed to it."""

    key: FolderKey
    name: str
    count: int


class Problem(BaseModel):
    """What went wrong, in one line."""

    detail: str
