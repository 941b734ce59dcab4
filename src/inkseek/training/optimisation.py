"""Optimisers by recipe: rates by part of the model, weight decay, schedule, clipping."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from inkseek.training.recipe import Optim

# Affine parameters of these are scales and shifts; every norm of torch and timm is called so.
_NORM = "norm"


def build_optimiser(optim: Optim, groups: Mapping[str, Sequence[nn.Parameter]], model: nn.Module) -> torch.optim.Adam:
    """Return Adam (its weight decay coupled, as L2) or AdamW over the groups, each at its own rate.

    Args:
        optim: the recipe's section.
        groups: `backbone`, `head` and `objective`: the parameters that learn.
        model: what tells normalisation layers and biases, which `no_decay` may exempt.
    """
    rates = optim.lr.model_dump()
    rates["objective"] = rates["head"] if rates["objective"] is None else rates["objective"]
    spared = {id(parameter) for parameter in _without_decay(model, optim.no_decay)}
    parts: list[dict[str, Any]] = []
    for name, parameters in groups.items():
        for decays in (True, False):
            own = [parameter for parameter in parameters if (id(parameter) not in spared) == decays]
            if own:
                decay = {} if decays else {"weight_decay": 0.0}
                parts.append({"params": own, "lr": rates[name], "base": rates[name], "name": name, **decay})
    kind = torch.optim.AdamW if optim.name == "adamw" else torch.optim.Adam
    return kind(parts, weight_decay=optim.weight_decay)


def _without_decay(model: nn.Module, which: str) -> Iterator[nn.Parameter]:
    if which == "none":
        return
    for module in model.modules():
        norm = _NORM in type(module).__name__.lower()
        for name, parameter in module.named_parameters(recurse=False):
            if norm or (which == "norms-and-biases" and name == "bias"):
                yield parameter


def schedule(optim: Optim, done: int) -> float:
    """Return what the rates are multiplied by in the step after `done` steps."""
    if done < optim.warmup:
        return (done + 1) / (optim.warmup + 1)
    if optim.schedule == "cosine":
        share = (done - optim.warmup) / (optim.steps - optim.warmup)
        return 0.5 * (1 + math.cos(math.pi * share))
    if optim.schedule == "milestones":
        return float(optim.factor ** sum(done >= step for step in optim.milestones))
    return 1.0


def set_rates(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to its base rate times the factor."""
    for group in optimiser.param_groups:
        group["lr"] = group["base"] * factor


def clip(optimiser: torch.optim.Optimizer, longest: float) -> Tensor:
    """Cut the gradient of all parameters together to a length, and return the length that it had."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    return nn.utils.clip_grad_norm_(parameters, longest)


def rate_of_model(optimiser: torch.optim.Optimizer) -> float:
    """Return the present rate of the model's last part, the head where there is one."""
    return [float(group["lr"]) for group in optimiser.param_groups if group["name"] != "objective"][-1]
