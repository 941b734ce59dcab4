"""Counting by histogram against counting one by one, on scores that are hard to put into bins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkseek.metrics.places import find_places

Float32s = npt.NDArray[np.float32]

SCORES = st.one_of(
    st.floats(-1, 1, width=32),
    st.floats(-(2.0**125), 2.0**125, width=32),
    st.integers(-3, 3).map(float),
    st.integers(0, 40).map(lambda n: float(np.float32(1000) + n * np.spacing(np.float32(1000)))),
    st.just(-np.inf),
)


def one_by_one(row: Float32s, start: int, stop: int) -> tuple[list[int], list[int]]:
    mine = np.sort(row[start:stop])[::-1]
    others = np.delete(row, range(start, stop))
    mine = mine[mine > -np.inf]
    return [int((others > s).sum()) for s in mine], [int((others == s).sum()) for s in mine]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_any_scores_at_all(data: st.DataObject) -> None:
    columns = data.draw(st.integers(1, 60))
    row = st.lists(SCORES, min_size=columns, max_size=columns)
    scores = np.array(data.draw(st.lists(row, min_size=1, max_size=4)), dtype=np.float32)
    start = data.draw(st.integers(0, columns - 1))
    stop = data.draw(st.integers(start + 1, columns))
    begin, end = np.full(len(scores), start), np.full(len(scores), stop)
    found = find_places(scores.copy(), begin, end)
    for i, of_row in enumerate(scores):
        above, level = one_by_one(of_row, start, stop)
        n = found.count[i]
        assert n == len(above)
        assert found.above[i, :n].tolist() == above
        assert found.level[i, :n].tolist() == level
        assert (found.above[i, n:] == columns).all()
        assert (found.level[i, n:] == 0).all()


@pytest.mark.parametrize("spread", [1e-7, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("offset", [0.0, 1.0, -1e4])
def test_many_scores_of_any_spread(spread: float, offset: float) -> None:
    rng = np.random.default_rng(0)
    scores = (offset + spread * rng.standard_normal((7, 3000))).astype(np.float32)
    start, stop = np.array([0, 0, 0, 500, 500, 2000, 2999]), np.array([500, 500, 500, 600, 600, 2999, 3000])
    found = find_places(scores.copy(), start, stop)
    for i, row in enumerate(scores):
        above, level = one_by_one(row, start[i], stop[i])
        assert found.above[i, : len(above)].tolist() == above
        assert found.level[i, : len(level)].tolist() == level
