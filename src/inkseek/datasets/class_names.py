"""One class under several spellings: `teddy_bear`, `teddy-bear` and `Teddy bear` are the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from inkseek.errors import InkseekError


def class_key(name: str) -> str:
    """Return a class name's letters and digits in lower case, without accents.

    Digits stay because Cars196 has classes that differ in the model year alone.
    """
    return "".join(c for c in unicodedata.normalize("NFKD", name).casefold() if c.isalnum())


def _by_key(names: Iterable[str], where: str) -> dict[str, str]:
    keyed: dict[str, str] = {}
    for name in names:
        other = keyed.setdefault(class_key(name), name)
        if other != name:
            raise InkseekError(f"{where}: {other!r} and {name!r} are spellings of one class: make them one")
    return keyed


def spelled_as(found: Iterable[str], known: Sequence[str], where: str) -> dict[str, str]:
    """Map names found on disk to the known spelling of the same class; names of no known class are left out.

    A known name may carry a qualifier that the disk leaves out: `car` is `car (sedan)` where no class is named `car`.

    Args:
        found: names of class folders.
        known: a data set's class names.
        where: what a complaint begins with.

    Raises:
        InkseekError: two of the names found are one class.
    """
    keyed = _by_key(known, where)
    short = {class_key(unqualified(name)): name for name in known}
    spelled = {name: keyed.get(class_key(name)) or short.get(class_key(name)) for name in found}
    result = {name: known_name for name, known_name in spelled.items() if known_name is not None}
    first: dict[str, str] = {}
    for name, known_name in result.items():
        if (other := first.setdefault(known_name, name)) != name:
            raise InkseekError(f"{where}: {other!r} and {name!r} are spellings of one class: make them one")
    return result


def unqualified(name: str) -> str:
    """Return a class name without what stands in parentheses: `bear (animal)` is `bear`."""
    return name.partition("(")[0]


def shared(names: Sequence[str], others: Iterable[str]) -> tuple[str, ...]:
    """Return those of `names` that are also among `others`, whatever the spelling and the qualifier in parentheses.

    Synonyms (`crocodile` and `crocodilian`) are not known to be one class.
    """
    keys = {class_key(unqualified(other)) for other in others}
    return tuple(name for name in names if class_key(unqualified(name)) in keys)
