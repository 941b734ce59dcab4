"""Figure 8: what the same sketches find with RDVC and without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inkseek.datasets.emoji import ATTRIBUTION
from inkseek.datasets.items import Items
from inkseek.images.reading import read_picture
from inkseek.studies import drawing
from inkseek.studies.grounds import PAIRS_NOTES, TRIALS, pairs_rows, published_pairs_rows
from inkseek.studies.measures import HITS, hits
from inkseek.studies.outcome import Outcome, Point
from inkseek.studies.study import Study
from inkseek.studies.table4 import CLAIMS

_SEED = 0
_SHOWN = 4
_OWN, _CLASS = drawing.PALETTE[2], drawing.PALETTE[5]


def _draw(outcome: Outcome) -> Figure:
    """A line for each query and row: the sketch, then what it finds; frames mark its own picture and its class."""
    found = {
        run.row: {name: points for name, points in run.series.items() if name.startswith(HITS)}
        for row in outcome.finished()
        for run in outcome.of(row)
        if run.seed == _SEED
    }
    lines = [(name, row) for name in list(next(iter(found.values()), {}))[:_SHOWN] for row in found]
    with drawing.style():
        if not lines or outcome.protocol is None:
            figure, (axes,) = drawing.canvas(6.0, 2.0)
            drawing.nothing(axes)
            return figure
        protocol = outcome.protocol(next(iter(found)))
        top = max(len(found[row][name]) for name, row in lines)
        figure, cells = drawing.canvas(2.0 + 0.75 * (top + 1), 0.4 + 0.75 * len(lines), top + 1, len(lines))
        for at in cells:
            at.set(xticks=[], yticks=[])
            at.spines[:].set_visible(False)
            at.grid(visible=False)
        for place, (name, row) in enumerate(lines):
            own = cells[place * (top + 1) : (place + 1) * (top + 1)]
            _line(own, int(name.removeprefix(HITS)), row, found[row][name], protocol.queries, protocol.gallery)
        figure.suptitle(
            "Sketch, then what it finds. Thick green frame: its own picture; thin blue frame: its class", fontsize=9
        )
        return figure


def _line(cells: Sequence[Axes], query: int, row: str, points: Sequence[Point], queries: Items, gallery: Items) -> None:
    _show(cells[0], queries, query)
    cells[0].set_ylabel(row, rotation=0, ha="right", va="center", fontsize=8)
    for at, (_, y) in zip(cells[1:], points, strict=False):
        _show(at, gallery, place := int(y))
        own = queries.instances[query] == gallery.instances[place] >= 0
        if own or queries.labels[query] == gallery.labels[place]:
            at.spines[:].set(visible=True, color=_OWN if own else _CLASS, linewidth=3.5 if own else 1.5)


def _show(axes: Axes, items: Items, place: int) -> None:
    picture = read_picture(items.paths[place], at_least=96).convert("RGB")
    picture.thumbnail((72, 72))
    axes.imshow(np.asarray(picture))


STUDY = Study(
    name="fig8",
    title="Figure 8: what sketches find",
    says="With PK and RDVC sketches find their own photos at better places than with the baseline.",
    rows={"small": pairs_rows()[1:], "full": published_pairs_rows()[1:]},
    claims={"small": CLAIMS[:1], "full": CLAIMS[:1]},
    draw=_draw,
    metrics={"small": ("Acc@1 (class gallery)", "Acc@1 (joint gallery)"), "full": ("Acc@1 (class gallery)",)},
    measures=(hits(),),
    notes={
        "small": (
            *PAIRS_NOTES,
            "Queries are spread evenly over the protocol's; seed 0; the gallery is the joint one.",
            ATTRIBUTION,
        ),
        "full": ("The figure holds pictures of the data set: mind its licence before sharing it.",),
    },
    budget=TRIALS,
)
