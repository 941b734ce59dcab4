"""The losses by name, for recipes and for the list of losses."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inkseek.errors import InkseekError, nearest
from inkseek.losses.objective import Objective
from inkseek.losses.rdvc import RDVC
from inkseek.losses.sec import SEC
from inkseek.losses.term import Term
from inkseek.losses.triplet import Triplet

TERMS: dict[str, type[Term]] = {"triplet": Triplet, "rdvc": RDVC, "sec": SEC}


@dataclass(frozen=True)
class Description:
    """What the list of losses says about one of them, read from its docstring.

    Attributes:
        name: its name in a recipe.
        summary: the docstring's first line.
        options: its options and their defaults.
        sections: the docstring's sections by title: Formula, Arguments, Inputs, Recommendations, Source.
    """

    name: str
    summary: str
    options: dict[str, Any]
    sections: dict[str, str]


def build(name: str, options: Mapping[str, Any] | None = None) -> Term:
    """Make a term from its name and options, as a recipe gives them.

    Raises:
        InkseekError: for an unknown name or option, naming the nearest valid one, or for a value that does not fit.
    """
    return _build(name, options or {}, reserved=())


def build_objective(terms: Mapping[str, Mapping[str, Any] | None]) -> Objective:
    """Make an objective from a recipe's `objective` section.

    Each key names a term in the log and, unless `loss:` says otherwise, in the catalogue; `weight:` is 1 by default:

        {"category": {"loss": "triplet", "margin": 0.5}, "instance": {"loss": "triplet", "level": "instance"},
         "rdvc": {"weight": 0.5}}

    Raises:
        InkseekError: as `build`, for a weight that is not a number, and when there is no term at all.
    """
    if not terms:
        raise InkseekError("the objective is empty: name at least one loss, such as triplet")
    parts: list[tuple[float, Term]] = []
    for name, given in terms.items():
        if not isinstance(given, Mapping | None):
            raise InkseekError(f"{name}: its options must be a mapping, not {given!r}")
        options = {"name": name, **(given or {})}
        loss, weight = options.pop("loss", name), options.pop("weight", 1.0)
        parts.append((weight, _build(loss, options, reserved=("loss", "weight"))))
    return Objective(*parts)


def describe() -> list[Description]:
    """Every loss of the catalogue, in its order."""
    return [_describe(name, term) for name, term in TERMS.items()]


def _build(name: str, options: Mapping[str, Any], reserved: tuple[str, ...]) -> Term:
    if name not in TERMS:
        raise InkseekError(f"no loss is named {name!r}{nearest(str(name), TERMS)}; there are: {', '.join(TERMS)}")
    known = (*_options(TERMS[name]), *reserved)
    for option in options:
        if option not in known:
            close = nearest(str(option), known)
            raise InkseekError(f"{name}: no option is named {option!r}{close}; there are: {', '.join(known)}")
    return TERMS[name](**options)


def _describe(name: str, term: type[Term]) -> Description:
    summary, *rest = inspect.getdoc(term).splitlines()  # type: ignore[union-attr]
    pieces = re.split(r"^([A-Z]\w+):$", "\n".join(rest), flags=re.MULTILINE)
    sections = {title: inspect.cleandoc(text) for title, text in zip(pieces[1::2], pieces[2::2], strict=True)}
    return Description(name, summary, _options(term), sections)


def _options(term: type[Term]) -> dict[str, Any]:
    return {name: option.default for name, option in inspect.signature(term).parameters.items()}
