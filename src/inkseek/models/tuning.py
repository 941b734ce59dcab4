"""What is trained: which parameters learn, and whether BatchNorm keeps its statistics."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from inkseek.errors import InkseekError
from inkseek.models.embedder import Embedder

BatchNormMode = Literal["frozen", "frozen-statistics", "live"]

_WHOLE = ("full", "head", "layernorm", "batchnorm-affine")
_LAST_BLOCKS = re.compile(r"last-blocks:([1-9]\d{0,3})")


def _known(tune: str) -> str:
    if tune not in _WHOLE and not _LAST_BLOCKS.fullmatch(tune):
        raise PydanticCustomError("tune", f"should be {', '.join(_WHOLE)} or last-blocks:N")
    return tune


Tune = Annotated[str, AfterValidator(_known)]
"""What learns beside the head; see `apply_tuning`."""


@dataclass(frozen=True)
class Tuning:
    """What of an embedder learns.

    Attributes:
        learns: the name of each parameter that is trained -> how many numbers it holds.
        total: numbers in all parameters of the embedder.
    """

    learns: Mapping[str, int]
    total: int

    @property
    def trained(self) -> int:
        """How many numbers are trained."""
        return sum(self.learns.values())

    def __str__(self) -> str:
        """Return the count, then a line for each trained parameter."""
        width = max(map(len, self.learns), default=0)
        lines = [f"{self.trained:,} of {self.total:,} parameters are trained, in {len(self.learns)} tensors"]
        return "\n".join([*lines, *(f"  {name:<{width}}  {size:>12,}" for name, size in self.learns.items())])


def describe_tuning(embedder: Embedder) -> Tuning:
    """Say what `apply_tuning` left to learn."""
    parameters = list(embedder.named_parameters())
    learns = {name: p.numel() for name, p in parameters if p.requires_grad}
    return Tuning(MappingProxyType(learns), sum(p.numel() for _, p in parameters))


def apply_tuning(embedder: Embedder, tune: Tune, batchnorm: BatchNormMode) -> None:
    """Set `requires_grad` throughout: the head always learns, and of the backbone what `tune` names.

    `full` trains all of it, `head` nothing, `layernorm` and `batchnorm-affine` the scales and shifts of these layers,
    `last-blocks:N` its last N blocks with whatever follows them; a block is what timm's layer-wise learning rates take
    as one.

    With `batchnorm="frozen"` the backbone's BatchNorm layers learn nothing either, as in SEC's code; with
    `frozen-statistics` their scales and shifts learn, and only the running means and variances stay; with `live` both
    follow the batches.

    Raises:
        InkseekError: the backbone has no such layers, or fewer blocks, or `batchnorm` freezes all that `tune` names.
    """
    backbone = embedder.backbone
    if tune == "batchnorm-affine" and batchnorm == "frozen":
        raise InkseekError(
            "tune: batchnorm-affine trains what batchnorm: frozen holds; set batchnorm to frozen-statistics or live"
        )
    learns = _named_by(tune, backbone)
    if batchnorm == "frozen":
        learns -= _of_layers(backbone, _BatchNorm)
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_(name in learns)
    for parameter in embedder.head.parameters():
        parameter.requires_grad_(True)


def set_train_mode(embedder: Embedder, tune: Tune, batchnorm: BatchNormMode) -> None:
    """Put the embedder into training mode; frozen parts stay in evaluation mode and keep their statistics.

    A part is frozen where `apply_tuning` left none of its parameters to learn.
    """
    embedder.train()
    if tune != "full":
        _rest_where_frozen(embedder.backbone)
    if batchnorm != "live":
        for module in embedder.backbone.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def parameter_groups(embedder: Embedder) -> dict[str, list[nn.Parameter]]:
    """Return the parameters that learn, by the names that recipes give learning rates to: `backbone` and `head`."""
    return {
        "backbone": [p for p in embedder.backbone.parameters() if p.requires_grad],
        "head": [p for p in embedder.head.parameters() if p.requires_grad],
    }


def _named_by(tune: Tune, backbone: nn.Module) -> set[str]:
    """Return the names of the backbone's parameters that `tune` stands for."""
    if tune == "full":
        return {name for name, _ in backbone.named_parameters()}
    if tune == "head":
        return set()
    if tune == "layernorm":
        return _of_layers(backbone, nn.LayerNorm) or _none("LayerNorm; batchnorm-affine may be meant")
    if tune == "batchnorm-affine":
        return _of_layers(backbone, _BatchNorm) or _none("BatchNorm; layernorm may be meant")
    last = _LAST_BLOCKS.fullmatch(tune)
    if last is None:
        raise ValueError(f"tune is {tune!r}")
    blocks, n = _blocks(backbone), int(last.group(1))
    if n > len(blocks):
        raise InkseekError(f"tune: {tune}: this backbone has {len(blocks)} blocks")
    return {name for block in blocks[-n:] for name in block}


def _none(of: str) -> set[str]:
    raise InkseekError(f"tune: this backbone has no {of}")


def _of_layers(backbone: nn.Module, kind: type[nn.Module]) -> set[str]:
    return {
        f"{path}.{name}" if path else name
        for path, module in backbone.named_modules()
        if isinstance(module, kind)
        for name, _ in module.named_parameters(recurse=False)
    }


def _blocks(backbone: nn.Module) -> list[list[str]]:
    """Return the names of the parameters of each block, in their order, without the stem."""
    from timm.models import group_parameters

    matcher: Mapping[str, Any] | Callable[[str], object] = cast(Any, backbone).group_matcher(coarse=False)
    groups = list(group_parameters(backbone, matcher).values())
    if isinstance(matcher, Mapping):
        # What no pattern names, a last normalisation, is a group of its own to timm; here it belongs to the last block.
        specs = [[spec] if isinstance(spec, str) else [part[0] for part in spec] for spec in matcher.values() if spec]
        patterns = [pattern for spec in specs for pattern in spec]
        if not any(re.match(pattern, name) for pattern in patterns for name in groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    return groups[1:]


def _rest_where_frozen(module: nn.Module) -> None:
    parameters = list(module.parameters())
    if parameters and not any(p.requires_grad for p in parameters):
        module.eval()
        return
    for child in module.children():
        _rest_where_frozen(child)
