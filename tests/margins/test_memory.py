"""The two memories: what is read, what is written, and what a checkpoint keeps of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from inkseek.errors import InkseekError
from inkseek.losses import Batch
from inkseek.margins.class_memory import ClassMemory
from inkseek.margins.lrua import LRUA
from inkseek.margins.memory import Keys, Memory, class_means

DIM, CLASSES = 5, 6
MEMORIES: dict[str, Callable[[], Memory]] = {
    "class": lambda: ClassMemory(DIM, CLASSES),
    "lrua": lambda: LRUA(DIM, CLASSES, slots=8),
}


def normal(rows: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, DIM, generator=torch.Generator().manual_seed(seed))


def keys(labels: list[int], domains: list[int], seed: int = 0) -> Keys:
    return Keys(normalize(normal(len(labels), seed), dim=1), torch.tensor(labels), torch.tensor(domains))


def test_class_means_are_unit_means_by_class_and_domain() -> None:
    sketches, photos, labels, photo_labels = normal(4), normal(3, seed=1), [2, 0, 2, 2], [2, 2, 5]
    found = class_means(Batch(sketches, labels, photos, photo_labels).union, CLASSES)
    expected = {
        (0, 0): sketches[1:2],
        (0, 2): sketches[[0, 2, 3]],
        (1, 2): photos[:2],
        (1, 5): photos[2:],
    }
    assert list(zip(found.domains.tolist(), found.labels.tolist(), strict=True)) == list(expected)
    for mine, rows in zip(found.vectors, expected.values(), strict=True):
        torch.testing.assert_close(mine, normalize(normalize(rows, dim=1).mean(0), dim=0))


@pytest.mark.parametrize("name", MEMORIES)
def test_read_weights_sum_to_one_before_and_after_writing(name: str) -> None:
    memory, queries, domains = MEMORIES[name](), normalize(normal(7), dim=1), torch.tensor([0, 1, 0, 1, 1, 0, 0])
    for _ in range(3):
        read = memory.read(queries, domains)
        assert torch.all(read.weights >= 0)
        torch.testing.assert_close(read.weights.sum(1), torch.ones(7))
        assert read.vector.shape == queries.shape
        memory.write(keys([1, 4, 1], [0, 0, 1]))


@pytest.mark.parametrize("name", MEMORIES)
def test_what_is_written_is_found_again_by_its_like(name: str) -> None:
    memory, written = MEMORIES[name](), keys([0, 3, 0, 5], [0, 0, 1, 1])
    memory.write(written)
    read = memory.read(written.vectors, written.domains)
    assert torch.all(torch.cosine_similarity(read.vector, written.vectors) > 0.9)


@pytest.mark.parametrize("name", MEMORIES)
def test_reading_changes_nothing_and_writing_takes_no_gradient(name: str) -> None:
    memory = MEMORIES[name]()
    assert isinstance(memory, nn.Module)
    memory.write(keys([0, 1, 0, 1], [0, 0, 1, 1]))
    before = {name: value.clone() for name, value in memory.state_dict().items()}
    queries = normal(3).requires_grad_()
    torch.autograd.backward(memory.read(queries, torch.tensor([0, 1, 1])).vector.sum())
    assert queries.grad is not None
    assert queries.grad.abs().sum() > 0
    memory_after = memory.state_dict()
    assert all(torch.equal(value, memory_after[name]) for name, value in before.items())
    assert not list(memory.parameters())
    memory.write(keys([0, 1], [0, 1])._replace(vectors=queries[:2]))
    assert not any(buffer.requires_grad for buffer in memory.buffers())


@pytest.mark.parametrize("name", MEMORIES)
def test_the_state_survives_saving_and_loading(name: str) -> None:
    ours, theirs = MEMORIES[name](), MEMORIES[name]()
    assert isinstance(ours, nn.Module)
    assert isinstance(theirs, nn.Module)
    ours.write(keys([0, 1, 2], [0, 1, 1]))
    theirs.load_state_dict(ours.state_dict())
    for memory in (ours, theirs):
        memory.write(keys([1, 5], [0, 1], seed=2))
    assert all(torch.equal(a, b) for a, b in zip(ours.buffers(), theirs.buffers(), strict=True))


def test_a_class_slot_follows_its_mean() -> None:
    memory, first, second = ClassMemory(DIM, CLASSES, keep=0.9), keys([4], [1]), keys([4], [1], seed=1)
    memory.write(first)
    torch.testing.assert_close(memory.slots[1, 4], first.vectors[0])
    memory.write(second)
    expected = normalize(0.9 * first.vectors[0] + 0.1 * second.vectors[0], dim=0)
    torch.testing.assert_close(memory.slots[1, 4], expected)
    assert memory.written.nonzero().tolist() == [[1, 4]]


def test_a_class_memory_reads_the_querys_own_domain() -> None:
    memory = ClassMemory(DIM, CLASSES)
    memory.write(keys([0, 3, 5], [0, 0, 1]))
    weights = memory.read(normal(2), torch.tensor([0, 1])).weights.view(2, 2, CLASSES)
    assert (weights[0] > 0).nonzero().tolist() == [[0, 0], [0, 3]]
    assert (weights[1] > 0).nonzero().tolist() == [[1, 5]]


def test_lrua_writes_by_the_formula() -> None:
    """The steps of one write, in plain loops."""
    memory = LRUA(DIM, CLASSES, slots=4, temperature=0.5, decay=0.9, gate=0.3)
    memory.write(keys([0, 1, 2], [0, 0, 0]))
    slots, usage = memory.slots.clone(), memory.usage.clone()
    new = keys([3, 4], [1, 1], seed=3)
    read = [torch.softmax(torch.stack([k @ m / m.norm() for m in slots]) / 0.5, dim=0) for k in new.vectors]
    order = sorted(range(4), key=lambda slot: (float(usage[slot]), slot))
    expected, used = slots.clone(), 0.9 * usage
    for slot in order[:2]:
        expected[slot] = 0
    for j, k in enumerate(new.vectors):
        write = 0.3 * read[j] + 0.7 * torch.eye(4)[order[j]]
        expected = expected + write[:, None] * k
        used = used + read[j] + write
    memory.write(new)
    torch.testing.assert_close(memory.usage, used)
    torch.testing.assert_close(memory.slots, torch.stack([m / max(1.0, float(m.norm())) for m in expected]))


def test_lrua_replaces_the_least_used_slot() -> None:
    memory = LRUA(DIM, CLASSES, slots=3, gate=0.0)
    for label in range(3):
        memory.write(keys([label], [0], seed=label))
    kept = keys([0], [0], seed=1)
    memory.write(kept._replace(vectors=kept.vectors))
    oldest = int(memory.usage.argmin())
    before = memory.slots.clone()
    new = keys([4], [1], seed=9)
    memory.write(new)
    torch.testing.assert_close(memory.slots[oldest], new.vectors[0])
    others = [slot for slot in range(3) if slot != oldest]
    torch.testing.assert_close(memory.slots[others], before[others])


def test_lrua_does_not_grow_with_use() -> None:
    memory = LRUA(DIM, CLASSES, slots=8)
    for step in range(200):
        memory.write(keys([0, 1], [0, 1], seed=step % 2))
    assert float(memory.slots.norm(dim=1).max()) <= 1 + 1e-6


def test_a_batch_with_more_keys_than_slots_is_refused() -> None:
    with pytest.raises(InkseekError, match="raise slots"):
        LRUA(DIM, CLASSES, slots=2).write(keys([0, 1, 2], [0, 0, 0]))
