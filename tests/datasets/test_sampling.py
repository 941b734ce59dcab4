"""PK batches: the asked-for shape, every picture met, nothing depending on anything but the seed."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkseek.datasets.items import Items
from inkseek.datasets.sampling import PKBatches
from inkseek.errors import InkseekError


def made(sizes: list[tuple[int, int]], *, paired: bool = False) -> Items:
    rows = []
    for label, (sketches, photos) in enumerate(sizes):
        name = f"c{label}"
        rows += [(Path(f"{name}/s{i}"), name, "sketch", f"i{i}" if paired else "", "") for i in range(sketches)]
        rows += [(Path(f"{name}/p{i}"), name, "photo", f"i{i % sketches}" if paired else "", "") for i in range(photos)]
    return Items.from_rows(rows, [f"c{i}" for i in range(len(sizes))])


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=3, max_size=9),
    classes=st.integers(2, 3),
    sketches=st.integers(1, 4),
    photos=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_shape_and_coverage(sizes: list[tuple[int, int]], classes: int, sketches: int, photos: int, seed: int) -> None:
    items = made(sizes)
    stream = PKBatches(items, classes=classes, sketches=sketches, photos=photos, seed=seed)
    rounds = -(-len(sizes) // classes) + 1
    turns = -(-7 // min(sketches, photos)) + 1
    met: set[int] = set()
    for step, batch in enumerate(islice(stream, rounds * turns)):
        index = np.array([draw.index for draw in batch])
        assert [draw.position for draw in batch] == list(range(classes * (sketches + photos)))
        assert {draw.step for draw in batch} == {step}
        first, rest = index[: classes * sketches], index[classes * sketches :]
        assert set(items.domains[first]) == {"sketch"}
        assert set(items.domains[rest]) == {"photo"}
        assert sorted(Counter(items.labels[first].tolist()).values()) == [sketches] * classes
        assert set(items.labels[first].tolist()) == set(items.labels[rest].tolist())
        for label in set(items.labels[index].tolist()):
            for part, size in ((first, sizes[label][0]), (rest, sizes[label][1])):
                own = part[items.labels[part] == label]
                if len(own) <= size:
                    assert len(set(own.tolist())) == len(own)
        met |= set(index.tolist())
    assert met == set(range(len(items)))


def test_a_stream_is_a_function_of_its_seed() -> None:
    items = made([(5, 6)] * 8)
    first, again, other = (
        list(islice(PKBatches(items, classes=4, sketches=2, photos=3, seed=seed), 20)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_paired_photos_belong_to_the_sketches_drawn() -> None:
    items = made([(4, 8)] * 3, paired=True)
    for batch in islice(PKBatches(items, classes=3, sketches=2, photos=2, seed=0), 30):
        index = np.array([draw.index for draw in batch])
        assert items.instances[index[:6]].tolist() == items.instances[index[6:]].tolist()


def test_what_cannot_be_drawn_is_an_error() -> None:
    with pytest.raises(InkseekError, match=r"batch\.classes is 5"):
        PKBatches(made([(2, 2)] * 3), classes=5, sketches=1, photos=1, seed=0)
    with pytest.raises(InkseekError, match="no photos"):
        PKBatches(made([(2, 2), (2, 0)]), classes=2, sketches=1, photos=1, seed=0)
    with pytest.raises(InkseekError, match="must be equal"):
        PKBatches(made([(2, 2)] * 3, paired=True), classes=2, sketches=1, photos=2, seed=0)
