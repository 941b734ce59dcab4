"""Sketches and photos of unseen classes in the plane, before RAMLN's training and after it."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from inkseek.studies import drawing
from inkseek.studies.claims import Better, Lower
from inkseek.studies.measures import DOMAIN_GAP, PLANE, domain_gap, plane
from inkseek.studies.outcome import Outcome
from inkseek.studies.ramln_grounds import FIXED, LEARNED, NOTE, RECIPES, RELATION, row
from inkseek.studies.study import Study

_BEFORE = "frozen features"
_METRICS = ("mAP@all", DOMAIN_GAP)


def _draw(outcome: Outcome) -> Figure:
    with drawing.style():
        figure, axes = drawing.canvas(13.0, 4.4, columns=len(outcome.rows))
        for at, name in zip(axes, outcome.rows, strict=True):
            runs = [run for run in outcome.of(name) if PLANE[0] in run.series]
            if not runs:
                drawing.nothing(at)
                continue
            x, y = (runs[0].series[axis] for axis in PLANE)
            domains, classes = zip(*(item.split(": ", 1) for item, _ in x), strict=True)
            points = np.array([[a for _, a in x], [b for _, b in y]])
            for place, of in enumerate(dict.fromkeys(classes)):
                for domain, mark in (("sketch", "x"), ("photo", "o")):
                    mine = [a == domain and b == of for a, b in zip(domains, classes, strict=True)]
                    colour = drawing.PALETTE[place % len(drawing.PALETTE)]
                    # Palettes that everybody can tell apart are short: the second round of classes is hollow or thin.
                    hollow = place >= len(drawing.PALETTE)
                    at.scatter(
                        points[0, mine],
                        points[1, mine],
                        s=14,
                        marker=mark,
                        linewidths=0.6 if hollow else 1.1,
                        facecolors="none" if hollow and mark == "o" else colour,
                        edgecolors=colour if mark == "o" else None,
                        label=of if domain == "photo" else None,
                        alpha=0.75,
                    )
            at.set(xticks=[], yticks=[], title=name)
            at.grid(visible=False)
        figure.suptitle("t-SNE of unseen classes, seed 0; crosses: sketches, circles: photos", fontsize=9)
        handles, labels = axes[-1].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside right center", fontsize=7)
        return figure


_CLAIMS = (
    Better("Training brings sketches nearer to photos of their class", LEARNED, _BEFORE, "mAP@all"),
    Lower("Training brings the domains together", LEARNED, _BEFORE, DOMAIN_GAP),
    Lower("A learned margin brings the domains nearer than a fixed one", LEARNED, FIXED, DOMAIN_GAP),
)

STUDY = Study(
    name="ramln-tsne",
    title="RAMLN's embeddings in the plane, before and after",
    says="After training sketches and photos of an unseen class lie together, where before they lie by domain.",
    rows={
        scale: (
            row(_BEFORE, recipe, 0.3, "model.head=dropped", "optim.steps=1", "optim.warmup=0", "model.tune=head"),
            row(FIXED, recipe),
            row(LEARNED, recipe, RELATION),
        )
        for scale, recipe in RECIPES.items()
    },
    claims={"small": _CLAIMS, "full": _CLAIMS},
    draw=_draw,
    metrics={"small": _METRICS, "full": _METRICS},
    measures=(plane, domain_gap),
    notes={
        "small": (
            NOTE,
            f"*{DOMAIN_GAP}*: distance between the mean sketch and the mean photo, of unit embeddings. t-SNE "
            "(scikit-learn, perplexity 30, PCA first, one seed) shows neighbours; distances between its clusters mean "
            "nothing.",
        ),
    },
)
