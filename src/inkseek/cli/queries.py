"""A query as it is typed, [WEIGHT:][sketch:|photo:]WHAT, as an example to search with."""

from __future__ import annotations

import re
from pathlib import Path

from inkseek.errors import InkseekError
from inkseek.gallery.examples import Example, Query
from inkseek.images.preprocessing import Domain
from inkseek.images.quickdraw_files import read_drawing

_TYPED = re.compile(r"(?:(?P<weight>\d+(?:\.\d+)?|\.\d+):)?(?:(?P<domain>sketch|photo):)?(?P<what>.+)", re.DOTALL)
_DRAWING = re.compile(r"(?P<file>.+\.ndjson)(?:#(?P<number>\d{1,9}))?", re.DOTALL | re.IGNORECASE)
_ID = re.compile(r"id:(?P<id>\d{1,18})")


def example(typed: str, domain: Domain, sign: int = 1) -> Example:
    """Return what was typed as an example.

    WHAT is a picture's file, a drawing FILE.ndjson or FILE.ndjson#NUMBER of QuickDraw's, or id:ID, a picture of the
    gallery. A file whose name looks like a weight or a domain is meant when a folder stands before it (`./2:a.png`).

    Args:
        typed: one query.
        domain: what it is when it does not say so itself.
        sign: -1 for what is not wanted.

    Raises:
        InkseekError: nothing was typed, or the drawing cannot be read.
    """
    match = _TYPED.fullmatch(typed)
    if match is None:
        raise InkseekError("an empty query; give a picture's file, FILE.ndjson#NUMBER or id:ID")
    what = match["what"]
    given = match["domain"]
    kind: Domain = "sketch" if given == "sketch" else "photo" if given == "photo" else domain
    query: Query | int
    if number := _ID.fullmatch(what):
        query = int(number["id"])
    elif drawing := _DRAWING.fullmatch(what):
        query = read_drawing(Path(drawing["file"]).expanduser(), int(drawing["number"] or 1))
    else:
        query = Path(what)
    return Example(query, sign * float(match["weight"] or 1), kind)
