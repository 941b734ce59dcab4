"""What the pages of the docs show is run as it stands there, and their tables are those of committed results."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from inkseek.metrics.names import CLUSTERING, FORMS

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = sorted((REPOSITORY / "docs").glob("*.md"))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def run(page: str) -> int:
    """Run a page's blocks of Python from top to bottom; return how many there are."""
    blocks = re.findall(r"^```python\n(.*?)^```", text_of(REPOSITORY / page), flags=re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    return len(blocks)


def test_the_losses_page_runs_from_top_to_bottom(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pytorch_metric_learning", reason="the extra 'competitors' is not installed")
    assert run("docs/losses.md") >= 6
    assert "'rdvc': " in capsys.readouterr().out


def test_the_evaluation_page_runs_and_names_every_metric(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("docs/evaluation.md") == 1
    assert "mAP@20 strict" in capsys.readouterr().out
    page = text_of(REPOSITORY / "docs" / "evaluation.md")
    for form in (*FORMS, *CLUSTERING):
        assert f"`{form.split(' (')[0] if 'VOC' in form or 'gallery' in form else form}`" in page, form


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
