"""One batch as relations: distances between anchors and candidates, who is positive, who is negative."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inkseek.compiled import by_rows, compiled
from inkseek.distances import METRICS as METRICS
from inkseek.distances import Metric as Metric
from inkseek.distances import pairwise, unit
from inkseek.errors import InkseekError, nearest

Level = Literal["category", "instance"]
LEVELS: tuple[Level, ...] = get_args(Level)
Floats = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

BLOCK_ELEMENTS = 2**20
"""Anchors x candidates that are worked on at a time: what the losses need beyond whole matrices stays this small."""


class Packed(NamedTuple):
    """Each anchor's positives side by side.

    Attributes:
        column: int64 [anchors, K], which candidates they are; any where not `valid`.
        valid: bool [anchors, K].
    """

    column: Tensor
    valid: Tensor


class Moments(NamedTuple):
    """Mean and population variance of every anchor's positive and negative distances, columns of [anchors, 1]."""

    positive_mean: Tensor
    positive_variance: Tensor
    negative_mean: Tensor
    negative_variance: Tensor


@dataclass(frozen=True, eq=False)
class Relations:
    """Distances of a batch under one metric, and who is whose positive and negative at one level.

    Computed once and shared by every term that reads them, and by what is logged.

    Attributes:
        distance: [anchors, candidates], differentiable.
        positive: bool [anchors, candidates]; an item is never its own positive.
        negative: bool [anchors, candidates]; an item is never its own negative.
    """

    distance: Tensor
    positive: Tensor
    negative: Tensor

    def among(self, anchors: Tensor, candidates: Tensor) -> Relations:
        """The same distances with fewer relatives: only between marked anchors and marked candidates.

        Args:
            anchors: bool [anchors].
            candidates: bool [candidates].
        """
        kept = anchors[:, None] & candidates
        return Relations(self.distance, self.positive & kept, self.negative & kept)

    @cached_property
    def positives(self) -> Tensor:
        """Every anchor's number of positives, int64 [anchors, 1]."""
        return self.packed.valid.sum(1, keepdim=True)

    @cached_property
    def negatives(self) -> Tensor:
        """Every anchor's number of negatives, int64 [anchors, 1]."""
        if not on_host(self.negative):
            return self.negative.sum(1, keepdim=True)
        as_bytes = self.negative.numpy().view(np.uint8)  # as truth values they take torch and numpy twice as long
        return torch.from_numpy(as_bytes.sum(1, dtype=np.int32, keepdims=True)).long()

    @cached_property
    def triplets(self) -> Tensor:
        """Number of triplets (anchor, positive, negative), 0-d int64."""
        return (self.positives * self.negatives).sum()

    @cached_property
    def packed(self) -> Packed:
        """Each anchor's positives, K the largest number of them; all columns on a device, which would have to be asked.

        In a batch of classes x items few candidates are positives: what is done for each is then done for few.
        """
        rows, columns = self.positive.shape
        if not on_host(self.positive):
            return Packed(torch.arange(columns, device=self.positive.device).expand(rows, columns), self.positive)
        # On the host numpy finds the few that are marked in a fraction of torch's time, row by row as they are packed.
        row, marked = np.divmod(np.flatnonzero(self.positive.numpy()), max(columns, 1))
        counts = np.bincount(row, minlength=rows)
        valid = np.arange(counts.max(initial=0)) < counts[:, None]
        column = np.zeros(valid.shape, dtype=np.int64)
        column[valid] = marked
        return Packed(torch.from_numpy(column), torch.from_numpy(valid))

    @cached_property
    def moments(self) -> Moments:
        """The distances' moments by anchor, detached."""
        distance, (column, valid) = self.distance.detach(), self.packed
        blocks = [
            (
                *_masked_moments(distance[rows].gather(1, column[rows]), valid[rows], self.positives[rows]),
                *_masked_moments(distance[rows], self.negative[rows], self.negatives[rows]),
            )
            for rows in row_blocks(distance)
        ]
        return Moments(*(torch.cat(column) for column in zip(*blocks, strict=True)))


class Batch:
    """One batch's embeddings, labels, instances and domains, and the relations between its anchors and candidates.

    One domain: the anchors are the candidates too, and an item is kept from meeting itself by its place in the batch.
    Two domains: anchors (sketches) against candidates (photos).

    Args:
        anchors: raw embeddings [anchors, dim], not normalised. Half types are promoted to float32; float64 stays.
        anchor_labels: integers [anchors], kept as int64 and compared exactly.
        candidates: raw embeddings [candidates, dim]; absent for one domain.
        candidate_labels: integers [candidates]; given exactly when `candidates` is.
        instances: integers that say which items show the same thing (a sketch and its photo): one array for one
            domain, a pair (anchors', candidates') for two. -1 marks an unpaired item: it is nobody's positive.
        domains: integers that say where an item comes from (0 sketch, 1 photo), in the same form as `instances`;
            read by terms that tell domains apart, and never by `relations`. Absent for two domains: 0 for the anchors,
            1 for the candidates.

    Raises:
        InkseekError: when shapes or types do not fit together.
    """

    def __init__(
        self,
        anchors: Tensor,
        anchor_labels: Any,
        candidates: Tensor | None = None,
        candidate_labels: Any = None,
        *,
        instances: Any = None,
        domains: Any = None,
    ) -> None:
        if (candidates is None) != (candidate_labels is None):
            raise InkseekError("a batch of two domains needs the candidates' embeddings and their labels, both")
        self.one_domain = candidates is None
        self.anchors = _embeddings(anchors, "embeddings")
        self.candidates = self.anchors if candidates is None else _embeddings(candidates, "candidates' embeddings")
        if self.anchors.shape[1] != self.candidates.shape[1] or self.anchors.dtype != self.candidates.dtype:
            raise InkseekError(
                f"anchors are {_shape(self.anchors)} and candidates {_shape(self.candidates)}: "
                "both need the same dimension and number type"
            )
        self.anchor_labels = _integers(anchor_labels, self.anchors, "labels")
        self.candidate_labels = (
            self.anchor_labels
            if self.one_domain
            else _integers(candidate_labels, self.candidates, "candidates' labels")
        )
        self.instances = self._by_side(instances, "instances")
        self.domains = self._by_side(domains, "domains")
        self._distances: dict[Metric, Tensor] = {}
        self._kinships: dict[Level, tuple[Tensor, Tensor]] = {}
        self._relations: dict[tuple[Metric, Level], Relations] = {}
        self._first_pairs: dict[Level, Batch] = {}

    def relations(self, metric: Metric = "sqeuclidean", level: Level | None = None) -> Relations:
        """The batch's relations, computed when first asked for and then shared.

        On unit embeddings x, y: `sqeuclidean` is |x - y|^2, `euclidean` its root, `cosine` is 1 - x.y, half of it. Each
        is finite and has a finite gradient at distance zero. An embedding of length zero counts as a unit vector at
        right angles to all others, with zero gradient. On raw embeddings, `dot` is -x.y.

        Args:
            metric: `sqeuclidean`, `euclidean`, `cosine` or `dot`.
            level: at `category` a positive has the anchor's label and a negative another one; at `instance` a positive
                has the anchor's instance and every other item is a negative, those of the same label included. None
                takes `instance` when the batch carries instances, else `category`.

        Returns:
            Distances and masks, each [anchors, candidates].

        Raises:
            InkseekError: for an unknown metric or level, or at `instance` without instances.
        """
        level = level or self.finest
        if (metric, level) not in self._relations:
            self._relations[metric, level] = Relations(self._distance(metric), *self._kinship(level))
        return self._relations[metric, level]

    @cached_property
    def everyone(self) -> Tensor:
        """The raw embeddings of both domains together, [items, dim]."""
        return self.anchors if self.one_domain else torch.cat((self.anchors, self.candidates))

    @cached_property
    def everyone_labels(self) -> Tensor:
        """The labels of both domains together, int64 [items]."""
        return self.anchor_labels if self.one_domain else torch.cat((self.anchor_labels, self.candidate_labels))

    @cached_property
    def units(self) -> tuple[Tensor, Tensor]:
        """Anchors' and candidates' embeddings at length 1, the very same tensor in one domain."""
        # What is shared must carry its graph, even when someone who needs none is the first to ask.
        with torch.enable_grad(), torch.autocast(self.anchors.device.type, enabled=False):
            if self.one_domain:
                units = unit(self.anchors)
                return units, units
            if not (self.anchors.requires_grad and self.candidates.requires_grad):
                return unit(self.anchors), unit(self.candidates)  # what is frozen stays without a gradient
            anchors, candidates = unit(self.everyone).split_with_sizes((len(self.anchors), len(self.candidates)))
            return anchors, candidates

    @cached_property
    def union(self) -> Batch:
        """Both domains as one batch whose items know their domain: anchors first, then candidates.

        Raises:
            InkseekError: in one domain, when the batch was not told the items' domains.
        """
        if self.one_domain:
            if self.domains is None:
                raise InkseekError(
                    "this loss tells sketches from photos: call it with (sketches, sketch_labels, photos, "
                    "photo_labels), or with domains="
                )
            return self
        domains = self.domains or tuple(
            torch.full_like(labels, domain) for domain, labels in enumerate((self.anchor_labels, self.candidate_labels))
        )
        return Batch(
            torch.cat((self.anchors, self.candidates)),
            torch.cat((self.anchor_labels, self.candidate_labels)),
            instances=None if self.instances is None else torch.cat(self.instances),
            domains=torch.cat(domains),
        )

    def _distance(self, metric: Metric) -> Tensor:
        if metric not in METRICS:
            raise InkseekError(f"no distance is named {metric!r}{nearest(str(metric), METRICS)}; {' | '.join(METRICS)}")
        if metric not in self._distances:
            sides = (self.anchors, self.candidates) if metric == "dot" else self.units
            with torch.enable_grad(), torch.autocast(self.anchors.device.type, enabled=False):
                self._distances[metric] = pairwise(*sides, metric)
        return self._distances[metric]

    @property
    def finest(self) -> Level:
        """The finest level that the batch knows."""
        return "category" if self.instances is None else "instance"

    def identities(self, level: Level | None = None) -> tuple[Tensor, Tensor]:
        """What makes two items relatives at a level: labels or instances, of anchors and of candidates, int64.

        Raises:
            InkseekError: as `relations`.
        """
        level = level or self.finest
        if level == "category":
            return self.anchor_labels, self.candidate_labels
        if level != "instance":
            raise InkseekError(f"no level is named {level!r}{nearest(str(level), LEVELS)}; {' | '.join(LEVELS)}")
        if self.instances is None:
            raise InkseekError("level 'instance' needs to know who shows what: call with instances=...")
        return self.instances

    def _kinship(self, level: Level) -> tuple[Tensor, Tensor]:
        if level not in self._kinships:
            anchors, candidates = self.identities(level)
            same = anchors[:, None] == candidates
            if level == "instance":
                same &= anchors[:, None] != -1
            other = ~same
            if self.one_domain:
                same.fill_diagonal_(False)
                other.fill_diagonal_(False)
            self._kinships[level] = same, other
        return self._kinships[level]

    def first_pair_relations(self, metric: Metric, level: Level | None = None) -> Relations:
        """Relations of one pair a kind: its first two items, or in two domains its first anchor and first candidate.

        Anchors are the first items and candidates the second ones; what shows no known instance has no second.

        Returns:
            Distances and masks [firsts, seconds]; on a device, where counting the kinds would have to wait, they are
            [anchors, candidates] with everything else unmarked.
        """
        level = level or self.finest
        identities, others = self.identities(level)
        nth = _nth_of_its_kind(identities)
        first, second = (nth == 0, nth == 1) if self.one_domain else (nth == 0, _nth_of_its_kind(others) == 0)
        if not on_host(first):
            return self.relations(metric, level).among(first, second)
        if level not in self._first_pairs:
            firsts, seconds = first.nonzero()[:, 0], second.nonzero()[:, 0]
            rows = self.everyone.index_select(
                0, torch.cat((firsts, seconds if self.one_domain else seconds + len(first)))
            )
            # One index and one cut: two of each would go backward by way of a zero matrix each.
            anchors, positives = rows.split_with_sizes((len(firsts), len(seconds)))
            pairs = Batch(
                anchors,
                self.anchor_labels[firsts],
                positives,
                self.candidate_labels[seconds],
                instances=(identities[firsts], others[seconds]) if level == "instance" else None,
            )
            pairs.everyone = rows  # as they came, before the cut
            self._first_pairs[level] = pairs
        return self._first_pairs[level].relations(metric, level)

    def _by_side(self, values: Any, what: str) -> tuple[Tensor, Tensor] | None:
        """Bring `instances` or `domains` into one form, (anchors', candidates')."""
        if values is None:
            return None
        if self.one_domain:
            both = _integers(values, self.anchors, what)
            return both, both
        if not isinstance(values, tuple | list) or len(values) != 2:
            raise InkseekError(f"{what} of two domains must be a pair: ({what} of anchors, {what} of candidates)")
        return (
            _integers(values[0], self.anchors, f"anchors' {what}"),
            _integers(values[1], self.candidates, f"candidates' {what}"),
        )


def relative_distance_moments(relations: Relations) -> tuple[Tensor, Tensor]:
    """Mean and variance of the relative distance D = d(a,p) - d(a,n) over all triplets (RDVC paper, Eq. 5 and 6).

    Over N = sum_i K_i L_i triplets, without forming one of them: with the mean a_i and the population variance s_i^2
    of anchor i's K_i positive distances, b_i and t_i^2 of its L_i negative ones, and n_i = K_i L_i,

        mean = sum_i n_i (a_i - b_i) / N
        variance = sum_i n_i (s_i^2 + t_i^2 + (a_i - b_i - mean)^2) / (N - 1)

    Everything is centred before it is squared, so that float32 holds near collapse.

    Returns:
        Two detached 0-d tensors, (mean, unbiased variance); zeros when there are fewer than one and two triplets.
    """
    moments, count = relations.moments, relations.triplets
    weight = (relations.positives * relations.negatives).to(relations.distance.dtype)
    difference = moments.positive_mean - moments.negative_mean
    mean = (weight * difference).sum() / count.clamp(min=1)
    spread = moments.positive_variance + moments.negative_variance + (difference - mean).square()
    return mean, (weight * spread).sum() / (count - 1).clamp(min=1)


def on_host(tensor: Tensor) -> bool:
    """Whether a tensor's numbers can be read at once, without waiting for a device."""
    return tensor.device.type == "cpu"


def row_blocks(matrix: Tensor) -> Iterator[slice]:
    """Cut a matrix's rows into blocks of about `BLOCK_ELEMENTS` entries; at least one block, if only an empty one."""
    step = max(1, BLOCK_ELEMENTS // max(1, matrix.shape[1]))
    for start in range(0, max(1, matrix.shape[0]), step):
        yield slice(start, start + step)


def _masked_moments(distance: Tensor, mask: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each row's marked entries, `count` of them; columns [rows, 1]."""
    count = count.clamp(min=1)
    if not on_host(distance):
        mean = torch.where(mask, distance, 0).sum(1, keepdim=True) / count
        return mean, torch.where(mask, distance - mean, 0).square_().sum(1, keepdim=True) / count
    mean, variance = distance.new_empty(count.shape), distance.new_empty(count.shape)
    by_rows(_write_moments, *(x.numpy() for x in (distance.contiguous(), mask, count, mean, variance)))
    return mean, variance


# Without a matrix in between: the host's memory would take longer to hand it out than all the rest.
@functools.partial(compiled, any_order=True)
def _write_moments(distance: Floats, mask: Bools, count: Integers, mean: Floats, variance: Floats) -> None:
    for i in range(len(distance)):
        row, marked = distance[i], mask[i]
        total = squares = distance.dtype.type(0)
        for c in range(len(row)):
            total += row[c] * marked[c]
        mean[i, 0] = total / count[i, 0]
        for c in range(len(row)):
            squares += ((row[c] - mean[i, 0]) * marked[c]) ** 2
        variance[i, 0] = squares / count[i, 0]


def _nth_of_its_kind(identities: Tensor) -> Tensor:
    """How many items of the same identity come before each, int64 [items]; 0 for -1, which is nobody's kind."""
    ordered, order = identities.sort(stable=True)
    within = torch.arange(len(order), device=order.device) - torch.searchsorted(ordered, ordered)
    return torch.zeros_like(order).scatter(0, order, within).masked_fill_(identities == -1, 0)


def _embeddings(values: Tensor, what: str) -> Tensor:
    if not isinstance(values, Tensor) or not values.is_floating_point() or values.ndim != 2:
        raise InkseekError(f"{what} must be a floating-point tensor [items, dim], not {_shape(values)}")
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _integers(values: Any, embeddings: Tensor, what: str) -> Tensor:
    try:
        integers = torch.as_tensor(values, device=embeddings.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InkseekError(f"{what} must be integers, one for each of the {len(embeddings)} items: {error}") from None
    if integers.shape != embeddings.shape[:1] or (len(integers) and not _is_integer(integers)):
        raise InkseekError(
            f"{what} must be integers, one for each of the {len(embeddings)} items, not {_shape(values)}"
        )
    return integers.to(torch.int64)


def _is_integer(values: Tensor) -> bool:
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)


def _shape(values: Any) -> str:
    if isinstance(values, Tensor):
        return f"{str(values.dtype).removeprefix('torch.')} {list(values.shape)}"
    return type(values).__name__
