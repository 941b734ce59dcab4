"""The bilevel step: the margin learns from what a step of the head that it has shaped does to other classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from inkseek.errors import InkseekError
from inkseek.losses.draws import Draws
from inkseek.losses.margin import MarginTerm
from inkseek.losses.objective import Objective
from inkseek.losses.quadruplet import Quadruplet
from inkseek.margins.prototypes import prototype_cross_entropy
from inkseek.margins.settings import MetaSettings
from inkseek.relations import Batch

_FEWEST = 3
"""Classes that a quadruplet needs."""


@dataclass(frozen=True, eq=False)
class MetaStep:
    """What one bilevel step came to; detached 0-d tensors.

    Attributes:
        loss: the outer loss, before the margin learned from it.
        hypergradient: length of its gradient by the margin's parameters.
    """

    loss: Tensor
    hypergradient: Tensor


class Bilevel:
    """Teaches an objective's margin; the objective and the head themselves stay as they are.

    The batch's classes are split into T and, a share `held_out` of them, V. With theta the head's parameters and phi
    the margin's,

        theta' = theta - alpha grad_theta L(theta; R_phi, T)                      (A4)
        phi <- Adam(phi, grad_phi L_out(theta'(phi); V))                          (A6)

    L is the whole objective. Only its quadruplet term depends on phi, so that the other terms' gradients enter as
    constants and may come from closed forms that have no second derivative. L_out is the same quadruplet loss with the
    margin 0, softened (A5), plus `prototypes` times the prototype cross entropy; it must not contain R, which descent
    on a loss that does drives to its lower bound. The inner loss must be the soft-plus: with a hinge R only decides
    which quadruplets count, and its gradient is zero.

    `inner_normalise` divides the quadruplet's gradient in (A4) by the mean of its soft-plus weights: a larger margin
    then changes the step's direction, and not its length too.

    Outside of `step` the margin's parameters take no gradient: the real step (A7) sees the margin as a constant.

    Args:
        objective: holds one term with a learned margin, a `Quadruplet` with the soft-plus.
        head: from what the backbone gives to raw embeddings; the only part that the virtual step moves.
        settings: `inner_rate` is alpha, `lr` Adam's rate.
        seed: of the splits.

    Raises:
        InkseekError: there is no such term or more than one, or the head learns nothing.

    Source:
        The scheme is that of Shu et al., Meta-Weight-Net, NeurIPS 2019; class-disjoint splits as Balaji et al.,
        MetaReg, NeurIPS 2018. RAMLN (arXiv 2412.00120) says that the margin is meta-learned and leaves the procedure
        open: both are choices made here.
    """

    def __init__(self, objective: Objective, head: nn.Module, settings: MetaSettings, *, seed: int) -> None:
        self.term = bilevel_term(objective)
        self.objective, self.head, self.settings = objective, head, settings
        if not any(parameter.requires_grad for parameter in head.parameters()):
            raise InkseekError("meta: its virtual step moves the head, and this model has none: give model.dim")
        self.margin: nn.Module = self.term.margin
        self._parameters = list(self.margin.parameters())
        for parameter in self._parameters:
            parameter.requires_grad_(False)
        self.optimiser = torch.optim.Adam(self._parameters, lr=settings.lr)
        self.outer = Quadruplet(
            0.0,
            self.term.distance,
            weak=self.term.weak,
            strong_negative=self.term.strong_negative,
            symmetric=self.term.symmetric,
            mining=self.term.mining,
            smooth="softplus",
            sharpness=self.term.sharpness,
            seed=seed,
            level=self.term.level,
        )
        self.draws = Draws(seed)
        self.taken = self.skipped = 0

    def due(self, step: int) -> bool:
        """Whether training step `step`, from 1, begins with a bilevel step: each `every`-th does, from the first on."""
        return (step - 1) % self.settings.every == 0

    def step(self, features: Batch) -> MetaStep | None:
        """Take a step on a whole batch.

        Args:
            features: what the head reads, in the place of embeddings, detached; the same on every process.

        Returns:
            None where the batch has too few classes for a quadruplet in either part; that is counted in `skipped`.
        """
        self.draws.advance()
        split = self._split(features)
        if split is None:
            self.skipped += 1
            return None
        with self.opened():
            loss = self.outer_loss(features, *split)
            gradients = torch.autograd.grad(loss, self._parameters, materialize_grads=True)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.taken += 1
        return MetaStep(loss.detach(), torch.stack([gradient.norm() for gradient in gradients]).norm())

    @contextmanager
    def opened(self) -> Iterator[None]:
        """The margin's parameters take gradients, and the objective's terms keep what they have counted and drawn."""
        training = self.objective.training
        self.objective.eval()
        for parameter in self._parameters:
            parameter.requires_grad_(True)
        try:
            yield
        finally:
            self.objective.train(training)
            for parameter in self._parameters:
                parameter.requires_grad_(False)

    def outer_loss(self, features: Batch, inner: Tensor, outer: Tensor) -> Tensor:
        """L_out(theta'(phi); V), 0-d; differentiable by phi while the margin is `opened`.

        Args:
            features: as for `step`.
            inner: int64, the classes of T.
            outer: int64, the classes of V.
        """
        with torch.autocast(features.anchors.device.type, enabled=False):
            learned = {name: p for name, p in self.head.named_parameters() if p.requires_grad}
            moved = self._virtual_step(self._embed(features, inner, learned), learned)
            batch = self._embed(features, outer, moved)
            loss: Tensor = self.outer(batch)
            if self.settings.prototypes:
                loss = loss + self.settings.prototypes * prototype_cross_entropy(batch.union)
        return loss

    def state(self) -> dict[str, Any]:
        """All that a checkpoint must hold beside the objective, which holds the margin."""
        return {
            "optimiser": self.optimiser.state_dict(),
            "outer": self.outer.state_dict(),
            "draws": self.draws.state_dict(),
            "taken": self.taken,
            "skipped": self.skipped,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.outer.load_state_dict(state["outer"])
        self.draws.load_state_dict(state["draws"])
        self.taken, self.skipped = int(state["taken"]), int(state["skipped"])

    def _split(self, features: Batch) -> tuple[Tensor, Tensor] | None:
        """The classes of T and of V."""
        device = features.anchors.device
        classes = torch.unique(features.everyone_labels)
        held_out = max(_FEWEST, round(self.settings.held_out * len(classes)))
        if len(classes) < held_out + _FEWEST:
            return None
        # On the host, so that the split does not depend on the kind of device.
        order = torch.randperm(len(classes), generator=self.draws.generator(torch.device("cpu"))).to(device)
        return classes[order[held_out:]], classes[order[:held_out]]

    def _embed(self, features: Batch, classes: Tensor, parameters: Mapping[str, Tensor]) -> Batch:
        """The batch of some classes, embedded by a head with these parameters; its statistics move only a copy."""
        buffers = {name: buffer.clone() for name, buffer in self.head.named_buffers()}
        anchors, candidates = (torch.isin(x, classes) for x in (features.anchor_labels, features.candidate_labels))

        def marked(both: tuple[Tensor, Tensor] | None) -> Any:
            if both is None or features.one_domain:
                return None if both is None else both[0][anchors]
            return both[0][anchors], both[1][candidates]

        rows = features.everyone[anchors if features.one_domain else torch.cat((anchors, candidates))]
        embeddings: Tensor = functional_call(self.head, {**parameters, **buffers}, (rows,))
        labels = features.anchor_labels[anchors]
        kin = {"instances": marked(features.instances), "domains": marked(features.domains)}
        if features.one_domain:
            return Batch(embeddings, labels, **kin)
        n = len(labels)
        return Batch(embeddings[:n], labels, embeddings[n:], features.candidate_labels[candidates], **kin)

    def _virtual_step(self, inner: Batch, learned: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Theta' as a function of phi."""
        objective, term, theta = self.objective, self.term, list(learned.values())
        weights = objective.weights
        others = [weights[name] * part(inner) for name, part in objective.parts.items() if part is not term]
        constant: tuple[Tensor | None, ...] = (None,) * len(theta)
        if others:
            total = torch.stack([torch.as_tensor(other) for other in others]).sum()
            constant = torch.autograd.grad(total, theta, retain_graph=True, allow_unused=True)
        shaped = torch.autograd.grad(weights[term.name] * term(inner), theta, create_graph=True)
        length = term.push(inner) if self.settings.inner_normalise else 1.0
        return {
            name: value - self.settings.inner_rate * (g / length + (0 if c is None else c))
            for (name, value), g, c in zip(learned.items(), shaped, constant, strict=True)
        }


def bilevel_term(objective: Objective) -> Quadruplet:
    """The term whose margin a bilevel step can teach.

    Raises:
        InkseekError: there is none, or more than one, or its loss is a hinge.
    """
    learned = [part for part in objective.parts.values() if isinstance(part, MarginTerm) and _learns(part.margin)]
    if len(learned) != 1:
        names = ", ".join(term.name for term in learned) or "no term"
        raise InkseekError(f"meta: exactly one term needs a margin of kind relation or scalar; {names} has")
    (term,) = learned
    if not isinstance(term, Quadruplet) or term.smooth != "softplus":
        raise InkseekError(
            f"meta: {term.name} must be a quadruplet loss with smooth: softplus: a hinge's gradient does not depend on "
            "the margin"
        )
    return term


def _learns(margin: Any) -> bool:
    return isinstance(margin, nn.Module) and any(True for _ in margin.parameters())
