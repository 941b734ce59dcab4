"""`inkseek losses` lists every loss with its formula, and tells all about one."""

from __future__ import annotations

import json
import sys

import pytest

from inkseek.cli.main import main
from inkseek.losses.catalogue import TERMS


def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "argv", ["inkseek", "losses", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    output = capsys.readouterr()
    assert caught.value.code == 0, output.err
    return output.out


def test_every_loss_is_listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = said(capsys, monkeypatch).splitlines()
    names = [line.split()[0] for line in lines if line and not line[0].isspace()]  # what is told of them is indented
    assert [name for name in names if name in TERMS] == list(TERMS)
    for title in ("formula", "inputs", "recommendations", "source"):
        assert sum(line.strip().startswith(f"{title} ") for line in lines) == len(TERMS)
    assert any("pip install 'inkseek[competitors]'" in line for line in lines)
    assert max(map(len, lines)) <= 100


def test_one_of_them_with_its_options(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    page = said(capsys, monkeypatch, "multi_similarity")
    assert page.startswith("multi_similarity(alpha=2.0, beta=40.0")
    assert "epsilon: the mining margin; None mines nothing." in page
    assert said(capsys, monkeypatch, "proxy_anchor").startswith("proxy_anchor(classes, dim, margin=0.1")


def test_as_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = json.loads(said(capsys, monkeypatch, "--json"))
    assert [row["name"] for row in rows] == list(TERMS)
    assert rows[0]["kind"] == "base"
    assert rows[0]["options"]["margin"] == 1.0
    one = json.loads(said(capsys, monkeypatch, "soft_triple", "--json"))
    assert one["options"]["classes"] == "required"


def test_a_mistyped_name_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["inkseek", "losses", "quadruplets"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("inkseek: no loss is named 'quadruplets'; did you mean 'quadruplet'?")
