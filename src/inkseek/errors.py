"""What goes wrong for a user: one line that says what, where and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InkseekError(Exception):
    """A mistake in what came from outside (a path, a recipe, a picture), written for the person who reads it.

    The command line prints it as one line and exits with `exit_code`; anything else that is raised is a bug.
    """

    exit_code = 2


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the known name closest to a mistyped one, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
