"""What RAMLN's studies of one setting share: a row whose other settings are those that `ramln-margin` chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inkseek.studies.grounds import objective
from inkseek.studies.study import Row, Scale

RECIPES: Mapping[Scale, str] = {"small": "studies/quickdraw-ramln", "full": "ramln-sketchy-ext-split1"}
FIXED, LEARNED = "fixed margin", "R, LRUA memory"
MARGIN = 0.3
RELATION: Mapping[str, Any] = {"kind": "relation", "memory": "lrua"}
BILEVEL = "{inner_rate: 5}"
NOTE = (
    "A head on frozen features of quickdraw-photo, 300 steps. Learning rate, weight of classification, fixed margin "
    "and inner rate are those that `ramln-margin` chose for most rows on pseudo-unseen classes; nothing is chosen anew."
)


def row(
    name: str,
    recipe: str,
    margin: Any = MARGIN,
    *more: str,
    meta: str | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    measured_on: str | None = None,
    **quadruplet: Any,
) -> Row:
    """A quadruplet loss beside classification.

    Args:
        name: the row's.
        recipe: a shipped one.
        margin: of the quadruplet loss: a number, or what describes a learned one.
        more: overrides.
        meta: the bilevel step's settings; None leaves it to the margin whether there is one.
        grid: as a row's.
        measured_on: as a row's.
        quadruplet: options of the loss.
    """
    terms = {
        "quadruplet": {"smooth": "softplus", "level": "category", "margin": margin, **quadruplet},
        "classification": {"weight": 0.1},
    }
    step = meta or (BILEVEL if isinstance(margin, Mapping) else "null")
    rate = () if grid and "optim.lr.head" in grid else ("optim.lr.head=0.0001",)
    return Row(name, recipe, (objective(terms), f"meta={step}", *rate, *more), grid or {}, measured_on=measured_on)
