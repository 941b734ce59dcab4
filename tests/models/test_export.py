"""An ONNX file agrees with torch on real inputs, says what it needs to know, or is not written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import timm
import torch
from safetensors.torch import save_file

from inkseek.errors import InkseekError
from inkseek.images.preprocessing import Preparation
from inkseek.images.strokes import draw_strokes
from inkseek.models import export
from inkseek.models.bundle import Model, new_model
from inkseek.models.export import TOLERANCE, export_onnx

SIZE = 64


def model_of(tmp_path: Path, backbone: str) -> Model:
    torch.manual_seed(0)
    weights = tmp_path / f"{backbone}.safetensors"
    save_file(timm.create_model(backbone, num_classes=0).state_dict(), weights)
    return new_model(backbone, dim=8, image_size=SIZE, resize=SIZE + 8, weights=weights, head_batchnorm=True)


@pytest.fixture
def pixels() -> npt.NDArray[np.uint8]:
    generator = np.random.default_rng(0)
    drawings = [draw_strokes([tuple(generator.random((2, 6)).tolist())]) for _ in range(5)]
    return np.stack([Preparation(SIZE)(drawing, "sketch") for drawing in drawings])


@pytest.mark.parametrize(("backbone", "half"), [("test_efficientnet", False), ("test_vit", False), ("test_vit", True)])
def test_the_file_embeds_as_torch_does(
    backbone: str, half: bool, tmp_path: Path, pixels: npt.NDArray[np.uint8]
) -> None:
    model = model_of(tmp_path, backbone)
    out = tmp_path / "out" / "model.onnx"
    out.parent.mkdir()
    difference = export_onnx(model, out, pixels, half=half)
    assert 0 < difference <= TOLERANCE[half]
    assert [path.name for path in out.parent.iterdir()] == ["model.onnx"]
    assert next(model.embedder.parameters()).dtype == torch.float32  # the model itself is left as it was
    weights = sum(p.numel() for p in model.embedder.parameters()) * (2 if half else 4)
    kept = sum(len(tensor.raw_data) for tensor in onnx.load(out).graph.initializer)
    assert 0.95 * weights < kept < 1.1 * weights

    # As a program without inkseek would: from the metadata alone.
    session = onnxruntime.InferenceSession(out)
    about = {name: json.loads(v) for name, v in session.get_modelmeta().custom_metadata_map.items()}
    assert about["inkseek.fingerprint"] == model.fingerprint
    assert about["inkseek.half"] is half
    assert about["inkseek.channels"] == "rgb"
    assert (about["inkseek.image_size"], about["inkseek.resize"]) == (SIZE, SIZE + 8)
    for n in (1, 3):
        inputs = (pixels[:n] / 255 - about["inkseek.mean"]) / about["inkseek.std"]
        inputs = inputs.transpose(0, 3, 1, 2).astype(np.float32)
        (rows,) = session.run(None, {"pixels": inputs})
        np.testing.assert_allclose(rows, model.embed_pixels(pixels[:n]), atol=TOLERANCE[half])
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_a_file_that_disagrees_is_not_written(
    tmp_path: Path, pixels: npt.NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(tmp_path, "test_efficientnet")
    out = tmp_path / "model.onnx"
    out.write_bytes(b"what was there")
    monkeypatch.setitem(export.TOLERANCE, True, 1e-7)  # finer than half precision can be
    with pytest.raises(InkseekError, match=r"model\.onnx: not written: its embeddings differ .*without --half"):
        export_onnx(model, out, pixels, half=True)
    assert out.read_bytes() == b"what was there"
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "test_efficientnet.safetensors"}


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(InkseekError, match="cannot be written") as caught:
        export_onnx(model_of(tmp_path, "test_vit"), tmp_path / "none" / "model.onnx", pixels)
    assert "\n" not in str(caught.value)
