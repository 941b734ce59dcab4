"""Series of runs on disk: read as written, replaced run by run, foreign files refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from inkseek.errors import InkseekError
from inkseek.studies.series_csv import HEADER, read_series, write_series

ONE, OTHER = ("triplet, alone", "0", "abc"), ("triplet, alone", "1", "abc")


def test_a_run_replaces_its_own_series_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "series.csv"
    write_series(path, ONE, {"R@1": [(10.0, 0.5), (20.0, 0.25)], "by class": [('a, "b"', 1.0)]})
    write_series(path, OTHER, {"R@1": [(10.0, 0.75)]})
    assert read_series(path) == {
        ONE: {"R@1": [("10", 0.5), ("20", 0.25)], "by class": [('a, "b"', 1.0)]},
        OTHER: {"R@1": [("10", 0.75)]},
    }
    write_series(path, ONE, {"R@1": [(10.0, 0.125)]})
    assert read_series(path) == {OTHER: {"R@1": [("10", 0.75)]}, ONE: {"R@1": [("10", 0.125)]}}
    assert list(path.parent.iterdir()) == [path]


def test_no_series_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "series.csv"
    write_series(path, ONE, {})
    assert not path.exists()
    assert read_series(path) == {}


@pytest.mark.parametrize(
    "content", ["", "a,b\n1,2\n", ",".join(HEADER) + "\na,0,d,s,1,one\n", ",".join(HEADER) + "\na,0\n"]
)
def test_a_foreign_file_is_refused_and_untouched(tmp_path: Path, content: str) -> None:
    path = tmp_path / "series.csv"
    path.write_text(content)
    with pytest.raises(InkseekError, match="not a CSV of series"):
        write_series(path, ONE, {"R@1": [(1.0, 1.0)]})
    assert path.read_text() == content
