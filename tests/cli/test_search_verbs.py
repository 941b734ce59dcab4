from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
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
from inkseek.gallery.examples import Example
from inkseek.gallery.search import Gallery, open_gallery
from inkseek.images.strokes import Stroke

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
def indexed(tmp_path: Path, folder: Path, frozen_bundle: Path) -> Path:
    path = tmp_path / "g.db"
    result = run("index", folder, "--gallery", path, "--model", frozen_bundle)
    assert result.exit_code == 0, result.output
    assert "4 pictures (4 embedded)" in result.output
    return path


@pytest.fixture
def gallery(indexed: Path) -> Iterator[Gallery]:
    opened = open_gallery(indexed)
    yield opened
    opened.close()


def test_index_is_incremental_and_lists_what_it_left_out(indexed: Path, folder: Path) -> None:
    (folder / "broken\x1b[31m.jpg").write_bytes(b"no")
    result = run("index", folder, "--gallery", indexed)
    assert result.exit_code == 0
    assert "4 pictures (4 unchanged, 1 unreadable)" in result.output
    assert "left out: " in result.output
    assert r"broken\x1b[31m.jpg: not a picture" in result.output
    assert "\x1b" not in result.output


def test_search_prints_a_table_or_json(indexed: Path, folder: Path) -> None:
    query = folder / "circle-1.png"
    result = run("search", query, "--gallery", indexed, "-k", 2)
    assert result.exit_code == 0
    assert result.output.splitlines()[0].split() == ["rank", "score", "id", "size", "path"]
    assert "circle-" in result.output
    result = run("search", query, "--gallery", indexed, "-k", 3, "--as", "photo", "--json")
    rows = json.loads(result.stdout)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert rows[0]["path"] == str(query)
    assert rows[0]["score"] == pytest.approx(1, abs=1e-4)
    assert rows[0].keys() >= {"id", "width", "height"}


def found(*arguments: object) -> list[str]:
    result = run("search", *arguments, "--paths")
    assert result.exit_code == 0, result.output
    return [Path(line).name for line in result.stdout.splitlines()]


def test_examples_add_up_and_minus_examples_are_subtracted(gallery: Gallery, folder: Path, tmp_path: Path) -> None:
    path, circle = gallery.path, folder / "circle-1.png"
    drawings = tmp_path / "crosses.ndjson"
    # The second line as in the raw files, with times.
    cross: list[Stroke] = [([0, 9], [0, 9]), ([0, 9], [9, 0])]
    raw = json.dumps({"word": "cross", "drawing": [[*stroke, [5, 8]] for stroke in cross]})
    drawings.write_text(f'{{"drawing": [[[1, 2], [1, 2]]]}}\n\n{raw}\n')
    ids = {hit.path.name: hit.id for hit in gallery.search(circle)}

    def expected(*examples: Example) -> list[str]:
        return [hit.path.name for hit in gallery.search(examples)]

    drawn = Example(cross)
    assert found(f"{drawings}#2", "--gallery", path) == expected(drawn)
    assert found(f"3:{drawings}#2", f".5:photo:{circle}", "--gallery", path) == expected(
        replace(drawn, weight=3), Example(circle, 0.5, "photo")
    )
    assert found(circle, "--minus", f"2:id:{ids['circle-3.png']}", "--gallery", path) == expected(
        Example(circle), Example(ids["circle-3.png"], -2)
    )
    assert found(f"id:{ids['cross-2.png']}", "-k", 1, "--gallery", path) == ["cross-2.png"]
    assert found("--minus", f"id:{ids['cross-2.png']}", "--gallery", path)[-1] == "cross-2.png"
    odd = tmp_path / "2:photo:x.png"
    shutil.copy(circle, odd)
    assert found(odd, "--gallery", path) == expected(Example(circle))


def test_filters_folding_and_the_cut_off(gallery: Gallery, folder: Path) -> None:
    path, circle = gallery.path, folder / "circle-1.png"
    (folder / "old").mkdir()
    shutil.copy(circle, folder / "old" / "again.png")
    os.utime(folder / "old" / "again.png", (0, datetime(2001, 2, 3, 12).timestamp()))
    assert run("index", folder, "--gallery", path).exit_code == 0
    assert found(circle, "--gallery", path, "--folder", folder / "old") == ["again.png"]
    assert found(circle, "--gallery", path, "--older", "2001-02-04", "--newer", "2001-02-03") == ["again.png"]
    assert "again.png" not in found(circle, "--gallery", path, "--newer", "2001-02-04 08:00")
    assert found(circle, "--gallery", path, "--min-side", 201) == []
    assert "no picture passes" in run("search", circle, "--gallery", path, "--min-side", 201).output
    rows = json.loads(run("search", circle, "--gallery", path, "--as", "photo", "--collapse", "--json").stdout)
    # Its copy, and the other circle, which is drawn two pixels away.
    assert (Path(rows[0]["path"]).name, len(rows[0]["duplicates"])) == ("circle-1.png", 2)
    assert "+2" in run("search", circle, "--gallery", path, "--as", "photo", "--collapse").output
    near = found(circle, "--gallery", path, "--as", "photo", "--cutoff", 0.001)
    assert sorted(near) == ["again.png", "circle-1.png"]
    assert "no learned margin" in error_of(run("search", circle, "--gallery", path, "--cutoff", "margin"))


@pytest.mark.skipif(os.name != "posix", reason="file names are text there")
def test_paths_for_pipes_and_a_page(gallery: Gallery, folder: Path, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/<img src=x>\xff\n.png"))
    (folder / "cross-0.png").rename(odd)
    (folder / "ATTRIBUTION.txt").write_text("By <b>Ann</b>")
    assert run("index", folder, "--gallery", gallery.path).exit_code == 0
    result = run("search", odd, "--gallery", gallery.path, "--as", "photo", "--paths", "-0")
    assert len(paths := result.stdout_bytes.split(b"\0")) == 5
    assert paths[0] == os.fsencode(odd)
    page = tmp_path / "found.html"
    result = run("search", folder / "circle-1.png", "--gallery", gallery.path, "--html", page)
    assert f"{page}: 4 pictures" in result.output
    text = page.read_text(encoding="utf-8")
    assert text.count('<img src="data:image/jpeg;base64,/9j/') == 4
    assert "&lt;img src=x&gt;" in text
    assert "By &lt;b&gt;Ann&lt;/b&gt;" in text
    assert not re.search(r"<script|https?:", text)
    assert "cannot be written" in error_of(
        run("search", folder / "circle-1.png", "--gallery", gallery.path, "--html", tmp_path / "no" / "x.html")
    )


def test_a_query_that_cannot_be_asked_is_one_line(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.ndjson").write_text(f'{{"drawing": 5}}\n{"[" * 100_000}\n{{"drawing": []}}\n')
    for arguments, problem in (
        (("--as", "sketch"), "nothing to search for"),
        (["2:"], "no such file"),
        (["nothing.ndjson"], "No such file"),
        (["bad.ndjson#9"], "no drawing 9"),
        (["bad.ndjson#0"], "from 1"),
        (["bad.ndjson"], "line 1 is no drawing"),
        (["bad.ndjson#2"], "line 2 is no drawing"),
        (["bad.ndjson#3"], "blank"),
        (["id:77"], "no picture 77"),
        (["id:1", "--minus", "id:1"], "cancel each other out"),
        (["id:1", "--cutoff", "near"], "--cutoff takes a distance"),
        (["id:1", "--cutoff", "-1"], "must be above 0"),
        (["id:1", "--min-side", "0"], "at least 1 pixel"),
        (["id:1", "--newer", "2020-01-02", "--older", "2020-01-01"], "exchange the two"),
        (["id:1", "--json", "--paths"], "give one of them"),
        (["id:1", "-0"], "give --paths too"),
    ):
        assert problem in error_of(run("search", *arguments, "--gallery", gallery.path))


@pytest.mark.skipif(os.name != "posix", reason="file names are text there")
def test_a_name_that_is_no_text_survives_json(indexed: Path, folder: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/odd \xff [red]\n.png"))
    (folder / "cross-0.png").rename(odd)
    assert run("index", folder, "--gallery", indexed).exit_code == 0
    rows = json.loads(run("search", odd, "--gallery", indexed, "--as", "photo", "-k", 1, "--json").stdout)
    assert Path(rows[0]["path"]) == odd
    table = run("search", odd, "--gallery", indexed, "-k", 4)
    assert table.exit_code == 0
    assert r"odd \udcff [red]\n.png" in table.output.replace("\n", "")


def test_what_a_user_can_put_right_is_one_line(indexed: Path, folder: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    assert "inkseek demo" in error_of(run("search", folder / "circle-1.png", "--gallery", missing))
    assert "inkseek demo" in error_of(run("serve", "--gallery", missing, "--no-open"))
    assert "inkseek demo" in error_of(run("index", folder, "--gallery", missing))
    assert "there is no folder" in error_of(run("index", tmp_path / "nowhere", "--gallery", indexed))
    assert "no such file" in error_of(run("search", tmp_path / "nothing.png", "--gallery", indexed))
    assert "not an Inkseek gallery" in error_of(
        run("search", folder / "circle-1.png", "--gallery", folder / "cross-0.png")
    )
    assert "--rebuild" in error_of(
        run("index", folder, "--gallery", indexed, "--model", "frozen:tf_efficientnet_lite0@64")
    )
    assert "--token" in error_of(run("serve", "--gallery", indexed, "--host", "0.0.0.0", "--no-open"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"port {port}" in error_of(run("serve", "--gallery", indexed, "--port", port, "--no-open"))
    assert not missing.exists()


def test_a_folder_of_which_nothing_can_be_read(tmp_path: Path, frozen_bundle: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jpg").write_bytes(b"")
    result = run("index", tmp_path / "bad", "--gallery", tmp_path / "g.db", "--model", frozen_bundle)
    assert "none of the 1 picture files" in error_of(result)
    assert "0 bytes" in result.output


def test_another_model_rebuilds_when_asked(indexed: Path, folder: Path) -> None:
    result = run("index", folder, "--gallery", indexed, "--model", OTHER_MODEL, "--rebuild")
    assert result.exit_code == 0
    assert "4 pictures (4 embedded)" in result.output
    assert run("search", folder / "circle-1.png", "--gallery", indexed).exit_code == 0


def test_help_shows_examples() -> None:
    for name in ("index", "search", "serve"):
        result = run(name, "--help")
        assert result.exit_code == 0
        assert f"inkseek {name} " in result.output


def test_printable_escapes_what_moves_the_terminal() -> None:
    assert printable("café 写真.jpg") == "café 写真.jpg"
    assert printable("a\nb\x1b[2J\udcff") == r"a\nb\x1b[2J\udcff"
