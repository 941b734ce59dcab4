"""The results object: immutable, printed with its conventions, kept as JSON, gathered as rows of a CSV."""

from __future__ import annotations

import csv
import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inkseek.errors import InkseekError
from inkseek.evaluation import provenance
from inkseek.evaluation.results import Results
from inkseek.evaluation.results_csv import COLUMNS, read_rows


def results(metrics: tuple[str, ...] = ("mAP@all", "P@100"), notes: tuple[str, ...] = ()) -> Results:
    per_query = {name: np.array([0.5, np.nan, 1.0, 0.0]) + 0 * i for i, name in enumerate(metrics)}
    return Results(
        protocol="toy/unseen",
        model="toy",
        fingerprint="0123456789abcdef",
        counts={"classes": 2, "queries": 4, "gallery": 9, "excluded": 1},
        metrics=dict.fromkeys(metrics, 0.5),
        per_query=per_query,
        labels=np.array([0, 0, 0, 2]),
        classes=("cat", "dog", "owl"),
        tie_rate=0.125,
        notes=notes,
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def append(path: Path, of: Results, seed: int = 0) -> None:
    of.to_csv(path, command="inkseek evaluate runs/toy", recipe="toy, small", seed=seed)


def test_nothing_of_it_can_be_changed() -> None:
    r = results()
    with pytest.raises(dataclasses.FrozenInstanceError):
        r.protocol = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        r.metrics["mAP@all"] = 1.0  # type: ignore[index]
    with pytest.raises(ValueError, match="read-only"):
        r.per_query["mAP@all"][0] = 1.0


def test_per_class_and_macro_leave_out_what_has_no_figure() -> None:
    assert results().per_class() == {"cat": {"mAP@all": 0.75, "P@100": 0.75}, "owl": {"mAP@all": 0.0, "P@100": 0.0}}
    assert results().macro() == {"mAP@all": 0.375, "P@100": 0.375}


def test_print_names_protocol_counts_ties_and_both_means() -> None:
    text = str(results(notes=("NON-STANDARD: 10 gallery pictures expected, found 9",)))
    for part in ("toy/unseen", "0123456789ab", "queries 4", "gallery 9", "tie rate 0.12", "NON-STANDARD"):
        assert part in text
    assert "mAP@all  0.5000  0.3750" in " ".join(text.split("\n")).replace("   ", "  ")


def test_json_holds_everything() -> None:
    r = results(notes=("a line",))
    again = Results.from_json(r.to_json())
    assert again.to_json() == r.to_json()
    assert str(again) == str(r)
    np.testing.assert_array_equal(again.per_query["P@100"], r.per_query["P@100"])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"protocol": "x"}', "null"])
def test_json_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(InkseekError, match="not results that inkseek wrote"):
        Results.from_json(text)


def test_csv_gathers_rows_in_the_standard_columns(tmp_path: Path) -> None:
    path = tmp_path / "results" / "toy.csv"
    append(path, results(), seed=0)
    first = path.read_bytes()
    append(path, results(), seed=1)
    assert path.read_bytes().startswith(first)
    read = rows(path)
    assert list(read[0]) == [*COLUMNS, "mAP@all", "P@100"]
    assert [row["seed"] for row in read] == ["0", "1"]
    assert read[0]["recipe"] == "toy, small"
    assert read[0]["protocol"] == "toy/unseen"
    assert float(read[0]["mAP@all"]) == 0.5
    assert "torch" in read[0]["versions"]
    assert "cores" in read[0]["hardware"]


def test_csv_says_non_standard(tmp_path: Path) -> None:
    append(tmp_path / "a.csv", results(notes=("NON-STANDARD: counts differ",)))
    assert rows(tmp_path / "a.csv")[0]["protocol"] == "toy/unseen NON-STANDARD"


def test_csv_with_other_metrics_becomes_the_union(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    append(path, results(("mAP@all",)), seed=0)
    append(path, results(("Acc@1", "mAP@all")), seed=1)
    append(path, results(("mAP@all",)), seed=2)
    read = rows(path)
    assert list(read[0]) == [*COLUMNS, "mAP@all", "Acc@1"]
    assert [(row["seed"], row["mAP@all"], row["Acc@1"]) for row in read] == [
        ("0", "0.500000", ""),
        ("1", "0.500000", "0.500000"),
        ("2", "0.500000", ""),
    ]
    assert list(tmp_path.iterdir()) == [path]


HEADER = ",".join(COLUMNS) + ",mAP@all\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name,score\nx,1\n", "not a CSV of results"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "not a CSV of results"),
        ((HEADER + "a,b,c,0,e,f,g,0.5").encode(), "row 2 is not whole"),
        ((HEADER + "a,b,c,0,e,f,g,0.5\na,b,c").encode(), "row 3 is not whole"),
        ((HEADER + "a,b,c\n").encode(), "row 2 is not whole"),
        ((HEADER.rstrip("\n") + ",mAP@all\n").encode(), "not a CSV of results"),
    ],
)
def test_a_torn_or_foreign_file_is_refused_and_untouched(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    for metrics in (("mAP@all",), ("Acc@1",)):
        with pytest.raises(InkseekError, match=message):
            append(path, results(metrics))
    with pytest.raises(InkseekError, match=message):
        read_rows(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert read_rows(path) == []
    append(path, results(("mAP@all",)))
    append(path, results(("Acc@1",)))
    assert read_rows(path) == rows(path)


WRITER = """
import sys
from pathlib import Path
from inkseek.evaluation.results_csv import COLUMNS, append_row
for nth in range(40):
    # Every other row brings a column of its own, so that rewriting and appending meet.
    names = [*COLUMNS, "mAP@all", *([f"P@{sys.argv[2]}{nth}"] if nth % 2 else [])]
    append_row(Path(sys.argv[1]), {name: sys.argv[2] if name == "seed" else str(nth) for name in names})
"""


def test_two_processes_that_append_at_once_lose_no_row(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.csv"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), who]) for who in ("1", "2")]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    found = [(row["seed"], row["mAP@all"]) for row in rows(path)]
    assert sorted(found) == sorted((who, str(nth)) for who in ("1", "2") for nth in range(40))
    for row in rows(path):
        own = f"P@{row['seed']}{row['mAP@all']}"
        assert [name for name in row if name.startswith("P@") and row[name]] == ([own] if own in row else [])
    assert list(path.parent.iterdir()) == [path]


def test_markdown_rows_stand_under_each_other() -> None:
    first = results(notes=("NON-STANDARD: counts differ",)).to_markdown()
    assert first.splitlines() == [
        "| model | protocol | mAP@all | P@100 |",
        "| --- | --- | ---: | ---: |",
        "| `toy` | toy/unseen NON-STANDARD | 0.500 | 0.500 |",
    ]
    assert results().to_markdown(header=False) == "| `toy` | toy/unseen | 0.500 | 0.500 |"


def test_plot_shows_each_class(tmp_path: Path) -> None:
    (axes,) = results().plot().axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["owl", "cat"]
    assert [round(bar.get_width(), 3) for bar in axes.patches] == [0.0, 0.75]  # type: ignore[attr-defined]
    assert "P@100" in results().plot("P@100").axes[0].get_xlabel()
    results().plot().savefig(tmp_path / "bars.png")
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InkseekError, match="choose one of mAP@all, P@100"):
        results().plot("NMI")


def test_a_figure_of_the_whole_set_has_no_macro_mean() -> None:
    r = dataclasses.replace(results(), metrics={"mAP@all": 0.5, "P@100": 0.5, "NMI": 0.6})
    assert "NMI       0.6000\n" in str(r)
    assert "NMI" not in r.macro()
    assert Results.from_json(r.to_json()).metrics["NMI"] == 0.6


def test_an_empty_file_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    append(tmp_path / "a.csv", results())
    assert len(rows(tmp_path / "a.csv")) == 1


def test_a_folder_in_the_way_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InkseekError, match="cannot be written"):
        append(tmp_path, results())


def test_commit_of_a_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    package = tmp_path / "src" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    git("init")
    assert provenance.commit(package) == "unknown"
    git("add", ".")
    git("commit", "-m", "first")
    clean = provenance.commit(package)
    assert len(clean) == 12
    (tmp_path / "results.csv").write_text("a figure written by a run does not change the code")
    assert provenance.commit(package) == clean
    (package / "__init__.py").write_text("changed = True")
    assert provenance.commit(package) == f"{clean}-dirty"
    assert provenance.commit(tmp_path / "nowhere") == "unknown"
