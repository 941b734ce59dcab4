"""`inkseek export`: a run becomes a file that is checked on the run's own pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest
import timm
from safetensors.torch import save_file

from inkseek.cli.main import main
from inkseek.models.bundle import new_model
from inkseek.training.recipe import load_recipe


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["inkseek", *map(str, arguments)])
    main()


@pytest.fixture
def a_run(tmp_path: Path, tiny_quickdraw: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    weights = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_efficientnet", num_classes=0).state_dict(), weights)
    new_model("test_efficientnet", dim=8, image_size=32, weights=weights).save(folder / "bundle")
    recipe = load_recipe("quickdraw-rdvc", [f"data.root={tiny_quickdraw}"])
    (folder / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    return folder


def test_a_run_becomes_a_checked_file(
    a_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, "export", a_run, "--onnx", "--out", "tiny.onnx")
    assert caught.value.code == 0
    said = capsys.readouterr().err
    assert "checked against torch on 16 pictures of quickdraw-photo: the embeddings differ by at most" in said
    onnx.checker.check_model(onnx.load("tiny.onnx"), full_check=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run",), "say the format: --onnx"),
        (("run", "--onnx", "--pictures", "empty"), "no pictures to check the file on"),
        (("run/bundle", "--onnx"), "name some with --pictures"),
    ],
)
def test_what_is_missing_is_one_line(
    arguments: tuple[str, ...],
    said: str,
    a_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (a_run.parent / "empty").mkdir()
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, "export", *arguments)
    assert caught.value.code == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1
    assert not Path("model.onnx").exists()
