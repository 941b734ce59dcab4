from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from inkseek.errors import InkseekError
from inkseek.gallery.filters import Filter
from inkseek.gallery.store import Content, Entry, ModelRecord, Stamp, Store

NOON = datetime(2024, 5, 17, 12, tzinfo=UTC)


def nanoseconds(when: datetime) -> int:
    return int(when.timestamp()) * 10**9


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Pictures 1 to 6 in two folders, a day apart, of growing size; 4 is taller than wide."""
    opened = Store(tmp_path / "g.db")
    opened.remember_model(ModelRecord("m", "f", 2))
    for i in range(1, 7):
        path = Path(f"/p/{('a', 'a_b')[i > 3]}/{i}.jpg")
        content = Content(100 * i, 40 if i == 4 else 90 * i, np.ones(2, dtype=np.float32), b"")
        stamp = Stamp(1, nanoseconds(NOON + timedelta(days=i)))
        opened.add([Entry(path, stamp, bytes([i]) * 32, content)])
    return opened


@pytest.mark.parametrize(
    ("only", "passing"),
    [
        (Filter(), [1, 2, 3, 4, 5, 6]),
        (Filter(folder=Path("/p/a")), [1, 2, 3]),
        (Filter(folder=Path("/p")), [1, 2, 3, 4, 5, 6]),
        (Filter(folder=Path("/")), [1, 2, 3, 4, 5, 6]),
        (Filter(folder=Path("/p/a/1.jpg")), []),
        (Filter(newer=NOON + timedelta(days=4)), [4, 5, 6]),
        (Filter(older=NOON + timedelta(days=4)), [1, 2, 3]),
        (Filter(newer=date(2024, 5, 19), older=date(2024, 5, 21)), [2, 3]),
        (Filter(min_side=270), [3, 5, 6]),
        (Filter(folder=Path("/p/a_b"), newer=NOON + timedelta(days=5), min_side=500), [6]),
    ],
)
def test_a_picture_passes_when_all_is_met(store: Store, only: Filter, passing: list[int]) -> None:
    assert store.ids(only).tolist() == passing


def test_a_time_without_a_zone_is_local() -> None:
    local = datetime(2024, 5, 17, 8, 30)
    assert Filter(newer=local).from_ns == nanoseconds(local)
    assert Filter(newer=date(2024, 5, 17)).from_ns == nanoseconds(datetime(2024, 5, 17))
    assert Filter(older=NOON).until_ns == nanoseconds(NOON)
    assert Filter(newer=datetime(2024, 5, 17, microsecond=1)).from_ns == nanoseconds(datetime(2024, 5, 17)) + 1000


def test_what_no_picture_can_meet_is_refused() -> None:
    with pytest.raises(InkseekError, match="exchange the two"):
        Filter(newer=date(2024, 5, 18), older=date(2024, 5, 17))
    with pytest.raises(InkseekError, match="at least 1 pixel"):
        Filter(min_side=0)
