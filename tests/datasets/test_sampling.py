"""Batches: the asked-for shape, every picture met, shares that make the whole, nothing depending but on the seed."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkseek.datasets.items import Items
from inkseek.datasets.sampling import Batches, PairBatches, PKBatches, RandomBatches
from inkseek.errors import InkseekError


def made(sizes: list[tuple[int, int]], *, paired: bool = False) -> Items:
    rows = []
    for label, (sketches, photos) in enumerate(sizes):
        name = f"c{label}"
        rows += [(Path(f"{name}/s{i}"), name, "sketch", f"i{i}" if paired else "", "") for i in range(sketches)]
        rows += [(Path(f"{name}/p{i}"), name, "photo", f"i{i % sketches}" if paired else "", "") for i in range(photos)]
    return Items.from_rows(rows, [f"c{i}" for i in range(len(sizes))])


def photos_alone(sizes: list[int]) -> Items:
    return made([(0, photos) for photos in sizes])


def drawn_from(objects: list[list[tuple[int, int]]]) -> Items:
    """Classes of objects, each with so many sketches and so many photos."""
    rows = []
    for label, each in enumerate(objects):
        for number, (sketches, photos) in enumerate(each):
            name, instance = f"c{label}", f"i{number}"
            rows += [(Path(f"{name}/{instance}-{i}.png"), name, "sketch", instance, "") for i in range(sketches)]
            rows += [(Path(f"{name}/{instance}-{i}.jpg"), name, "photo", instance, "") for i in range(photos)]
    return Items.from_rows(rows, [f"c{i}" for i in range(len(objects))])


def indices(batches: Batches, count: int) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    return [np.array([draw.index for draw in batch]) for batch in islice(batches, count)]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=3, max_size=9),
    classes=st.integers(2, 3),
    sketches=st.integers(1, 4),
    photos=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_pk_across_domains_shape_and_coverage(
    sizes: list[tuple[int, int]], classes: int, sketches: int, photos: int, seed: int
) -> None:
    items = made(sizes)
    stream = PKBatches(items, classes=classes, sketches=sketches, photos=photos, seed=seed)
    assert (stream.anchors, stream.size) == (classes * sketches, classes * (sketches + photos))
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


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=3, max_size=9),
    classes=st.integers(2, 3),
    photos=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_pk_in_one_domain_repeats_a_picture_only_in_classes_below_k(
    sizes: list[int], classes: int, photos: int, seed: int
) -> None:
    items = photos_alone(sizes)
    stream = PKBatches(items, classes=classes, photos=photos, seed=seed)
    assert (stream.anchors, stream.size) == (0, classes * photos)
    met: set[int] = set()
    for index in indices(stream, (-(-len(sizes) // classes) + 1) * (-(-7 // photos) + 1)):
        counts = Counter(items.labels[index].tolist())
        assert sorted(counts.values()) == [photos] * classes
        for label in counts:
            times = Counter(index[items.labels[index] == label].tolist())
            assert max(times.values()) <= -(-photos // sizes[label])
            if photos >= sizes[label]:
                assert len(times) == sizes[label]
        met |= set(index.tolist())
    assert met == set(range(len(items)))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    objects=st.lists(
        st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2)), min_size=1, max_size=4), min_size=3, max_size=5
    ),
    classes=st.integers(2, 3),
    pairs=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_fine_grained_pairs_show_different_objects_and_meet_every_picture(
    objects: list[list[tuple[int, int]]], classes: int, pairs: int, seed: int
) -> None:
    items = drawn_from(objects)
    stream = PairBatches(items, classes=classes, pairs=pairs, seed=seed)
    n = classes * pairs
    assert (stream.anchors, stream.size) == (n, 2 * n)
    met: set[int] = set()
    turns = (-(-4 // pairs) + 1) * 4
    for index in indices(stream, (-(-len(objects) // classes) + 1) * turns):
        assert (items.domains[index[:n]] == "sketch").all()
        assert (items.domains[index[n:]] == "photo").all()
        assert items.instances[index[:n]].tolist() == items.instances[index[n:]].tolist()
        counts = Counter(items.labels[index[:n]].tolist())
        assert sorted(counts.values()) == [pairs] * classes
        for label in counts:
            shown = Counter(items.instances[index[:n]][items.labels[index[:n]] == label].tolist())
            assert max(shown.values()) <= -(-pairs // len(objects[label]))
        met |= set(index.tolist())
    assert met == set(range(len(items)))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(number=st.integers(1, 9), count=st.integers(9, 20), seed=st.integers(0, 99))
def test_random_pictures_and_pairs_come_in_rounds(number: int, count: int, seed: int) -> None:
    alone = photos_alone([count, 3])
    stream = RandomBatches(alone, number=number, seed=seed)
    met = indices(stream, -(-(count + 3) // number))
    assert (stream.anchors, stream.size) == (0, number)
    assert all(len(set(batch.tolist())) == number for batch in met)
    assert set(np.concatenate(met).tolist()) == set(range(count + 3))

    paired = drawn_from([[(2, 1)] * count, [(1, 2)]])
    sketches = np.flatnonzero(paired.domains == "sketch")
    stream = RandomBatches(paired, number=number, seed=seed)
    assert (stream.anchors, stream.size) == (number, 2 * number)
    met = indices(stream, -(-len(sketches) // number))
    for batch in met:
        assert paired.instances[batch[:number]].tolist() == paired.instances[batch[number:]].tolist()
        assert (paired.domains[batch[number:]] == "photo").all()
    assert set(np.concatenate([batch[:number] for batch in met]).tolist()) == set(sketches.tolist())


def streams(seed: int) -> list[Batches]:
    pairs = drawn_from([[(2, 1)] * 5] * 6)
    return [
        PKBatches(made([(5, 6)] * 8), classes=4, sketches=2, photos=3, seed=seed),
        PKBatches(photos_alone([5] * 8), classes=4, photos=3, seed=seed),
        PairBatches(pairs, classes=4, pairs=3, seed=seed),
        RandomBatches(pairs, number=7, seed=seed),
        RandomBatches(photos_alone([40]), number=7, seed=seed),
    ]


@pytest.mark.parametrize("kind", range(5))
def test_a_stream_is_a_function_of_its_seed_and_can_be_entered_anywhere(kind: int) -> None:
    first, again, other = (list(islice(streams(seed)[kind], 20)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    stream = streams(1)[kind]
    assert list(stream.steps(7, 12)) == first[7:12]
    assert list(stream.steps(0, 3)) == first[:3]


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_shares_of_all_processes_are_the_whole_batch_in_order(kind: int, world: int) -> None:
    stream = streams(0)[kind]
    shares = [list(stream.steps(2, 6, rank=rank, world=world)) for rank in range(world)]
    for step, whole in enumerate(stream.steps(2, 6)):
        mine = [shares[rank][step] for rank in range(world)]
        assert [d for share in mine for d in share if d.position < stream.anchors] == whole[: stream.anchors]
        assert [d for share in mine for d in share if d.position >= stream.anchors] == whole[stream.anchors :]
        for share in mine:
            assert [d.position for d in share] == sorted(d.position for d in share)
        lengths = [len(share) for share in mine]
        assert max(lengths) - min(lengths) <= 2


def test_more_processes_than_places_is_an_error() -> None:
    stream = PKBatches(made([(3, 3)] * 2), classes=2, sketches=1, photos=3, seed=0)
    with pytest.raises(InkseekError, match="3 processes cannot share a batch of 8"):
        next(stream.steps(0, 1, rank=0, world=3))


def test_paired_photos_belong_to_the_sketches_drawn() -> None:
    items = made([(4, 8)] * 3, paired=True)
    for index in indices(PKBatches(items, classes=3, sketches=2, photos=2, seed=0), 30):
        assert items.instances[index[:6]].tolist() == items.instances[index[6:]].tolist()


def test_a_photo_that_nobody_drew_is_never_met() -> None:
    items = drawn_from([[(1, 1), (0, 1), (2, 1)]] * 3)
    undrawn = {i for i, path in enumerate(items.paths) if path.name.startswith("i1-")}
    for stream in (PairBatches(items, classes=2, pairs=2, seed=0), RandomBatches(items, number=4, seed=0)):
        met = set(np.concatenate(indices(stream, 30)).tolist())
        assert met == set(range(len(items))) - undrawn


def test_what_cannot_be_drawn_is_an_error() -> None:
    with pytest.raises(InkseekError, match=r"batch\.classes is 5"):
        PKBatches(made([(2, 2)] * 3), classes=5, sketches=1, photos=1, seed=0)
    with pytest.raises(InkseekError, match="no photos"):
        PKBatches(made([(2, 2), (2, 0)]), classes=2, sketches=1, photos=1, seed=0)
    with pytest.raises(InkseekError, match="must be equal"):
        PKBatches(made([(2, 2)] * 3, paired=True), classes=2, sketches=1, photos=2, seed=0)
    with pytest.raises(InkseekError, match=r"i1-0\.png: the photo that it was drawn from is missing"):
        PKBatches(drawn_from([[(1, 1), (1, 0)]] * 2), classes=2, sketches=1, photos=1, seed=0)
    with pytest.raises(InkseekError, match="nothing says which"):
        PairBatches(made([(2, 2)] * 3), classes=2, pairs=1, seed=0)
    with pytest.raises(InkseekError, match="nothing says which"):
        RandomBatches(made([(2, 2)] * 3), number=2, seed=0)
    with pytest.raises(InkseekError, match="more than the 6 pictures"):
        RandomBatches(photos_alone([3, 3]), number=7, seed=0)
