"""ONNX Runtime embeds as torch does, is exported once, and a gallery made by one is searched by the other."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from inkseek.errors import InkseekError
from inkseek.gallery.search import open_gallery
from inkseek.models import runtime
from inkseek.models.bundle import Model, new_model
from inkseek.models.runtime import OnnxModel, with_runtime

SIZE = 50  # no multiple of the patches that the export is checked on


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    torch.manual_seed(0)
    weights = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file(timm.create_model("test_efficientnet", num_classes=0).state_dict(), weights)
    model = new_model("test_efficientnet", dim=8, image_size=SIZE, weights=weights)
    model.save(weights.parent / "bundle")
    model.path = weights.parent / "bundle"
    return model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INKSEEK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_embeds_as_torch_does_in_batches_of_any_size(
    model: Model, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert with_runtime(model, "torch") is model
    fast = with_runtime(model, "onnx")
    assert isinstance(fast, OnnxModel)
    assert with_runtime(fast, "onnx") is fast
    assert (fast.fingerprint, fast.dim, fast.path) == (model.fingerprint, model.dim, model.path)
    pixels = np.random.default_rng(1).integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)
    monkeypatch.setattr(runtime, "_BATCH", 3)
    np.testing.assert_allclose(fast.embed_pixels(pixels), model.embed_pixels(pixels), atol=1e-5)
    assert fast.embed_pixels(pixels[:0]).shape == (0, 8)
    (file,) = (cache / "onnx").iterdir()
    written = file.stat().st_mtime_ns
    with_runtime(model, "onnx")
    assert file.stat().st_mtime_ns == written

    file.write_bytes(b"torn")
    with pytest.raises(InkseekError, match=r"\.onnx: cannot be run .*; delete it"):
        with_runtime(model, "onnx")


def test_a_gallery_made_by_one_runtime_is_searched_by_the_other(model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(random.integers(0, 256, (60, 60, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    gallery = open_gallery(tmp_path / "g.db", runtime="onnx")
    gallery.add(folder, model)
    assert isinstance(gallery.model, OnnxModel)
    other = open_gallery(tmp_path / "g.db")
    assert not isinstance(other.model, OnnxModel)
    ours, theirs = (each.search(folder / "2.png", k=5, domain="photo") for each in (gallery, other))
    assert [hit.id for hit in ours] == [hit.id for hit in theirs]
    np.testing.assert_allclose([hit.score for hit in ours], [hit.score for hit in theirs], atol=1e-4)
    assert ours[0].score == pytest.approx(1, abs=1e-4)


def test_without_the_extra_it_says_which(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InkseekError, match=r"pip install 'inkseek\[export\]'"):
        with_runtime(model, "onnx")
