"""The studies by name."""

from __future__ import annotations

from inkseek.errors import InkseekError, nearest
from inkseek.studies import (
    figure2,
    figure4,
    figure5,
    figure6a,
    figure6b,
    figure6c,
    figure7,
    figure8,
    table1,
    table2,
    table3,
    table4,
    table5,
)
from inkseek.studies.study import Study

_FILES = (
    table1,
    table2,
    table3,
    table4,
    table5,
    figure2,
    figure4,
    figure5,
    figure6a,
    figure6b,
    figure6c,
    figure7,
    figure8,
)
STUDIES: dict[str, Study] = {file.STUDY.name: file.STUDY for file in _FILES}


def study(name: str) -> Study:
    """Return a study by name.

    Raises:
        InkseekError: no study is named so.
    """
    if name not in STUDIES:
        raise InkseekError(f"no study is named {name!r}{nearest(name, STUDIES)}; there are: {', '.join(STUDIES)}")
    return STUDIES[name]
