"""The verbs on a gallery in Milvus: indexed, searched, copied into a file; what does not go together is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from PIL import Image, ImageDraw
from typer.testing import CliRunner, Result

from inkseek.cli.copy import copy
from inkseek.cli.index import index
from inkseek.cli.search import search
from inkseek.errors import InkseekError

app = typer.Typer(rich_markup_mode=None)
for verb in (index, search, copy):
    app.command()(verb)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_index_search_and_copy(tmp_path: Path, frozen_bundle: Path) -> None:
    pytest.importorskip("milvus_lite", reason="needs the extra `milvus`")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        picture = Image.new("RGB", (120, 120), "white")
        ImageDraw.Draw(picture).ellipse((10 + 20 * number, 10, 110, 110), outline="navy", width=9)
        picture.save(folder / f"{number}.png")
    there = ("--backend", "milvus", "--uri", tmp_path / "m.db")
    result = run("index", folder, *there, "--model", frozen_bundle, "--index", "HNSW")
    assert result.exit_code == 0, result.output
    assert "m.db: 3 pictures (3 embedded)" in result.output
    found = json.loads(run("search", folder / "1.png", "--as", "photo", "--json", *there).stdout)
    assert found[0]["path"] == str(folder / "1.png")
    file = tmp_path / "g.db"
    result = run("copy", "--gallery", file, "--from", "milvus", "--uri", tmp_path / "m.db")
    assert "g.db: 3 pictures (3 copied)" in result.output
    again = json.loads(run("search", folder / "1.png", "--as", "photo", "--json", "--gallery", file).stdout)
    assert [hit["path"] for hit in again] == [hit["path"] for hit in found]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("search", "a.png", "--backend", "milvus"), "--backend milvus needs --uri"),
        (("search", "a.png", "--uri", "m.db"), "--uri is for Milvus"),
        (("index", "pictures", "--index", "HNSW"), "--index is for Milvus"),
        (("copy",), "--to milvus or --from milvus"),
        (("copy", "--to", "milvus"), "needs --uri"),
        (("copy", "--to", "milvus", "--uri", "none/m.db", "--gallery", "none.db"), "there is no gallery none.db"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    arguments: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = run(*arguments).exception
    assert isinstance(error, InkseekError)
    assert says in str(error)
    assert "\n" not in str(error)
