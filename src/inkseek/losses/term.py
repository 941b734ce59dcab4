"""A term: anything that gives a batch a number to minimise, and that `+` and `*` join into an objective."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, overload

from torch import Tensor, autocast, nn

from inkseek.errors import InkseekError, nearest
from inkseek.losses.calibration import Ratio
from inkseek.relations import LEVELS, METRICS, Batch, Level, Metric, Relations

if TYPE_CHECKING:
    from inkseek.losses.objective import Objective
    from inkseek.losses.tuples import Chosen, Intervals


class Term(nn.Module):
    """Something to minimise: `forward(batch)` gives a scalar, in full precision whatever autocast says.

    A term is called with a `Batch`, or with what makes one:

        term(embeddings, labels)                                  # one domain
        term(sketches, sketch_labels, photos, photo_labels)       # two domains: anchors against candidates

    each with `instances=` (one array for one domain, a pair for two). Sums and multiples of terms are an `Objective`.

    Args:
        name: what the term is called in `Objective.terms` and in the log; by default the class's name in snake case.

    Raises:
        InkseekError: when the name is not a plain word, or the call does not fit.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__()
        self.name = default_name(type(self)) if name is None else name
        # A part of an objective is addressed by its name, which must therefore not hide a module's own attribute.
        if not isinstance(self.name, str) or not re.fullmatch(r"[A-Za-z][\w-]*", self.name):
            raise InkseekError(f"a term's name must be letters, digits, '_' and '-', not {name!r}")
        if hasattr(nn.ModuleDict, self.name):
            raise InkseekError(f"a term cannot be named {self.name!r}, which torch needs for itself; take another name")

    @overload
    def __call__(self, batch: Batch, /) -> Tensor: ...
    @overload
    def __call__(self, embeddings: Tensor, labels: Any, /, *, instances: Any = ..., domains: Any = ...) -> Tensor: ...
    @overload
    def __call__(
        self,
        sketches: Tensor,
        sketch_labels: Any,
        photos: Tensor,
        photo_labels: Any,
        /,
        *,
        instances: Any = ...,
        domains: Any = ...,
    ) -> Tensor: ...
    def __call__(self, *inputs: Any, instances: Any = None, domains: Any = None) -> Tensor:
        """Build the batch unless one is given, and return the term's value on it, a differentiable 0-d tensor."""
        batch = as_batch(*inputs, instances=instances, domains=domains)
        with autocast(batch.anchors.device.type, enabled=False):
            value: Tensor = super().__call__(batch)
        return value

    def forward(self, batch: Batch) -> Tensor:
        """The term's value on a batch, a differentiable 0-d tensor."""
        raise NotImplementedError

    def bind(self, base: RelationTerm | None) -> Term:  # noqa: ARG002
        """The term as a part of an objective whose first relation-based term is `base`; most terms do not care."""
        return self

    def require_whole(self) -> None:
        """Raise an InkseekError where the term still lacks what only an objective's base term can give it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def __add__(self, other: Term) -> Objective:
        from inkseek.losses.objective import Objective  # an objective is itself a term, so it is defined after this

        return Objective((1.0, self), (1.0, other)) if isinstance(other, Term) else NotImplemented

    def __mul__(self, weight: float | Ratio) -> Objective:
        from inkseek.losses.objective import Objective

        return Objective((weight, self)) if isinstance(weight, int | float | Ratio) else NotImplemented

    __rmul__ = __mul__


class RelationTerm(Term):
    """A term over one metric's relations, on which RDVC can ride.

    Args:
        distance: `sqeuclidean`, `euclidean` or `cosine`, on unit embeddings, or `dot`, on raw ones.
        level: `category`, `instance`, or None for the finest that the batch knows.
        name: as for every term.
    """

    def __init__(self, distance: Metric, level: Level | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.distance: Metric = one_of(self, "distance", distance, METRICS)
        self.level: Level | None = one_of(self, "level", level, (*LEVELS, None))

    def relations(self, batch: Batch, metric: Metric | None = None) -> Relations:
        """The relations that this term is over, at its own metric or another, and at its level."""
        return batch.relations(metric or self.distance, self.level)

    def mined(self, batch: Batch) -> Relations | Chosen | Intervals | None:  # noqa: ARG002
        """The triplets that this term works on, for RDVC with `pairs="mined"`; None where it mines none."""
        return None

    def active(self, batch: Batch) -> Tensor | None:  # noqa: ARG002
        """Share of the tuples that still push, a detached 0-d tensor; None for a loss that no tuple ever leaves.

        It costs about a forward pass: for logging steps.
        """
        return None


def as_batch(*inputs: Any, instances: Any = None, domains: Any = None) -> Batch:
    """The batch that a loss was called with, or the one made of its arguments."""
    if len(inputs) == 1 and isinstance(inputs[0], Batch) and instances is None and domains is None:
        return inputs[0]
    if len(inputs) not in (2, 4):
        raise InkseekError(
            "call a loss with (embeddings, labels), with (sketches, sketch_labels, photos, photo_labels), "
            "each with or without instances=, or with a Batch alone"
        )
    return Batch(*inputs, instances=instances, domains=domains)


def one_of(term: Term, option: str, value: Any, known: Collection[Any]) -> Any:
    """The value, or an error that names the valid ones."""
    if value in known:
        return value
    names = [str(name) for name in known if name is not None]
    raise InkseekError(f"{term.name}: {option} must be {' or '.join(names)}, not {value!r}{nearest(str(value), names)}")


def number(term: Term, option: str, value: Any, *, above: float = -math.inf) -> float:
    """The value as a finite float, above a bound, or an error."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InkseekError(f"{term.name}: {option} must be a finite number, not {value!r}")
    if value <= above:
        raise InkseekError(f"{term.name}: {option} must be above {above:g}, not {value!r}")
    return float(value)


def default_name(term: type[Term]) -> str:
    """What a term is called when nobody says: its class's name in snake case, `multi_similarity`, `rdvc`, `l2`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", term.__name__).lower()
