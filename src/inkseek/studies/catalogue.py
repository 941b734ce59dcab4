"""The studies by name."""

from __future__ import annotations

from inkseek.errors import InkseekError, nearest
from inkseek.studies import figure6b, ramln_margin, ramln_why, table1
from inkseek.studies.study import Study

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        table1.STUDY,
        figure6b.STUDY,
        ramln_margin.QUICKDRAW,
        ramln_margin.EMOJI,
        ramln_why.STUDY,
    )
}


def study(name: str) -> Study:
    """Return a study by name.

    Raises:
        InkseekError: no study is named so.
    """
    if name not in STUDIES:
        raise InkseekError(f"no study is named {name!r}{nearest(name, STUDIES)}; there are: {', '.join(STUDIES)}")
    return STUDIES[name]
