"""What is trained, and what keeps its statistics."""

from __future__ import annotations

import copy

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from inkseek.errors import InkseekError
from inkseek.models.backbone import create_backbone
from inkseek.models.embedder import Embedder
from inkseek.models.tuning import (
    BatchNormMode,
    Tune,
    apply_tuning,
    describe_tuning,
    parameter_groups,
    set_train_mode,
)


def network() -> Embedder:
    import timm

    torch.manual_seed(0)
    return Embedder(timm.create_model("resnet18", num_classes=0, zero_init_last=False), 8)


def step(embedder: Embedder, tune: Tune, batchnorm: BatchNormMode) -> dict[str, bool]:
    """Train one step and say which entries of the state changed."""
    before = copy.deepcopy(embedder.state_dict())
    apply_tuning(embedder, tune, batchnorm)
    set_train_mode(embedder, tune, batchnorm)
    optimiser = torch.optim.SGD([p for group in parameter_groups(embedder).values() for p in group], lr=0.1)
    torch.autograd.backward(embedder(torch.randn(4, 3, 32, 32)).square().sum())
    optimiser.step()
    return {key: not torch.equal(value, before[key]) for key, value in embedder.state_dict().items()}


@pytest.mark.parametrize("batchnorm", ["frozen", "live"])
def test_head_alone(batchnorm: BatchNormMode) -> None:
    changed = step(network(), "head", batchnorm)
    assert {key for key, value in changed.items() if value} == {"head.weight", "head.bias"}


def test_full_with_frozen_batchnorm_changes_every_other_weight() -> None:
    changed = step(network(), "full", "frozen")
    normalisation = {key for key in changed if "bn" in key or "downsample.1" in key}
    assert not any(changed[key] for key in normalisation)
    assert all(value for key, value in changed.items() if key not in normalisation)


def test_full_with_live_batchnorm_moves_the_statistics() -> None:
    changed = step(network(), "full", "live")
    assert changed["backbone.bn1.running_mean"]
    assert changed["backbone.bn1.weight"]


def test_frozen_statistics_let_scales_and_shifts_learn() -> None:
    changed = step(network(), "full", "frozen-statistics")
    assert changed["backbone.bn1.weight"]
    assert changed["backbone.bn1.bias"]
    assert not any(changed[key] for key in changed if "running" in key)


FAMILIES = {  # backbone: (blocks, a parameter of its last block, one of the block before it)
    "resnet10t": (4, "layer4.0.conv1.weight", "layer3.0.conv1.weight"),
    "vit_tiny_patch16_224": (12, "blocks.11.attn.qkv.weight", "blocks.10.attn.qkv.weight"),
    "pvt_v2_b0": (4, "stages.3.blocks.0.attn.q.weight", "stages.2.blocks.0.attn.q.weight"),
    "tf_efficientnet_lite0": (16, "blocks.6.0.conv_pw.weight", "blocks.5.3.conv_pw.weight"),
    "mobilenetv3_small_050": (12, "blocks.5.0.conv.weight", "blocks.4.2.conv_pw.weight"),
    "inception_v3": (12, "Mixed_7c.branch1x1.conv.weight", "Mixed_7b.branch1x1.conv.weight"),
    "convnext_atto": (12, "stages.3.blocks.1.mlp.fc1.weight", "stages.3.blocks.0.mlp.fc1.weight"),
    "bn_inception": (10, "inception_5b_1x1.weight", "inception_5a_1x1.weight"),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_last_blocks_train_the_end_of_every_family(name: str) -> None:
    blocks, last, before = FAMILIES[name]
    with torch.device("meta"):
        embedder = Embedder(create_backbone(name, pretrained=False), 8)
    apply_tuning(embedder, "last-blocks:1", "live")
    first = describe_tuning(embedder).learns
    assert f"backbone.{last}" in first
    assert f"backbone.{before}" not in first
    apply_tuning(embedder, "last-blocks:2", "live")
    second = describe_tuning(embedder).learns
    assert f"backbone.{before}" in second
    assert first.keys() < second.keys()
    apply_tuning(embedder, f"last-blocks:{blocks}", "live")
    assert describe_tuning(embedder).trained < sum(p.numel() for p in embedder.parameters())  # the stem stays
    with pytest.raises(InkseekError, match=f"has {blocks} blocks"):
        apply_tuning(embedder, f"last-blocks:{blocks + 1}", "live")
    final = [name for name, _ in embedder.backbone.named_parameters()][-1]
    assert f"backbone.{final}" in first


def test_layernorm_alone() -> None:
    with torch.device("meta"):
        embedder = Embedder(create_backbone("vit_tiny_patch16_224", pretrained=False), 8)
    apply_tuning(embedder, "layernorm", "frozen")
    tuning = describe_tuning(embedder)
    layers = [*(f"blocks.{i}.norm{j}" for i in range(12) for j in (1, 2)), "norm"]
    expected = {f"backbone.{layer}.{part}": 192 for layer in layers for part in ("weight", "bias")}
    assert tuning.learns == expected | {"head.weight": 8 * 192, "head.bias": 8}
    assert tuning.trained == 25 * 2 * 192 + 8 * 193
    assert tuning.total == sum(p.numel() for p in embedder.parameters())
    lines = str(tuning).splitlines()
    assert lines[0] == f"{tuning.trained:,} of {tuning.total:,} parameters are trained, in 52 tensors"
    assert len(lines) == 53


@pytest.mark.parametrize("batchnorm", ["frozen-statistics", "live"])
def test_batchnorm_affine_alone(batchnorm: BatchNormMode) -> None:
    changed = step(network(), "batchnorm-affine", batchnorm)
    affine = {
        key for key in changed if ("bn" in key or "downsample.1" in key) and key.endswith((".weight", ".bias"))
    } | {"head.weight", "head.bias"}
    statistics = {key for key in changed if "running" in key or "batches" in key}
    assert {key for key, value in changed.items() if value} == affine | (statistics if batchnorm == "live" else set())


def test_frozen_blocks_keep_their_statistics_where_later_ones_are_live() -> None:
    changed = step(network(), "last-blocks:1", "live")
    assert changed["backbone.layer4.1.bn1.running_mean"]
    assert changed["backbone.layer4.1.conv1.weight"]
    assert not any(value for key, value in changed.items() if "layer4.1" not in key and "head" not in key)


def test_what_a_backbone_has_not_or_batchnorm_forbids_is_refused() -> None:
    with pytest.raises(InkseekError, match="no LayerNorm; batchnorm-affine may be meant"):
        apply_tuning(network(), "layernorm", "frozen")
    with pytest.raises(InkseekError, match="batchnorm to frozen-statistics or live"):
        apply_tuning(network(), "batchnorm-affine", "frozen")
    with torch.device("meta"):
        vit = Embedder(create_backbone("vit_tiny_patch16_224", pretrained=False), 8)
    with pytest.raises(InkseekError, match="no BatchNorm; layernorm may be meant"):
        apply_tuning(vit, "batchnorm-affine", "live")


@pytest.mark.parametrize("tune", ["full", "head", "layernorm", "batchnorm-affine", "last-blocks:1", "last-blocks:12"])
def test_a_recipe_may_say(tune: str) -> None:
    assert TypeAdapter(Tune).validate_python(tune) == tune


@pytest.mark.parametrize("tune", ["all", "", "last-blocks", "last-blocks:0", "last-blocks:x", "head "])
def test_a_recipe_may_not_say(tune: str) -> None:
    with pytest.raises(ValidationError, match="should be full, head, layernorm, batchnorm-affine or last-blocks:N"):
        TypeAdapter(Tune).validate_python(tune)


def test_secs_head_normalises_features_before_its_linear_layer() -> None:
    torch.manual_seed(0)
    embedder = Embedder(network().backbone, 8, head_batchnorm=True)
    apply_tuning(embedder, "head", "frozen")
    assert describe_tuning(embedder).learns.keys() == {
        "head.batchnorm.weight",
        "head.batchnorm.bias",
        "head.linear.weight",
        "head.linear.bias",
    }
    set_train_mode(embedder, "head", "frozen")
    features = torch.randn(6, 512)
    standard = (features - features.mean(dim=0)) / (features.var(dim=0, unbiased=False) + 1e-5).sqrt()
    expected = standard @ embedder.state_dict()["head.linear.weight"].T + embedder.state_dict()["head.linear.bias"]
    torch.testing.assert_close(embedder.from_features(features), expected, rtol=1e-4, atol=1e-4)
    assert embedder.state_dict()["head.batchnorm.num_batches_tracked"] == 1
