"""A bundle comes back as the model that was saved, or says why not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from inkseek.errors import InkseekError
from inkseek.images.sketch import BlankSketch
from inkseek.models.bn_inception import BNInception
from inkseek.models.bundle import Model, frozen, load, new_model


def scribble(seed: int = 0) -> Image.Image:
    points = np.random.default_rng(seed).integers(10, 110, (5, 2)).tolist()
    picture = Image.new("RGB", (120, 120), "white")
    ImageDraw.Draw(picture).line([tuple(point) for point in points], fill="black", width=3)
    return picture


def test_a_saved_model_embeds_as_before(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = new_model("tf_efficientnet_lite0", dim=16, image_size=64, recipe="r")
    model.save(tmp_path / "run" / "bundle")
    for path in (tmp_path / "run", tmp_path / "run" / "bundle"):
        again = load(path)
        assert again.fingerprint == model.fingerprint
        assert again.card == model.card
        pictures = [scribble(seed) for seed in range(3)]
        np.testing.assert_array_equal(again.embed(pictures, "sketch"), model.embed(pictures, "sketch"))


def test_embeddings_are_unit_rows_and_none_is_none(frozen_model: Model) -> None:
    rows = frozen_model.embed([scribble(1), scribble(2)], "photo")
    assert rows.shape == (2, frozen_model.dim)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert frozen_model.embed([], "sketch").shape == (0, frozen_model.dim)


def test_the_batch_does_not_change_an_embedding(frozen_model: Model) -> None:
    pictures = [scribble(seed) for seed in range(4)]
    together = frozen_model.embed(pictures, "sketch")
    alone = np.concatenate([frozen_model.embed([picture], "sketch") for picture in pictures])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_blank_sketch_is_refused_and_a_blank_photo_is_not(frozen_model: Model) -> None:
    blank = Image.new("RGB", (50, 50), "white")
    with pytest.raises(BlankSketch):
        frozen_model.embed([blank], "sketch")
    assert np.isfinite(frozen_model.embed([blank], "photo")).all()


def test_the_fingerprint_follows_weights_and_preprocessing(frozen_bundle: Path) -> None:
    model, other = load(frozen_bundle), load(frozen_bundle)
    with torch.no_grad():
        next(other.embedder.parameters()).view(-1)[0] += 1e-3
    assert Model(other.embedder, other.card).fingerprint != model.fingerprint
    larger = model.card.model_copy(update={"image_size": 128})
    assert Model(model.embedder, larger).fingerprint != model.fingerprint
    renamed = model.card.model_copy(update={"recipe": "other"})
    assert Model(model.embedder, renamed).fingerprint == model.fingerprint


def test_saving_replaces_the_bundle_that_was_there(tmp_path: Path, frozen_bundle: Path) -> None:
    target = tmp_path / "bundle"
    shutil.copytree(frozen_bundle, target)
    torch.manual_seed(1)
    model = new_model("tf_efficientnet_lite0", dim=8, image_size=64)
    model.save(target)
    assert load(target).fingerprint == model.fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle"]


def damaged(folder: Path, tmp_path: Path, **card: object) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    read = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**read, **card}))
    return copy


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"preprocessing": 99}, "preprocessing version 99"),
        ({"dim": -1}, "not a model card"),
        ({"extra": 1}, "not a model card"),
        ({"format": 2}, "not a model card"),
        ({"backbone": "resnet18"}, "not this model's weights"),
        ({"backbone": "../evil"}, "unknown backbone"),
    ],
)
def test_a_wrong_card_is_one_clear_line(
    card: dict[str, object], message: str, frozen_bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(InkseekError, match=message) as caught:
        load(damaged(frozen_bundle, tmp_path, **card))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 64])
def test_hostile_weights_are_never_unpickled(content: bytes, frozen_bundle: Path, tmp_path: Path) -> None:
    copy = damaged(frozen_bundle, tmp_path)
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(InkseekError, match="not this model's weights"):
        load(copy)


def test_no_model_names_the_demo(tmp_path: Path) -> None:
    with pytest.raises(InkseekError, match="inkseek demo"):
        load(tmp_path / "none")


def test_a_frozen_backbone_is_a_model() -> None:
    model = load("frozen:tf_efficientnet_lite0@64")
    assert (model.dim, model.image_size, model.path) == (1280, 64, None)
    with pytest.raises(InkseekError, match="picture size"):
        load("frozen:tf_efficientnet_lite0@big")


def test_a_crop_is_part_of_the_model(tmp_path: Path) -> None:
    model, squeezed = frozen("tf_efficientnet_lite0", 64, resize=80), frozen("tf_efficientnet_lite0", 64)
    assert model.fingerprint != squeezed.fingerprint
    model.save(tmp_path / "bundle")
    again = load(tmp_path / "bundle")
    assert (again.fingerprint, again.card.resize) == (model.fingerprint, 80)
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 200, 3), dtype=np.uint8))
    crop = wide.resize((160, 80), Image.Resampling.BILINEAR).crop((48, 8, 112, 72))
    expected = model.embed_pixels(np.array(crop)[None])
    np.testing.assert_allclose(again.embed([wide], "photo"), expected, atol=1e-6)
    assert np.abs(squeezed.embed([wide], "photo") - expected).max() > 1e-3
    assert load("frozen:tf_efficientnet_lite0@64/80").fingerprint == model.fingerprint
    for wrong in ("@64/big", "@64/32", "@/64"):
        with pytest.raises(InkseekError, match=r"RESIZE|picture size"):
            load(f"frozen:tf_efficientnet_lite0{wrong}")
    card = tmp_path / "bundle" / "model.json"
    card.write_text(card.read_text().replace('"resize": 80', '"resize": 48'))
    with pytest.raises(InkseekError, match="not a model card"):
        load(tmp_path / "bundle")


def test_a_backbone_of_a_file_sees_blue_first_and_comes_back(tmp_path: Path) -> None:
    """BN-Inception's pixels, from the card of its bundle."""
    torch.manual_seed(0)
    weights = tmp_path / "bn_inception.pth"
    torch.save(BNInception().state_dict(), weights)
    model = frozen("bn_inception", 64, weights=weights)
    assert (model.dim, model.card.channels) == (1024, "bgr")
    model.save(tmp_path / "bundle")
    again = load(tmp_path / "bundle")
    assert again.fingerprint == model.fingerprint
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    centred = pixels.astype(np.float32) - np.array([123, 117, 104], dtype=np.float32)
    caffe = torch.from_numpy(centred[..., ::-1].transpose(0, 3, 1, 2).copy())
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(model.embedder(caffe), dim=1)
    np.testing.assert_allclose(again.embed_pixels(pixels), expected, atol=1e-6)
    other = Model(model.embedder, model.card.model_copy(update={"channels": "rgb"}))
    assert other.fingerprint != model.fingerprint
    assert np.abs(other.embed_pixels(pixels) - expected.numpy()).max() > 1e-4
