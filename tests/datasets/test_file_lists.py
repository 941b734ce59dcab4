"""Lists of pictures from outside: whatever is wrong with one is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkseek.datasets import file_lists
from inkseek.datasets.file_lists import present, read_lines, read_rows, relative_path
from inkseek.errors import InkseekError


def test_a_path_may_hold_blanks(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("\ufeffpng/hot air balloon/1 a.png 14\r\n\n  images/x.jpg 0\n", encoding="utf-8")
    assert read_rows(file, ("path", "#class")) == [("png/hot air balloon/1 a.png", "14"), ("images/x.jpg", "0")]
    file.write_text("image_id class_id path\n1 2 a b/c d.jpg\n", encoding="utf-8")
    assert read_rows(file, ("#image", "#class", "path"), skip=1) == [("1", "2", "a b/c d.jpg")]


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ("only-a-path.png", ("path", "#class")),
        ("a.png one", ("path", "#class")),
        ("a.png -1", ("path", "#class")),
        ("x 2 a.png", ("#image", "#class", "path")),
        ("1 2", ("#image", "#class", "path")),
        ("1 2 3", ("#image", "#class")),
    ],
)
def test_a_line_that_does_not_fit_is_named(line: str, columns: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text(f"{line}\n")
    with pytest.raises(InkseekError, match=r"list\.txt: line 1 is .* expected <"):
        read_rows(file, columns)


@pytest.mark.parametrize(
    ("data", "said"), [(b"\x89PNG\r\n\xff", "UTF-8"), (b"a\0b 1\n", "zero bytes"), (b"\n \n", "lists nothing")]
)
def test_what_is_no_list_is_one_line(data: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(data)
    with pytest.raises(InkseekError, match=said):
        read_rows(file, ("path", "#class"))


def test_missing_folders_and_too_large_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InkseekError, match="no such file"):
        read_lines(tmp_path / "none.txt")
    with pytest.raises(InkseekError, match="cannot be read"):
        read_lines(tmp_path)
    (tmp_path / "list.txt").write_text("a 1\n" * 10)
    monkeypatch.setattr(file_lists, "_LARGEST", 9)
    with pytest.raises(InkseekError, match="larger than"):
        read_lines(tmp_path / "list.txt")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=80))
def test_any_bytes_are_rows_or_one_complaint(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.txt"
    file.write_bytes(data)
    try:
        rows = read_rows(file, ("path", "#class"))
    except InkseekError:
        return
    assert rows
    assert all(len(row) == 2 and int(row[1]) >= 0 for row in rows)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x.png", "a/../../x.png", "C:/x.png", "C:\\x.png", "\\\\host\\x", "a\\..\\b"]
)
def test_a_path_that_leads_out_is_refused(path: str) -> None:
    with pytest.raises(InkseekError, match=r"list\.txt: .*leads out"):
        relative_path(path, "list.txt")


def test_a_path_gets_forward_slashes() -> None:
    assert relative_path("./a\\b c/d..e.png", "list.txt") == "a/b c/d..e.png"


def test_what_is_missing_is_counted_and_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").touch()
    found, notes = present(tmp_path, ["a/1.png", "a/2.png", "b/1.png"], "list.txt")
    assert found.tolist() == [True, False, False]
    assert notes == ("2 of the 3 files that list.txt lists are missing, the first a/2.png",)
    assert present(tmp_path, ["a/1.png"], "list.txt")[1] == ()
