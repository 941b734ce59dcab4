"""RAMLN's loss, term by term: classification, triplet, quadruplet, and who decides the margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from inkseek.studies import drawing
from inkseek.studies.claims import Better
from inkseek.studies.grounds import objective
from inkseek.studies.measures import logged
from inkseek.studies.outcome import Outcome
from inkseek.studies.study import Row, Scale, Study

_RATES = (1e-4, 3e-4, 1e-3)
_MARGINS = (0.1, 0.3, 0.6, 1.0)
_CLASSIFICATION = (0.0, 0.1, 1.0)
_INNER_RATES = (1.0, 5.0, 20.0)
_RATIOS = ({"ratio": 0.05}, {"ratio": 0.2}, {"ratio": 0.5}, {"ratio": 1.0})
_METRICS = ("mAP@all", "P@100 (min)", "mAP@200 strict (VOC)", "quadruplet.margin, last")

_CE, _TRIPLET, _FIXED = "CE only", "CE + triplet", "CE + quadruplet, fixed margin"
_JOINT, _SCALAR, _ANCHOR = "joint descent", "one learned scalar", "closed form of the anchor"
_ALONE, _CLASS, _LRUA = "R without memory", "R, class memory", "R, LRUA memory"
_PROTOTYPES, _RDVC, _FIXED_RDVC = "R, LRUA, prototypes in the outer loss", "R, LRUA + RDVC", "fixed margin + RDVC"


def _row(name: str, recipe: str, grid: Mapping[str, Sequence[Any]], *more: str, **terms: Mapping[str, Any]) -> Row:
    """A row whose rate and weight of classification are chosen like all rows', beside its own grid.

    There is no bilevel step unless an override asks for one.
    """
    shared: dict[str, Sequence[Any]] = {"optim.lr.head": _RATES}
    if len(terms) > 1:
        shared["objective.classification.weight"] = _CLASSIFICATION
    return Row(name, recipe, (objective(terms), *(more or ("meta=null",))), {**shared, **grid})


def _rows(recipe: str, prefix: str) -> tuple[Row, ...]:
    ce: dict[str, Any] = {}
    level = {"level": "category"}

    def quadruplet(**margin: Any) -> dict[str, Any]:
        return {"smooth": "softplus", **level, **({"margin": margin} if margin else {})}

    def learned(name: str, margin: Mapping[str, Any], meta: str = "{}", **more: Mapping[str, Any]) -> Row:
        terms = {"quadruplet": quadruplet(**margin), "classification": ce, **more}
        grid: dict[str, Sequence[Any]] = {"meta.inner_rate": _INNER_RATES}
        if "rdvc" in more:
            grid["objective.rdvc.weight"] = _RATIOS
        return _row(prefix + name, recipe, grid, f"meta={meta}", **terms)

    fixed = {"quadruplet": quadruplet(), "classification": ce}
    margins = {"objective.quadruplet.margin": _MARGINS}
    lrua = {"kind": "relation", "memory": "lrua"}
    joint = {"quadruplet": quadruplet(**lrua), "classification": ce}
    anchor = {"quadruplet": quadruplet(kind="anchor"), "classification": ce}
    euclidean = {"triplet": {"distance": "euclidean", **level}, "classification": ce}
    return (
        _row(prefix + _CE, recipe, {"objective.classification.scale": (5.0, 10.0, 20.0, 40.0)}, classification=ce),
        _row(prefix + _TRIPLET, recipe, {"objective.triplet.margin": _MARGINS}, **euclidean),
        _row(prefix + _FIXED, recipe, margins, **fixed),
        _row(prefix + _FIXED_RDVC, recipe, {**margins, "objective.rdvc.weight": _RATIOS}, **fixed, rdvc={}),
        _row(prefix + _ANCHOR, recipe, {"objective.quadruplet.margin.scale": _MARGINS}, **anchor),
        _row(prefix + _JOINT, recipe, {"objective.quadruplet.margin.start": _MARGINS[:3]}, **joint),
        learned(_SCALAR, {"kind": "scalar"}),
        learned(_ALONE, {"kind": "relation", "memory": None}),
        learned(_CLASS, {"kind": "relation", "memory": "class"}),
        learned(_LRUA, lrua),
        learned(_PROTOTYPES, lrua, "{prototypes: 1}"),
        learned(_RDVC, lrua, rdvc={}),
    )


def _claims(prefix: str) -> tuple[Better, ...]:
    def better(says: str, a: str, b: str) -> Better:
        return Better(says, prefix + a, prefix + b, "mAP@all")

    return (
        better("A triplet loss beside it improves classification alone", _TRIPLET, _CE),
        better("A quadruplet loss is better than a triplet loss", _FIXED, _TRIPLET),
        better("A margin learned with an LRUA memory is better than a tuned fixed one", _LRUA, _FIXED),
        better("A margin learned with a class memory is better than a tuned fixed one", _CLASS, _FIXED),
        better("A memory improves the learned margin", _LRUA, _ALONE),
        better("A margin for each class is better than one learned scalar", _LRUA, _SCALAR),
        better("The bilevel step is better than joint descent", _LRUA, _JOINT),
        better("A learned margin is better than a closed form of the anchor", _LRUA, _ANCHOR),
        better("Prototype cross entropy improves the outer loss", _PROTOTYPES, _LRUA),
        better("RDVC improves the quadruplet loss with a learned margin", _RDVC, _LRUA),
        better("RDVC improves the quadruplet loss with a fixed margin", _FIXED_RDVC, _FIXED),
    )


def _draw(outcome: Outcome) -> Figure:
    panels = (
        ("mAP@all", "On unseen classes", 100.0),
        ("quadruplet.margin, last", "Mean margin of the last batch, where it is learned", 1.0),
    )
    return drawing.bar_panels(outcome, panels, width=11.0, above=0.6, each=0.35)


def _study(name: str, recipe: str, data: str, full: Sequence[tuple[str, str]], note: str) -> Study:
    rows: dict[Scale, tuple[Row, ...]] = {
        "small": _rows(recipe, ""),
        "full": tuple(row for prefix, of in full for row in _rows(of, prefix)),
    }
    claims: dict[Scale, tuple[Better, ...]] = {
        "small": _claims(""),
        "full": tuple(claim for prefix, _ in full for claim in _claims(prefix)),
    }
    return Study(
        name=name,
        title=f"RAMLN on {data}: classification, triplet, quadruplet, and who decides the margin",
        says="A quadruplet loss whose margin is meta-learned from an external memory beside classification improves "
        "zero-shot sketch-based retrieval; how much each part adds, the paper's tables say, which were not at hand.",
        rows=rows,
        claims=claims,
        draw=_draw,
        metrics={"small": _METRICS, "full": _METRICS},
        measures=(logged("quadruplet.margin", "quadruplet.margin.min", "quadruplet.margin.max", "meta.hypergradient"),),
        notes={
            "small": (
                note,
                "All seen classes are trained on for 300 steps, and the last is measured. Learning rate, weight of "
                "classification (0 among its values) and each row's own setting were chosen with 12 trials a row.",
                "`quadruplet.margin` is the margin's mean over a batch in the last step.",
            ),
        },
    )


QUICKDRAW = _study(
    "ramln-margin",
    "studies/quickdraw-ramln",
    "quickdraw-photo",
    (
        ("split 1: ", "ramln-sketchy-ext-split1"),
        ("split 2: ", "ramln-sketchy-ext-split2"),
        ("TU: ", "ramln-tuberlin-ext"),
    ),
    "quickdraw-photo (40 seen, 12 unseen classes) takes the place of Sketchy Extended, a head on a frozen "
    "EfficientNet-Lite0 that of a network trained whole.",
)
EMOJI = _study(
    "ramln-margin-emoji",
    "studies/emoji-ramln",
    "emoji",
    (("", "ramln-emoji"),),
    "Line drawings of emoji find coloured ones of their subcategory, through a head on a frozen EfficientNet-Lite0.",
)
