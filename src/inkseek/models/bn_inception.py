"""BN-Inception: the network of the batch normalisation paper, under the names of the weights that the field uses.

Ioffe and Szegedy, *Batch Normalization* (ICML 2015), appendix. The weights that published metric learning starts from,
`bn_inception-52deb4733.pth`, were ported from a Caffe model that departs from the paper's table in two places, and so
does this module: `inception_4c` projects its pool to 128 channels, and every convolution has a bias. Their pixels are
those of Caffe: 0 to 255 with a mean subtracted, blue first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from inkseek.errors import InkseekError

NAME = "bn_inception"

# Channels: 1x1; 3x3 reduce, 3x3; double 3x3 reduce, double 3x3; projection of the pool. A block without a 1x1 halves
# the picture and passes its pool on as it is.
_BLOCKS: dict[str, tuple[int, int, int, int, int, int]] = {
    "3a": (64, 64, 64, 64, 96, 32),
    "3b": (64, 64, 96, 64, 96, 64),
    "3c": (0, 128, 160, 64, 96, 0),
    "4a": (224, 64, 96, 96, 128, 128),
    "4b": (192, 96, 128, 96, 128, 128),
    "4c": (160, 128, 160, 128, 160, 128),
    "4d": (96, 128, 192, 160, 192, 128),
    "4e": (0, 128, 192, 192, 256, 0),
    "5a": (352, 192, 320, 160, 224, 128),
    "5b": (352, 192, 320, 192, 224, 128),
}


class BNInception(nn.Module):
    """Normalised pixels [N, 3, S, S] to the mean of the last feature map, [N, 1024].

    Its layers lie flat, so that its state dict has the names of the published one: `conv1_7x7_s2`, `conv1_7x7_s2_bn`,
    `inception_3a_double_3x3_1`, ... without the classifier `last_linear`.
    """

    num_features = 1024
    pretrained_cfg: ClassVar[dict[str, object]] = {
        "input_size": (3, 224, 224),
        "mean": (123 / 255, 117 / 255, 104 / 255),
        "std": (1 / 255, 1 / 255, 1 / 255),
        "channels": "bgr",
    }

    def __init__(self) -> None:
        super().__init__()
        self._layer("conv1_7x7_s2", 3, 64, 7, stride=2)
        self._layer("conv2_3x3_reduce", 64, 64, 1)
        self._layer("conv2_3x3", 64, 192, 3)
        channels = 192
        for name, (one, three_reduce, three, double_reduce, double, pool) in _BLOCKS.items():
            block, stride = f"inception_{name}", 1 if one else 2
            if one:
                self._layer(f"{block}_1x1", channels, one, 1)
            self._layer(f"{block}_3x3_reduce", channels, three_reduce, 1)
            self._layer(f"{block}_3x3", three_reduce, three, 3, stride=stride)
            self._layer(f"{block}_double_3x3_reduce", channels, double_reduce, 1)
            self._layer(f"{block}_double_3x3_1", double_reduce, double, 3)
            self._layer(f"{block}_double_3x3_2", double, double, 3, stride=stride)
            if pool:
                self._layer(f"{block}_pool_proj", channels, pool, 1)
            channels = one + three + double + (pool or channels)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the features of a normalised batch."""
        x = functional.max_pool2d(self._run(pixels, "conv1_7x7_s2"), 3, stride=2, ceil_mode=True)
        x = functional.max_pool2d(self._run(x, "conv2_3x3_reduce", "conv2_3x3"), 3, stride=2, ceil_mode=True)
        for name, (one, *_) in _BLOCKS.items():
            block = f"inception_{name}"
            three = self._run(x, f"{block}_3x3_reduce", f"{block}_3x3")
            double = self._run(x, f"{block}_double_3x3_reduce", f"{block}_double_3x3_1", f"{block}_double_3x3_2")
            if not one:
                x = torch.cat((three, double, functional.max_pool2d(x, 3, stride=2, ceil_mode=True)), dim=1)
                continue
            # The last block alone projects a maximum.
            pool = functional.max_pool2d if name == "5b" else functional.avg_pool2d
            pooled = self._run(pool(x, 3, stride=1, padding=1), f"{block}_pool_proj")
            x = torch.cat((self._run(x, f"{block}_1x1"), three, double, pooled), dim=1)
        return x.mean(dim=(2, 3))

    def group_matcher(self, coarse: bool = False) -> dict[str, object]:
        """Return the layers' order as timm's models do, for `last-blocks:N`; coarse: by stage."""
        names = list(dict.fromkeys(name[0] for name in _BLOCKS)) if coarse else list(_BLOCKS)
        return {"stem": r"^conv", "blocks": [(rf"^inception_{name}", (place,)) for place, name in enumerate(names)]}

    def _layer(self, name: str, inside: int, out: int, kernel: int, *, stride: int = 1) -> None:
        self.add_module(name, nn.Conv2d(inside, out, kernel, stride=stride, padding=kernel // 2))
        self.add_module(f"{name}_bn", nn.BatchNorm2d(out))

    def _run(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = functional.relu(self.get_submodule(f"{name}_bn")(self.get_submodule(name)(x)))
        return x


def check_size(size: int) -> None:
    """Refuse a picture size at which the halving blocks' branches would not meet.

    Raises:
        InkseekError: convolutions and pools round such a side differently.
    """
    side = (size + 1) // 2 // 2 // 2
    if side == 0 or side % 4:
        raise InkseekError(f"bn_inception cannot take pictures of {size} pixels; 224, 227 and multiples of 32 are fine")


def published_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the published state dict as this module's: without the classifier, BatchNorm's [1, C] as [C]."""
    kept = {name: value for name, value in state.items() if not name.startswith(("last_linear.", "fc."))}
    return {name: value.flatten() if "_bn." in name and value.dim() == 2 else value for name, value in kept.items()}
