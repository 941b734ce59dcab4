"""`--dry-run`: what would be done and how long it would take, with nothing written."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from inkseek.cli.main import main
from inkseek.training import plain_yaml
from inkseek.training.recipe import check_recipe, load_recipe

SMALL = ["data.image_size=32", "batch.classes=3", "model.dim=8", "threads=1", "optim.steps=500"]


def test_it_prints_recipe_counts_and_time_and_writes_nothing(
    tiny_quickdraw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_quickdraw, root)
    for torn in (root / "photo").glob("*/1.jpg"):
        torn.write_bytes(b"torn")
    monkeypatch.chdir(tmp_path)
    overrides = [item for one in SMALL for item in ("--set", one)]
    arguments = ["inkseek", "train", "quickdraw-rdvc", "--root", str(root), *overrides, "--dry-run"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code in (0, None)
    said = capsys.readouterr()
    assert check_recipe(plain_yaml.parse(said.out), "x") == load_recipe("quickdraw-rdvc", [*SMALL, f"data.root={root}"])
    told = " ".join(said.err.split())
    assert "40 classes, 80 sketches, 80 photos" in told
    assert re.search(r"[\d,]{7,} of [\d,]{7,} parameters learn", told)
    assert "3 classes x (3 sketches + 3 photos) (18 pictures)" in told
    assert re.search(r"estimate: \d+:\d\d:\d\d for 500 steps, .* from 3 real steps after one to warm up", told)
    assert "cannot be read, and would be replaced" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
