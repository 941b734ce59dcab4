"""Which pictures may be found at all: those of a folder, of a time, of a size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from inkseek.errors import InkseekError


@dataclass(frozen=True)
class Filter:
    """What a picture must be to be found; what is None asks for nothing.

    A picture's time is when its file was last changed. A date stands for its first moment, and a time without a zone is
    local.

    Attributes:
        folder: it lies in this folder or below.
        newer: its file was changed at this time or later.
        older: its file was changed before this time.
        min_side: its shorter side has at least this many pixels.

    Raises:
        InkseekError: no picture can pass, because `older` is not after `newer`; or `min_side` is below 1.
    """

    folder: Path | None = None
    newer: date | datetime | None = None
    older: date | datetime | None = None
    min_side: int | None = None

    def __post_init__(self) -> None:
        after, before = self.from_ns, self.until_ns
        if after is not None and before is not None and before <= after:
            raise InkseekError(f"no picture is newer than {self.newer} and older than {self.older}; exchange the two")
        if self.min_side is not None and self.min_side < 1:
            raise InkseekError(f"the shorter side has to have at least 1 pixel, not {self.min_side}")

    @property
    def from_ns(self) -> int | None:
        """The first nanosecond since 1970 that passes."""
        return None if self.newer is None else _nanoseconds(self.newer)

    @property
    def until_ns(self) -> int | None:
        """The first nanosecond since 1970 that does not pass any more."""
        return None if self.older is None else _nanoseconds(self.older)


def _nanoseconds(when: date | datetime) -> int:
    moment = when if isinstance(when, datetime) else datetime(when.year, when.month, when.day)
    try:
        return round(moment.timestamp() * 1_000_000) * 1_000
    except (OverflowError, OSError, ValueError):
        raise InkseekError(f"the time {when} is too far away to compare with") from None
