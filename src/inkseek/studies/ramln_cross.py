"""Whether RAMLN's embeddings hold on another data set's classes."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from inkseek.studies import drawing
from inkseek.studies.claims import Better
from inkseek.studies.outcome import Outcome
from inkseek.studies.ramln_grounds import FIXED, LEARNED, NOTE, RELATION, row
from inkseek.studies.study import Row, Study

_FROZEN = "frozen features"
_QUICKDRAW, _EMOJI, _SKETCHY = "studies/quickdraw-ramln", "studies/emoji-ramln", "studies/sketchy-ramln"
# Name -> (trained on, measured on) at small scale.
_PAIRS = {
    "QuickDraw to Sketchy": (_QUICKDRAW, _SKETCHY),
    "Sketchy to QuickDraw": (_SKETCHY, _QUICKDRAW),
    "emoji to QuickDraw": (_EMOJI, _QUICKDRAW),
    "QuickDraw to emoji": (_QUICKDRAW, _EMOJI),
}
_FULL = {
    "Sketchy to TU-Berlin": ("ramln-sketchy-ext-split2", "ramln-tuberlin-ext"),
    "TU-Berlin to Sketchy": ("ramln-tuberlin-ext", "ramln-sketchy-ext-split2"),
}


def _rows(pairs: Mapping[str, tuple[str, str]]) -> tuple[Row, ...]:
    return tuple(
        of
        for name, (trained, measured) in pairs.items()
        for of in (
            row(
                f"{name}: {_FROZEN}",
                trained,
                0.3,
                "model.head=dropped",
                "optim.steps=1",
                "optim.warmup=0",
                "model.tune=head",
                measured_on=measured,
            ),
            row(f"{name}: {FIXED}", trained, measured_on=measured),
            *_learned(name, trained, measured),
        )
    )


def _learned(name: str, trained: str, measured: str) -> tuple[Row, ...]:
    if trained == _SKETCHY:  # four classes leave the bilevel step nothing to split
        return ()
    return (row(f"{name}: {LEARNED}", trained, RELATION, measured_on=measured),)


def _claims(pairs: Mapping[str, tuple[str, str]]) -> tuple[Better, ...]:
    helps = [
        Better(f"Training helps on other data ({name})", f"{name}: {FIXED}", f"{name}: {_FROZEN}", "mAP@all")
        for name in pairs
    ]
    learned = [
        Better(
            f"A learned margin is better than a fixed one on other data ({name})",
            f"{name}: {LEARNED}",
            f"{name}: {FIXED}",
            "mAP@all",
        )
        for name, (trained, measured) in pairs.items()
        if _learned(name, trained, measured)
    ]
    return (*helps, *learned)


def _draw(outcome: Outcome) -> Figure:
    return drawing.bar_panels(
        outcome, [("mAP@all", "On the other data set's classes", 100.0)], width=8.5, above=0.8, each=0.32
    )


_METRICS = ("mAP@all", "P@100 (min)", "mAP@200 strict (VOC)")

STUDY = Study(
    name="ramln-cross",
    title="RAMLN across data sets",
    says="One of the paper's open questions: whether what is learned on one data set holds on another's classes.",
    rows={"small": _rows(_PAIRS), "full": _rows(_FULL)},
    claims={"small": _claims(_PAIRS), "full": _claims(_FULL)},
    draw=_draw,
    metrics={"small": _METRICS, "full": _METRICS},
    notes={
        "small": (
            NOTE,
            "Likewise on emoji, and on Sketchy's dog, elephant, guitar and horse. Measured are all of the other data "
            "set's classes but those that were trained on. Four classes are too few for the bilevel step: no "
            "row learns a margin on Sketchy.",
        ),
    },
)
