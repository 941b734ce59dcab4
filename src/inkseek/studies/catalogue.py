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
    ramln_backbone,
    ramln_classes,
    ramln_cross,
    ramln_margin,
    ramln_memory,
    ramln_quadruplet,
    ramln_tsne,
    ramln_unseen,
    ramln_why,
    table1,
    table1_why,
    table2,
    table3,
    table4,
    table5,
    whole,
)
from inkseek.studies.study import Study

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        table1.STUDY,
        table1_why.STUDY,
        table2.STUDY,
        table3.STUDY,
        table4.STUDY,
        table5.STUDY,
        figure2.STUDY,
        figure4.STUDY,
        figure5.STUDY,
        figure6a.STUDY,
        figure6b.STUDY,
        figure6c.STUDY,
        figure7.STUDY,
        figure8.STUDY,
        whole.STUDY,
        ramln_margin.QUICKDRAW,
        ramln_margin.EMOJI,
        ramln_why.STUDY,
        ramln_quadruplet.WEIGHT,
        ramln_quadruplet.NEGATIVES,
        ramln_quadruplet.SWEEP,
        ramln_memory.STUDY,
        ramln_backbone.STUDY,
        ramln_classes.STUDY,
        ramln_unseen.STUDY,
        ramln_tsne.STUDY,
        ramln_cross.STUDY,
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
