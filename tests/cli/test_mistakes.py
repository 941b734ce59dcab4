"""Whatever a user gets wrong is one line on stderr and exit code 2: what, where, what to do. Never a traceback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from inkseek.cli.main import main

Say = Callable[..., str]


@pytest.fixture
def mistake(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Run the command in an empty folder, and return its one line of complaint."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["inkseek", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr().err
        assert caught.value.code == 2, said
        assert "Traceback" not in said
        complaint = [line for line in said.splitlines() if line.startswith("inkseek: ")]
        assert len(complaint) == 1, said
        return complaint[0]

    return run


def test_training_without_the_data(mistake: Say, tmp_path: Path) -> None:
    assert "nowhere: no such folder" in mistake("train", "quickdraw-rdvc", "--root", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "no sketch folder" in mistake("train", "quickdraw-rdvc", "--root", tmp_path / "empty")
    assert not (tmp_path / "runs").exists()


def test_a_class_without_photos(mistake: Say, tiny_quickdraw: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_quickdraw, root)
    shutil.rmtree(root / "photo" / "crab")
    assert "class 'crab' has no photo" in mistake("train", "quickdraw-rdvc", "--root", root)
    (root / "photo" / "crab").mkdir()
    assert "class 'crab' has no photo" in mistake("train", "quickdraw-rdvc", "--root", root)


@pytest.mark.parametrize(("kept", "reason"), [(0, "0 bytes"), (700, "decoded"), (2, "not a picture")])
def test_a_picture_that_cannot_be_read(
    mistake: Say, tiny_quickdraw: Path, tmp_path: Path, kept: int, reason: str
) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_quickdraw, root)
    torn = root / "photo" / "ant" / "0.jpg"
    torn.write_bytes(torn.read_bytes()[:kept])
    said = mistake(
        "evaluate", "frozen:tf_efficientnet_lite0@32", "--protocol", "quickdraw-photo/unseen", "--root", root
    )
    assert "0.jpg" in said
    assert reason in said


def test_a_wrong_recipe(mistake: Say) -> None:
    assert "did you mean 'quickdraw-rdvc'" in mistake("train", "quickdraw-rdcv")
    assert "did you mean 'steps'" in mistake("train", "quickdraw-rdvc", "--set", "optim.stps=3")


def test_an_unknown_backbone(mistake: Say, tiny_quickdraw: Path) -> None:
    said = mistake("train", "quickdraw-rdvc", "--root", tiny_quickdraw, "--set", "model.backbone=tf_eficientnet_lite0")
    assert "did you mean 'tf_efficientnet_lite0'" in said
    assert "unknown backbone" in mistake("evaluate", "frozen:nothing", "--protocol", "emoji/unseen")


def test_a_wrong_model(mistake: Say, frozen_bundle: Path, tmp_path: Path) -> None:
    assert "inkseek demo" in mistake("evaluate", tmp_path / "none")
    torn = tmp_path / "torn"
    shutil.copytree(frozen_bundle, torn)
    (torn / "model.safetensors").write_bytes(b"PK\x03\x04")
    assert "not this model's weights" in mistake("evaluate", torn)
    assert "say on what" in mistake("evaluate", frozen_bundle)
    assert "did you mean 'emoji/unseen'" in mistake("evaluate", frozen_bundle, "--protocol", "emoji/unsen")


def test_a_run_that_is_there_is_not_overwritten(mistake: Say, tmp_path: Path, tiny_quickdraw: Path) -> None:
    run = tmp_path / "runs" / "quickdraw-rdvc"
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text("kept: true\n")
    assert "--resume" in mistake("train", "quickdraw-rdvc", "--root", tiny_quickdraw)
    assert "another recipe" in mistake("train", "quickdraw-rdvc", "--root", tiny_quickdraw, "--resume")
    assert (run / "recipe.yaml").read_text() == "kept: true\n"


def test_what_is_for_ray_needs_ray(mistake: Say, tmp_path: Path) -> None:
    for options in (["--address", "auto"], ["--workers", 2], ["--gpus"], ["--parquet", "id,image"]):
        assert f"{options[0]} is for Ray; give --engine ray" in mistake("index", tmp_path, *options)
    assert "--engine ray" in mistake("index", "s3://bucket/key", "--model", "frozen:tf_efficientnet_lite0")
    assert "two columns" in mistake("index", tmp_path, "--engine", "ray", "--parquet", "image")
    assert "leave --engine ray out" in mistake("index", tmp_path, "--engine", "ray", "--watch")


def test_search_and_index_without_a_model(mistake: Say, tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    assert "inkseek demo" in mistake("index", tmp_path, "--gallery", tmp_path / "g.db")
    assert "holds no pictures" in mistake("index", empty(tmp_path), "--gallery", tmp_path / "g.db")
    assert not (tmp_path / "g.db").exists()


def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_the_demo_says_at_once_that_its_port_is_taken(mistake: Say, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in mistake("demo", "--port", port)
    assert not (tmp_path / "runs").exists()


def test_a_csv_that_is_not_ours_stays_as_it_is(mistake: Say, tmp_path: Path, tiny_quickdraw: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("a,b\n1,2\n")
    said = mistake(
        "evaluate",
        "frozen:tf_efficientnet_lite0@32",
        "--protocol",
        "quickdraw-photo/unseen",
        "--root",
        tiny_quickdraw,
        "--csv",
        mine,
    )
    assert "not a CSV of results" in said
    assert mine.read_text() == "a,b\n1,2\n"


def test_a_study_or_scale_that_is_not_there(mistake: Say, tmp_path: Path) -> None:
    assert "no study is named 'tabel1'; did you mean 'table1'" in mistake("reproduce", "tabel1")
    assert "--scale huge: it is small or full" in mistake("reproduce", "table1", "--scale", "huge")
    assert "no such folder" in mistake("reproduce", "fig7", "--data", tmp_path / "nowhere")
    (tmp_path / "results" / "studies" / "fig7-small").mkdir(parents=True)
    (tmp_path / "results" / "studies" / "fig7-small" / "runs.csv").write_text("a,b\n1,2\n")
    assert "holds fig7 already; go on with --resume" in mistake("reproduce", "fig7", "--data", tmp_path)
    assert "not a CSV of results" in mistake("reproduce", "fig7", "--data", tmp_path, "--resume")


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("inkseek, inkseek.cli.main", "torch numpy timm matplotlib faiss fastapi PIL pydantic"),
        ("inkseek.losses", "timm torchvision matplotlib faiss PIL pydantic rich"),
    ],
)
def test_importing_loads_nothing_heavy(modules: str, heavy: str) -> None:
    code = f"import sys, {modules}; loaded = set({heavy!r}.split()) & set(sys.modules); assert not loaded, loaded"
    subprocess.run([sys.executable, "-c", code], check=True)
