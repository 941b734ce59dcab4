"""What a search found as one HTML file that stands alone: thumbnails inside, no script, nothing fetched."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from inkseek.gallery.search import Gallery, Hit
from inkseek.gallery.sources import address_of


def page_of_hits(gallery: Gallery, hits: list[Hit], title: str) -> str:
    """Return the page; names of files are escaped, and what is no text in them is replaced."""
    pages = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    pages.filters["legible"] = _legible
    shown = [(hit, _data_uri(gallery.store.thumbnail(hit.id) or b"")) for hit in hits]
    template = pages.get_template("page_of_hits.html.j2")
    return template.render(title=title, hits=shown, attributions=gallery.attributions)


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"


def _legible(path: os.PathLike[str] | str) -> str:
    return os.fsencode(address_of(Path(path))).decode("utf-8", "replace")
