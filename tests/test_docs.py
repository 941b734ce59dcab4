"""What the pages of the docs show is run as it stands there, and their tables are those of committed results."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = sorted((REPOSITORY / "docs").glob("*.md"))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_the_losses_page_runs_from_top_to_bottom(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pytorch_metric_learning", reason="the extra 'competitors' is not installed")
    page = text_of(REPOSITORY / "docs" / "losses.md")
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/losses.md", "exec"), names)
    assert "'rdvc': " in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_the_committed_results(page: Path) -> None:
    """A table under `<!-- table: FILE -->` has the file's rows in their order, in the columns that its head names."""
    for file, table in re.findall(r"<!-- table: (results/[\w.-]+\.csv) -->\n\n?((?:\|.*\n)+)", text_of(page)):
        header, _, *rows = ([cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines())
        with (REPOSITORY / file).open(encoding="utf-8") as stream:
            measured = list(csv.DictReader(stream))
        assert rows == [[row[name] for name in header] for row in measured], file


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_linked_exist(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text_of(page)):
        assert (page.parent / target).exists(), target
    for target in re.findall(r"`make ([\w-]+)`", text_of(page)):
        makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
