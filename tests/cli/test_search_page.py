"""What docs/search.md shows is run as it stands there, but for the command that never ends."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from inkseek.cli.main import main

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "search.md").read_text(encoding="utf-8")


def test_the_page_on_searching_runs_from_top_to_bottom(
    tmp_path: Path,
    tiny_quickdraw: Path,
    frozen_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(tiny_quickdraw / "photo", tmp_path / "Pictures")
    shutil.copytree(frozen_bundle, tmp_path / "runs" / "demo" / "bundle")
    shutil.copy(tiny_quickdraw / "sketch" / "ant" / "0.png", "doodle.png")
    shutil.copy(tiny_quickdraw / "photo" / "ant" / "0.jpg", "photo.jpg")
    drawing = json.dumps({"drawing": [[[0, 9, 9], [0, 9, 0]]]})
    Path("cat.ndjson").write_text(f"{drawing}\n" * 3)
    ran = 0
    for kind, text in re.findall(r"^```(\w+)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL):
        if kind == "python":
            exec(compile(text, "docs/search.md", "exec"), {})
            ran += 1
        for line in text.splitlines() if kind == "sh" else ():
            # As a shell does and shlex does not: a # within a word begins no comment.
            words = shlex.split(line.partition(" #")[0])
            words = [str(Path(word).expanduser()) if word.startswith("~") else word for word in words]
            if "--watch" in words:
                continue
            monkeypatch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as caught:
                main()
            assert caught.value.code in (0, None), f"{line}\n{capsys.readouterr().err}"
            ran += 1
    assert ran >= 7
    assert len(capsys.readouterr().out.splitlines()) > 50
