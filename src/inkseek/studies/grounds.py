"""Rows that several studies share: losses with and without RDVC, on the data of either scale."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inkseek.studies.claims import Better
from inkseek.studies.study import Row

TRIALS = 12
"""Of every row: a base loss's whole grid."""
RATES = (3e-5, 1e-4, 3e-4)
"""Of a head on flowers, where larger ones lose what the frozen features know of unseen classes."""
SKETCH_RATES = (1e-4, 3e-4, 1e-3)
"""Of a head on QuickDraw and photos."""
PAIRS_RATES = (1e-3, 3e-3, 1e-2)
"""Of a head that learns which picture is a sketch's own, which frozen features hardly know."""
RATIOS = ({"ratio": 0.05}, {"ratio": 0.2}, {"ratio": 0.5}, {"ratio": 1.0})
"""RDVC's weight by the share of the base loss's gradient: one grid serves losses of any scale."""
SEC_WEIGHTS = (0.01, 0.1, 1.0)
MARGINS = (0.1, 0.3, 1.0, 2.0)


@dataclass(frozen=True)
class Base:
    """A base loss of Table 1.

    Attributes:
        name: in tables.
        recipe: its part of the names of Table 1's recipes.
        loss: its name in an objective.
        option: what is tuned beside the rate.
        values: of the option.
        batch: classes x photos at small scale, in the papers' proportion.
    """

    name: str
    recipe: str
    loss: str
    option: str
    values: tuple[float, ...]
    batch: tuple[int, int]


BASES = (
    Base("triplet", "triplet", "triplet", "margin", MARGINS, (30, 4)),
    Base("semi-hard", "semi-hard", "semi_hard_triplet", "margin", (0.1, 0.2, 0.5, 1.0), (30, 4)),
    Base("N-pair", "n-pair", "n_pair", "scale", (5.0, 10.0, 25.0, 50.0), (36, 2)),
    Base("multi-similarity", "multi-similarity", "multi_similarity", "threshold", (0.3, 0.5, 0.7, 0.9), (24, 5)),
)
REGULARISERS: tuple[tuple[str, ...], ...] = ((), ("RDVC",), ("SEC",), ("SEC", "RDVC"))


def title(base: str, regularisers: Sequence[str]) -> str:
    """Name a row: `triplet + SEC + RDVC`."""
    return " + ".join((base, *regularisers))


def objective(terms: Mapping[str, Mapping[str, Any]]) -> str:
    """Write an objective as an override."""
    return f"objective={json.dumps(terms)}"


def small_row(base: Base, regularisers: Sequence[str], *more: str) -> Row:
    """A row of Table 1 at small scale, its option, rate and weights to be chosen."""
    terms: dict[str, dict[str, Any]] = {base.loss: {}}
    grid: dict[str, Sequence[Any]] = {f"objective.{base.loss}.{base.option}": base.values, "optim.lr.head": RATES}
    if "RDVC" in regularisers:
        terms["rdvc"] = {}
        grid["objective.rdvc.weight"] = RATIOS
    if "SEC" in regularisers:
        terms["sec"] = {}
        grid["objective.sec.weight"] = SEC_WEIGHTS
    classes, photos = base.batch
    batch = f"batch={{classes: {classes}, photos: {photos}}}"
    return Row(title(base.name, regularisers), "studies/flowers-head", (batch, objective(terms), *more), grid)


def full_row(data: str, base: Base, regularisers: Sequence[str], *more: str) -> Row:
    """A row of Table 1 as published; `data` is `cub` or `cars`."""
    ends = "".join(f"-{of.lower()}" for of in regularisers)
    name = f"{data.upper() if data == 'cub' else data.title()}: {title(base.name, regularisers)}"
    return Row(name, f"table1/{data}-{base.recipe}{ends}", more)


def table1_rows(data: str | None) -> tuple[Row, ...]:
    """All 16 rows of Table 1, of a data set as published or, without one, at small scale."""
    return tuple(
        small_row(base, regularisers) if data is None else full_row(data, base, regularisers)
        for base in BASES
        for regularisers in REGULARISERS
    )


def rdvc_helps(prefix: str, figures: Sequence[str]) -> tuple[Better, ...]:
    """For every base, without and with SEC: adding RDVC raises the figures."""
    return tuple(
        Better(
            f"RDVC improves {title(base.name, beside)}",
            prefix + title(base.name, (*beside, "RDVC")),
            prefix + title(base.name, beside),
            figure,
        )
        for figure in figures
        for base in BASES
        for beside in ((), ("SEC",))
    )


def pairs_rows() -> tuple[Row, ...]:
    """Table 4's three strategies at small scale: a sketch finds its own photo, on emoji."""
    plain: dict[str, Sequence[Any]] = {"objective.triplet.margin": MARGINS, "optim.lr.head": PAIRS_RATES}
    alone: dict[str, dict[str, Any]] = {"triplet": {"level": "instance"}}
    return (
        Row("random", "studies/emoji-head", ("batch={pairs: 64}", objective(alone)), plain),
        Row("PK", "studies/emoji-head", (objective(alone),), plain),
        Row(
            "PK + RDVC",
            "studies/emoji-head",
            (objective({**alone, "rdvc": {}}),),
            {**plain, "objective.rdvc.weight": RATIOS},
        ),
    )


def published_pairs_rows() -> tuple[Row, ...]:
    """Table 4's three strategies as published, on fine-grained Sketchy with InceptionV3."""
    return tuple(
        Row(name, f"table4/{of}") for name, of in (("random", "random"), ("PK", "pk"), ("PK + RDVC", "pk-rdvc"))
    )


PAIRS_NOTES = (
    "Emoji take the place of Sketchy: line art finds its own coloured picture, 17 unseen subcategories. A "
    "head on a frozen EfficientNet-Lite0 learns, at 96 pixels, 200 steps of 64 pairs.",
    "*Class gallery*: a query meets the pictures of its own class alone, as in the paper; *joint gallery*: all.",
)
