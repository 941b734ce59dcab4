"""Committed studies: verdicts and pages are what their CSVs say, and the findings quote nothing else."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from statistics import mean

import pytest

from inkseek.evaluation.results_csv import COLUMNS, read_rows
from inkseek.studies import page
from inkseek.studies.catalogue import STUDIES
from inkseek.studies.reproduce import Folder, read_outcome
from inkseek.studies.runs import Bench
from inkseek.studies.study import Scale, Study

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "results" / "studies"
FOLDERS = sorted(RESULTS.glob("*-*/"))


def of_folder(folder: Path, tmp_path: Path) -> tuple[Study, Scale, Folder, Bench]:
    name, _, end = folder.name.rpartition("-")
    scales: dict[str, Scale] = {"small": "small", "full": "full"}
    return STUDIES[name], scales[end], Folder(folder), Bench(tmp_path, None, (), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_verdicts_and_page_are_what_the_csvs_say(folder: Path, tmp_path: Path) -> None:
    study, scale, own, bench = of_folder(folder, tmp_path)
    outcome = read_outcome(study, scale, own, bench)
    judgements = [claim.judge(outcome) for claim in study.claims[scale]]
    page.write_verdicts(tmp_path / "verdicts.csv", judgements)
    assert (tmp_path / "verdicts.csv").read_text() == (folder / "verdicts.csv").read_text()
    text = page.page(study, scale, outcome, judgements, runs=read_rows(own.runs), trials=read_rows(own.tuning))
    assert text == (folder / "README.md").read_text()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_run_says_where_it_comes_from(folder: Path) -> None:
    rows = read_rows(folder / "runs.csv")
    assert rows
    for row in rows:
        assert all(row[column] for column in COLUMNS)
        assert not row["commit"].endswith(("dirty", "unknown"))
        assert row["command"].startswith(f"inkseek reproduce {folder.name.rpartition('-')[0]} ")


def test_the_findings_quote_verdicts_as_they_are() -> None:
    lines = re.findall(
        r"^\| \[(\S+)\]\(\.\./results/studies/(\S+)/README\.md\) \| (.*) \|$",
        (REPOSITORY / "docs" / "findings.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    assert lines
    for _, folder, cells in lines:
        says, difference, interval, count, verdict = cells.split(" | ")
        with (RESULTS / folder / "verdicts.csv").open(encoding="utf-8", newline="") as stream:
            known = [page.quote(row) for row in csv.DictReader(stream)]
        assert (says, difference, interval, count, verdict) in known, (folder, says)


def test_the_table_of_ramln_is_what_the_runs_say() -> None:
    """Means over seeds; the margin is that of the last batch where it is learned, else the one that was chosen."""
    text = (REPOSITORY / "docs" / "ramln.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| row \|.*\n\|---.*\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
    shown = {
        name: cells for name, *cells in ([c.strip() for c in line[1:-1].split("|")] for line in table.splitlines())
    }
    expected: dict[str, list[str]] = {}
    for study in ("ramln-margin", "ramln-margin-emoji"):
        rows = read_rows(RESULTS / f"{study}-small" / "runs.csv")
        for name in dict.fromkeys(row["row"] for row in rows):
            own = [row for row in rows if row["row"] == name]
            found = 100 * mean(float(row["mAP@all"]) for row in own)
            margins = [float(row["quadruplet.margin, last"]) for row in own if row["quadruplet.margin, last"]]
            margins += [float(value) for value in re.findall(r"quadruplet\.margin=([\d.]+)", own[0]["settings"])]
            expected.setdefault(name, []).extend([f"{found:.1f}", f"{mean(margins):.2f}" if margins else ""])
    assert shown == expected
