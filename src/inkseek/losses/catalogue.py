"""The losses by name, for recipes and for the list of losses."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from inkseek.errors import InkseekError, nearest
from inkseek.losses import adapters
from inkseek.losses.binomial_deviance import BinomialDeviance
from inkseek.losses.calibration import Ratio
from inkseek.losses.classification import Classification
from inkseek.losses.contrastive import Contrastive
from inkseek.losses.l2 import L2
from inkseek.losses.lifted_structure import LiftedStructure
from inkseek.losses.modality_aware_triplet import ModalityAwareTriplet
from inkseek.losses.multi_similarity import MultiSimilarity
from inkseek.losses.n_pair import NPair
from inkseek.losses.objective import Objective
from inkseek.losses.quadruplet import Quadruplet
from inkseek.losses.rdvc import RDVC
from inkseek.losses.relative_distance_divergence import RelativeDistanceDivergence
from inkseek.losses.sec import SEC
from inkseek.losses.semi_hard import SemiHardTriplet
from inkseek.losses.term import Term, default_name
from inkseek.losses.triplet import Triplet
from inkseek.losses.variance_parts import VarianceParts

BASES = (
    Triplet,
    SemiHardTriplet,
    NPair,
    MultiSimilarity,
    Contrastive,
    BinomialDeviance,
    LiftedStructure,
    Quadruplet,
    ModalityAwareTriplet,
    Classification,
)
REGULARISERS = (RDVC, SEC, L2, VarianceParts, RelativeDistanceDivergence)
COMPETITORS = (
    adapters.SoftTriple,
    adapters.RankedList,
    adapters.Circle,
    adapters.ProxyAnchor,
    adapters.ProxyNCA,
    adapters.Angular,
    adapters.GeneralizedLifted,
    adapters.TupletMargin,
    adapters.IntraPairVariance,
    adapters.ThresholdConsistentMargin,
)
TERMS: dict[str, type[Term]] = {default_name(term): term for term in (*BASES, *REGULARISERS, *COMPETITORS)}


REQUIRED = inspect.Parameter.empty
"""Stands for the default of an option that has none."""


@dataclass(frozen=True)
class Description:
    """What the list of losses says about one of them, read from its docstring.

    Attributes:
        name: its name in a recipe.
        kind: `base`, `regulariser`, or `competitor` (pytorch-metric-learning's, by adapter).
        summary: the docstring's first line.
        options: its options and their defaults; `REQUIRED` where there is none.
        sections: the docstring's sections by title: Formula, Arguments, Inputs, Recommendations, Source.
    """

    name: str
    kind: Literal["base", "regulariser", "competitor"]
    summary: str
    options: dict[str, Any]
    sections: dict[str, str]


def build(name: str, options: Mapping[str, Any] | None = None) -> Term:
    """Make a term from its name and options, as a recipe gives them.

    Raises:
        InkseekError: for an unknown name or option, naming the nearest valid one, or for a value that does not fit.
    """
    return _build(name, options or {}, reserved=())


def build_objective(
    terms: Mapping[str, Mapping[str, Any] | None], *, classes: int | None = None, dim: int | None = None
) -> Objective:
    """Make an objective from a recipe's `objective` section.

    Each key names a term in the log and, unless `loss:` says otherwise, in the catalogue. `weight:` is a number, 1 by
    default, or `{ratio: r}` or `{ratio: r, steps: n}` for one found from gradients:

        {"category": {"loss": "triplet", "margin": 0.5}, "instance": {"loss": "triplet", "level": "instance"},
         "rdvc": {"weight": {"ratio": 0.5}}}

    Args:
        terms: the section.
        classes: how many classes the training labels 0..classes-1 name, for losses with proxies or a classifier.
        dim: the embedding's, for the same.

    Raises:
        InkseekError: as `build`, for a weight that is neither, and when there is no term at all, or a regulariser lacks
            the base loss that it rides on.
    """
    if not terms:
        raise InkseekError("the objective is empty: name at least one loss, such as triplet")
    parts: list[tuple[float | Ratio, Term]] = []
    for name, given in terms.items():
        if not isinstance(given, Mapping | None):
            raise InkseekError(f"{name}: its options must be a mapping, not {given!r}")
        options = {"name": name, **(given or {})}
        loss, weight = options.pop("loss", name), _weight(name, options.pop("weight", 1.0))
        wanted = _options(TERMS[loss]) if loss in TERMS else {}
        for option, value in (("classes", classes), ("dim", dim)):
            if option in wanted and value is not None:
                options.setdefault(option, value)
        parts.append((weight, _build(loss, options, reserved=("loss", "weight"))))
    objective = Objective(*parts)
    objective.require_whole()
    return objective


def describe() -> list[Description]:
    """Every loss of the catalogue, in its order."""
    return [_describe(name, term) for name, term in TERMS.items()]


def _weight(name: str, given: Any) -> Any:
    """A weight as `Objective` wants it; what is neither a number nor a ratio is left for it to refuse."""
    if not isinstance(given, Mapping):
        return given
    if "ratio" not in given or not set(given) <= {"ratio", "steps"}:
        raise InkseekError(f"{name}: a weight is a number, or {{ratio: r}} with or without steps: n, not {given!r}")
    return Ratio(**given)


def _build(name: str, options: Mapping[str, Any], reserved: tuple[str, ...]) -> Term:
    if name not in TERMS:
        raise InkseekError(f"no loss is named {name!r}{nearest(str(name), TERMS)}; there are: {', '.join(TERMS)}")
    known = (*_options(TERMS[name]), *reserved)
    for option in options:
        if option not in known:
            close = nearest(str(option), known)
            raise InkseekError(f"{name}: no option is named {option!r}{close}; there are: {', '.join(known)}")
    missing = [option for option, default in _options(TERMS[name]).items() if default is REQUIRED]
    for option in missing:
        if option not in options:
            raise InkseekError(f"{name}: {option} is missing")
    return TERMS[name](**options)


def _describe(name: str, term: type[Term]) -> Description:
    summary, *rest = inspect.getdoc(term).splitlines()  # type: ignore[union-attr]
    pieces = re.split(r"^([A-Z]\w+):$", "\n".join(rest), flags=re.MULTILINE)
    sections = {title: inspect.cleandoc(text) for title, text in zip(pieces[1::2], pieces[2::2], strict=True)}
    kind: Literal["base", "regulariser", "competitor"]
    kind = "base" if term in BASES else "regulariser" if term in REGULARISERS else "competitor"
    return Description(name, kind, summary, _options(term), sections)


def _options(term: type[Term]) -> dict[str, Any]:
    return {name: option.default for name, option in inspect.signature(term).parameters.items()}
