"""What goes wrong for a user: one line that says what, where and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:  # what needs torch alone must not need pydantic
    from pydantic import BaseModel, ValidationError


class InkseekError(Exception):
    """A mistake in what came from outside (a path, a recipe, a picture), written for the person who reads it.

    The command line prints it as one line and exits with `exit_code`; anything else that is raised is a bug.
    """

    exit_code = 2


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the known name closest to a mistyped one, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def first_problem(error: ValidationError, model: type[BaseModel], *above: str) -> str:
    """Say in a line the first thing that does not fit a model: which key, what is wrong, the nearest valid key.

    Args:
        error: pydantic's.
        model: what was validated.
        above: the keys that the model itself stands under.
    """
    first = error.errors()[0]
    keys, models = list(above), [model]
    for part in map(str, first["loc"]):
        chosen = [of for of in models if any(field.default == part for field in of.model_fields.values())]
        fields = [field for of in models for name, field in of.model_fields.items() if part in (name, field.alias)]
        if chosen and not fields:  # no key, but the word that has chosen one of several forms
            models = chosen
            continue
        keys.append(part)
        if fields or first["type"] != "extra_forbidden":
            models = [of for field in fields for of in _models_in(field.annotation)]
    key = ".".join(keys)
    if first["type"] == "extra_forbidden":
        known = [field.alias or name for of in models for name, field in of.model_fields.items()]
        return f"unknown key {key!r}{nearest(keys[-1], known)}"
    if first["type"] == "missing":
        return f"{key} is missing"
    if first["type"] == "value_error":
        return f"{key}: {first['ctx']['error']}"
    return f"{key}: {first['msg'][0].lower()}{first['msg'][1:]}, not {first['input']!r}"


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that a type is made of."""
    if hasattr(annotation, "model_fields"):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
