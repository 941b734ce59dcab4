from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
import typer
from PIL import Image, ImageDraw
from typer.testing import CliRunner, Result

from inkseek.cli.index import index
from inkseek.cli.printable import printable
from inkseek.cli.search import search
from inkseek.cli.serve import serve
from inkseek.errors import InkseekError

OTHER_MODEL = "frozen:tf_efficientnet_lite0@64"

app = typer.Typer(rich_markup_mode=None)
for verb in (index, search, serve):
    app.command()(verb)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def error_of(result: Result) -> str:
    assert isinstance(result.exception, InkseekError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    below = tmp_path / "pictures"
    below.mkdir()
    for i in range(4):
        picture = Image.new("RGB", (200, 200), "white")
        pen = ImageDraw.Draw(picture)
        box = (20 + i, 20, 170, 170 + i)
        if i % 2:
            pen.ellipse(box, outline="navy", width=9)
        else:
            pen.line(box, fill="navy", width=9)
            pen.line((box[2], box[1], box[0], box[3]), fill="navy", width=9)
        picture.save(below / f"{'circle' if i % 2 else 'cross'}-{i}.png")
    return below.resolve()


@pytest.fixture
def gallery(tmp_path: Path, folder: Path, frozen_bundle: Path) -> Path:
    path = tmp_path / "g.db"
    result = run("index", folder, "--gallery", path, "--model", frozen_bundle)
    assert result.exit_code == 0, result.output
    assert "4 pictures (4 embedded)" in result.output
    return path


def test_index_is_incremental_and_lists_what_it_left_out(gallery: Path, folder: Path) -> None:
    (folder / "broken\x1b[31m.jpg").write_bytes(b"no")
    result = run("index", folder, "--gallery", gallery)
    assert result.exit_code == 0
    assert "4 pictures (4 unchanged, 1 unreadable)" in result.output
    assert "left out: " in result.output
    assert r"broken\x1b[31m.jpg: not a picture" in result.output
    assert "\x1b" not in result.output


def test_search_prints_a_table_or_json(gallery: Path, folder: Path) -> None:
    query = folder / "circle-1.png"
    result = run("search", query, "--gallery", gallery, "-k", 2)
    assert result.exit_code == 0
    assert result.output.splitlines()[0].split() == ["rank", "score", "size", "path"]
    assert "circle-" in result.output
    result = run("search", query, "--gallery", gallery, "-k", 3, "--as", "photo", "--json")
    rows = json.loads(result.stdout)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert rows[0]["path"] == str(query)
    assert rows[0]["score"] == pytest.approx(1, abs=1e-4)
    assert rows[0].keys() >= {"id", "width", "height"}


@pytest.mark.skipif(os.name != "posix", reason="file names are text there")
def test_a_name_that_is_no_text_survives_json(gallery: Path, folder: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/odd \xff [red]\n.png"))
    (folder / "cross-0.png").rename(odd)
    assert run("index", folder, "--gallery", gallery).exit_code == 0
    rows = json.loads(run("search", odd, "--gallery", gallery, "--as", "photo", "-k", 1, "--json").stdout)
    assert Path(rows[0]["path"]) == odd
    table = run("search", odd, "--gallery", gallery, "-k", 4)
    assert table.exit_code == 0
    assert r"odd \udcff [red]\n.png" in table.output.replace("\n", "")


def test_what_a_user_can_put_right_is_one_line(gallery: Path, folder: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    assert "inkseek demo" in error_of(run("search", folder / "circle-1.png", "--gallery", missing))
    assert "inkseek demo" in error_of(run("serve", "--gallery", missing, "--no-open"))
    assert "inkseek demo" in error_of(run("index", folder, "--gallery", missing))
    assert "there is no folder" in error_of(run("index", tmp_path / "nowhere", "--gallery", gallery))
    assert "no such file" in error_of(run("search", tmp_path / "nothing.png", "--gallery", gallery))
    assert "not an Inkseek gallery" in error_of(
        run("search", folder / "circle-1.png", "--gallery", folder / "cross-0.png")
    )
    assert "--rebuild" in error_of(
        run("index", folder, "--gallery", gallery, "--model", "frozen:tf_efficientnet_lite0@64")
    )
    assert "--token" in error_of(run("serve", "--gallery", gallery, "--host", "0.0.0.0", "--no-open"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"port {port}" in error_of(run("serve", "--gallery", gallery, "--port", port, "--no-open"))
    assert not missing.exists()


def test_a_folder_of_which_nothing_can_be_read(tmp_path: Path, frozen_bundle: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jpg").write_bytes(b"")
    result = run("index", tmp_path / "bad", "--gallery", tmp_path / "g.db", "--model", frozen_bundle)
    assert "none of the 1 picture files" in error_of(result)
    assert "0 bytes" in result.output


def test_another_model_rebuilds_when_asked(gallery: Path, folder: Path) -> None:
    result = run("index", folder, "--gallery", gallery, "--model", OTHER_MODEL, "--rebuild")
    assert result.exit_code == 0
    assert "4 pictures (4 embedded)" in result.output
    assert run("search", folder / "circle-1.png", "--gallery", gallery).exit_code == 0


def test_help_shows_examples() -> None:
    for name in ("index", "search", "serve"):
        result = run(name, "--help")
        assert result.exit_code == 0
        assert f"inkseek {name} " in result.output


def test_printable_escapes_what_moves_the_terminal() -> None:
    assert printable("café 写真.jpg") == "café 写真.jpg"
    assert printable("a\nb\x1b[2J\udcff") == r"a\nb\x1b[2J\udcff"
