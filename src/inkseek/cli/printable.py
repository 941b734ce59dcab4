"""Names of files, safe to print: a name may hold line breaks or commands to the terminal."""

from __future__ import annotations


def printable(value: object) -> str:
    """Return the text with every character that is not printable escaped as in Python's source."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(value))
