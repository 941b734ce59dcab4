"""What a recipe comes to before its first step: data, batches, network, objective."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from inkseek.datasets import protocol as protocols
from inkseek.datasets.catalogue import open_dataset
from inkseek.datasets.dataset import Dataset
from inkseek.datasets.items import Items
from inkseek.datasets.sampling import Batches, PairBatches, PKBatches, RandomBatches
from inkseek.errors import InkseekError
from inkseek.losses.catalogue import build_objective
from inkseek.losses.objective import Objective
from inkseek.margins.bilevel import Bilevel
from inkseek.margins.relation_network import RelationNetwork
from inkseek.margins.settings import RelationSettings, margin_settings, with_margins
from inkseek.models.bundle import Model, new_model
from inkseek.models.card import MarginCard
from inkseek.models.tuning import apply_tuning, parameter_groups
from inkseek.training.recipe import BatchPart, Recipe
from inkseek.training.tracking import check_tracker


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that a recipe asks for, opened, built and held against each other.

    Attributes:
        recipe: what was asked for.
        dataset: all of it.
        training: the items that are trained on.
        protocol: what checkpoints are measured on; None where nothing is.
        batches: the stream of whole batches.
        model: the network as it starts.
        objective: what is minimised.
        bilevel: teaches the objective's margin; None where none is learned so.
    """

    recipe: Recipe
    dataset: Dataset
    training: Items
    protocol: protocols.Protocol | None
    batches: Batches
    model: Model
    objective: Objective
    bilevel: Bilevel | None

    @property
    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The parameters that learn, by the names that recipes give rates to."""
        own = [parameter for parameter in self.objective.parameters() if parameter.requires_grad]
        return {**parameter_groups(self.model.embedder), "objective": own}

    @property
    def on_features(self) -> bool:
        """Whether the head alone learns, from pictures that never change, so that features stand for pictures."""
        recipe = self.recipe
        return recipe.model.tune == "head" and recipe.augment.nothing and recipe.precision == "float32"

    @property
    def parameters(self) -> int:
        """How many numbers network and objective have."""
        parts = (self.model.embedder, self.objective)
        return sum(parameter.numel() for part in parts for parameter in part.parameters())

    @property
    def trained_parameters(self) -> int:
        """How many numbers learn, those of the objective and its margin among them."""
        margin = [] if self.bilevel is None else list(self.bilevel.margin.parameters())
        return sum(parameter.numel() for group in (*self.groups.values(), margin) for parameter in group)

    @property
    def objective_learns(self) -> dict[str, int]:
        """The name of each parameter of the objective, its margin's among them -> how many numbers it holds."""
        return {name.removeprefix("parts."): parameter.numel() for name, parameter in self.objective.named_parameters()}

    def relation_network(self) -> tuple[MarginCard, RelationNetwork] | None:
        """A copy of the relation network that the objective has now, and what builds it; None where there is none."""
        for name, term in self.objective.parts.items():
            margin = getattr(term, "margin", None)
            if isinstance(margin, RelationNetwork):
                settings = margin_settings(name, (self.recipe.objective[name] or {})["margin"])
                assert isinstance(settings, RelationSettings), "it has built a relation network"
                classes = len(np.unique(self.training.labels))
                return MarginCard(settings=settings, classes=classes), copy.deepcopy(margin).float()
        return None


def make_plan(recipe: Recipe, name: str) -> Plan:
    """Open and build what a recipe asks for; nothing is written.

    Args:
        recipe: what to run.
        name: the recipe's name, kept in the bundle.

    Raises:
        InkseekError: data that are not there, or that the batch does not fit; an unknown backbone; a tracker that is
            not installed.
    """
    check_tracker(recipe.track)
    dataset = open_dataset(recipe.data.name, recipe.data.root)
    validating = recipe.validate_.on != "none"
    training = _fewer(dataset.training(hold_out=validating), recipe.data.classes)
    protocol = protocols.protocol_of(dataset, "pseudo-unseen") if validating else None
    batches = make_batches(recipe.batch, dataset, training, recipe.seed)
    torch.manual_seed(recipe.seed)
    model = new_model(
        recipe.model.backbone,
        dim=recipe.model.dim,
        image_size=recipe.data.image_size,
        resize=recipe.data.resize,
        weights=recipe.model.weights,
        head_batchnorm=recipe.model.head_batchnorm,
        recipe=name,
        trained_on=dataset.name,
        attribution=dataset.attribution,
    )
    apply_tuning(model.embedder, recipe.model.tune, recipe.model.batchnorm)
    # Losses with proxies have one for each class that is trained on, by the number of its place among them.
    classes = len(np.unique(training.labels))
    dim = model.embedder.dim
    # Drawn apart, so that a classifier or proxies start alike whether a margin is learned beside them or not.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        terms = with_margins(recipe.objective, classes=classes, dim=dim)
    objective = build_objective(terms, classes=classes, dim=dim)
    bilevel = None
    if recipe.meta is not None:
        bilevel = Bilevel(objective, model.embedder.head, recipe.meta, seed=recipe.seed)
    return Plan(recipe, dataset, training, protocol, batches, model, objective, bilevel)


def _fewer(items: Items, count: int | None) -> Items:
    """Keep `count` classes of those that the items have, spread evenly over their order; all with None.

    Raises:
        InkseekError: there are not so many.
    """
    if count is None:
        return items
    there = np.unique(items.labels)
    if count > len(there):
        raise InkseekError(f"data.classes: {count} of {len(there)} classes that can be trained on; give fewer, or null")
    kept = there[np.linspace(0, len(there) - 1, count).round().astype(int)]
    return items.of(classes={items.classes[label] for label in kept.tolist()})


def make_batches(batch: BatchPart, dataset: Dataset, training: Items, seed: int) -> Batches:
    """Return the stream of batches that a recipe describes.

    Raises:
        InkseekError: the kind does not fit the data's domains, or the numbers do not fit the pictures.
    """
    classes, sketches, photos, pairs = batch.classes, batch.sketches, batch.photos, batch.pairs
    if dataset.one_domain and (sketches or pairs or batch.anchors == "both"):
        given = "sketches" if sketches else "pairs" if pairs else "anchors: both"
        raise InkseekError(
            f"batch: {given} does not fit {dataset.name}, which holds photos alone: write batch: "
            "{classes: P, photos: K}, or {photos: N} for a batch at random"
        )
    if not dataset.one_domain and not (sketches or pairs):
        raise InkseekError(
            f"batch: photos alone do not fit {dataset.name}, which holds sketches too: write batch: "
            "{classes: P, sketches: K, photos: K}, or, where every sketch has its photo, {classes: P, pairs: K}, or "
            "{pairs: N} for a batch at random"
        )
    if classes is None:
        return RandomBatches(training, number=pairs or photos or 0, seed=seed)
    if pairs:
        return PairBatches(training, classes=classes, pairs=pairs, seed=seed)
    return PKBatches(training, classes=classes, sketches=sketches or 0, photos=photos or 0, seed=seed)
