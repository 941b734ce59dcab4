"""BN-Inception holds the published weights' names and shapes, and computes what its blocks say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from inkseek.errors import InkseekError
from inkseek.models.backbone import create_backbone, feature_dim, input_size_of, normalisation_of
from inkseek.models.bn_inception import BNInception, check_size, published_weights

# The architecture as a table of convolutions: name, channels in, channels out, side of the kernel.
STEM = [("conv1_7x7_s2", 3, 64, 7), ("conv2_3x3_reduce", 64, 64, 1), ("conv2_3x3", 64, 192, 3)]
WITH_1X1 = {  # block: in; 1x1; 3x3 reduce, 3x3; double reduce, double, double; pool projection
    "3a": (192, 64, 64, 64, 64, 96, 32),
    "3b": (256, 64, 64, 96, 64, 96, 64),
    "4a": (576, 224, 64, 96, 96, 128, 128),
    "4b": (576, 192, 96, 128, 96, 128, 128),
    "4c": (576, 160, 128, 160, 128, 160, 128),
    "4d": (608, 96, 128, 192, 160, 192, 128),
    "5a": (1056, 352, 192, 320, 160, 224, 128),
    "5b": (1024, 352, 192, 320, 192, 224, 128),
}
HALVING = {"3c": (320, 128, 160, 64, 96), "4e": (608, 128, 192, 192, 256)}


def convolutions() -> list[tuple[str, int, int, int]]:
    rows = list(STEM)
    for block, (inside, one, reduce, three, double_reduce, double, pool) in WITH_1X1.items():
        rows.append((f"inception_{block}_1x1", inside, one, 1))
        rows.append((f"inception_{block}_pool_proj", inside, pool, 1))
        rows.extend(branches(block, inside, reduce, three, double_reduce, double))
    for block, (inside, reduce, three, double_reduce, double) in HALVING.items():
        rows.extend(branches(block, inside, reduce, three, double_reduce, double))
    return rows


def branches(
    block: str, inside: int, reduce: int, three: int, double_reduce: int, double: int
) -> list[tuple[str, int, int, int]]:
    return [
        (f"inception_{block}_3x3_reduce", inside, reduce, 1),
        (f"inception_{block}_3x3", reduce, three, 3),
        (f"inception_{block}_double_3x3_reduce", inside, double_reduce, 1),
        (f"inception_{block}_double_3x3_1", double_reduce, double, 3),
        (f"inception_{block}_double_3x3_2", double, double, 3),
    ]


def published(legacy: bool = True) -> dict[str, torch.Tensor]:
    """Random weights under the names and in the shapes of the published file."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, inside, out, side in convolutions():
        state[f"{name}.weight"] = torch.randn(out, inside, side, side, generator=generator) / (inside**0.5 * side)
        state[f"{name}.bias"] = torch.randn(out, generator=generator)
        for part in ("weight", "bias", "running_mean", "running_var"):
            values = torch.rand(out, generator=generator) + (part == "running_var")
            state[f"{name}_bn.{part}"] = values[None] if legacy else values
    state["last_linear.weight"], state["last_linear.bias"] = torch.zeros(1000, 1024), torch.zeros(1000)
    return state


def test_its_names_and_shapes_are_the_published_ones() -> None:
    mine = {key: tuple(value.shape) for key, value in BNInception().state_dict().items()}
    counters = {key for key in mine if key.endswith("num_batches_tracked")}
    theirs = {key: tuple(v.shape) for key, v in published(legacy=False).items() if not key.startswith("last_linear")}
    assert {key: shape for key, shape in mine.items() if key not in counters} == theirs
    assert len(convolutions()) == 69


@pytest.mark.parametrize("legacy", [True, False])
def test_the_published_file_loads(legacy: bool, tmp_path: Path) -> None:
    """Of the old format: a pickle without zip, BatchNorm's parameters [1, C], no counts of batches."""
    file = tmp_path / "bn_inception-52deb4733.pth"
    state = published(legacy)
    torch.save(state, file, _use_new_zipfile_serialization=False)
    network = create_backbone("bn_inception", weights=file).eval()
    for name in ("conv1_7x7_s2.weight", "inception_4c_pool_proj_bn.running_var", "inception_5b_1x1.bias"):
        torch.testing.assert_close(network.state_dict()[name].flatten(), state[name].flatten())
    with torch.inference_mode():
        features = network(torch.randn(2, 3, 96, 96))
    assert features.shape == (2, feature_dim(network)) == (2, 1024)
    assert features.isfinite().all()


def test_other_weights_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    state = published()
    del state["inception_3c_3x3.weight"]
    torch.save(state, file)
    with pytest.raises(InkseekError, match=r"other\.pth: not weights of bn_inception.*inception_3c_3x3"):
        create_backbone("bn_inception", weights=file)
    with pytest.raises(InkseekError, match="come with no package"):
        create_backbone("bn_inception")


def test_a_block_is_its_four_branches_side_by_side() -> None:
    """The first block by hand, from the stem's output."""
    state = published(legacy=False)
    network = BNInception().eval()
    network.load_state_dict(published_weights(state))
    seen: dict[str, torch.Tensor] = {}
    network.get_submodule("inception_3a_1x1").register_forward_pre_hook(lambda _, x: seen.update(block=x[0]))
    network.get_submodule("inception_3b_1x1").register_forward_pre_hook(lambda _, x: seen.update(after=x[0]))

    def layer(x: torch.Tensor, name: str, padding: int = 0) -> torch.Tensor:
        x = functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding)
        mean, variance = state[f"{name}_bn.running_mean"], state[f"{name}_bn.running_var"]
        scale = state[f"{name}_bn.weight"] / (variance + 1e-5).sqrt()
        shift = state[f"{name}_bn.bias"] - mean * scale
        return (x * scale[:, None, None] + shift[:, None, None]).clamp(min=0)

    with torch.inference_mode():
        network(torch.randn(1, 3, 64, 64))
        x, p = seen["block"], "inception_3a"
        double = layer(layer(layer(x, f"{p}_double_3x3_reduce"), f"{p}_double_3x3_1", 1), f"{p}_double_3x3_2", 1)
        mean = functional.pad(x, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1).mean(dim=(-2, -1))
        by_hand = [layer(x, f"{p}_1x1"), layer(layer(x, f"{p}_3x3_reduce"), f"{p}_3x3", 1), double]
        by_hand.append(layer(mean, f"{p}_pool_proj"))
    torch.testing.assert_close(seen["after"], torch.cat(by_hand, dim=1), rtol=1e-4, atol=1e-4)


def test_pictures_are_halved_five_times_rounding_up() -> None:
    network = BNInception().eval()
    sides: dict[str, int] = {}
    for name in ("conv2_3x3_reduce", "inception_3a_1x1", "inception_4a_1x1", "inception_5a_1x1"):
        network.get_submodule(name).register_forward_pre_hook(lambda _, x, n=name: sides.update({n: x[0].shape[-1]}))
    with torch.inference_mode():
        network(torch.zeros(1, 3, 227, 227))
    assert list(sides.values()) == [57, 28, 14, 7]


def test_a_size_is_refused_exactly_where_the_network_cannot_take_it() -> None:
    network = BNInception().eval()
    for size in range(27, 67):
        try:
            check_size(size)
        except InkseekError:
            with pytest.raises(RuntimeError), torch.inference_mode():
                network(torch.zeros(1, 3, size, size))
        else:
            with torch.inference_mode():
                assert network(torch.zeros(1, 3, size, size)).shape == (1, 1024)


def test_pixels_are_those_of_caffe() -> None:
    network = BNInception()
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8))
    red, green, blue = pixels.float().unbind(-1)
    expected = torch.stack((blue - 104, green - 117, red - 123), dim=1)
    torch.testing.assert_close(normalisation_of(network)(pixels), expected, rtol=0, atol=1e-4)
    assert input_size_of(network) == 224
