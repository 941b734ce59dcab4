"""Items to embeddings, kept under a key that a changed weight, file or list changes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageDraw

from inkseek.cache import cache_folder
from inkseek.datasets.items import Items
from inkseek.errors import InkseekError
from inkseek.images.preprocessing import Domain, Preparation
from inkseek.models import feature_cache
from inkseek.models.bundle import Model, load, new_model
from inkseek.models.embedding import backbone_features, embed_items, load_pixels, readable_features


@pytest.fixture
def items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Items:
    monkeypatch.setenv("INKSEEK_CACHE", str(tmp_path / "cache"))
    rows = []
    for i in range(5):
        path = tmp_path / f"{i}.png"
        picture = Image.new("RGB", (80, 80), "white")
        ImageDraw.Draw(picture).ellipse((5, 5, 20 + 10 * i, 70), outline="black", width=4)
        picture.save(path)
        rows.append((path, "c", "sketch" if i % 2 else "photo", "", ""))
    return Items.from_rows(rows, ["c"])  # type: ignore[arg-type]


def test_every_item_is_embedded_in_its_own_domain(items: Items, frozen_model: Model) -> None:
    rows = embed_items(frozen_model, items, cached=False)
    for i, path in enumerate(items.paths):
        with Image.open(path) as picture:
            expected = frozen_model.embed([picture], str(items.domains[i]))  # type: ignore[arg-type]
        np.testing.assert_allclose(rows[i], expected[0], atol=1e-5)


def test_a_second_time_reads_no_picture(items: Items, frozen_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    first = embed_items(frozen_model, items)

    def never(*_: object) -> None:
        pytest.fail("a picture was read")

    monkeypatch.setattr("inkseek.models.embedding.load_pixels", never)
    np.testing.assert_array_equal(embed_items(frozen_model, items), first)


def test_a_changed_file_list_or_weight_is_embedded_again(items: Items, frozen_model: Model) -> None:
    domains = items.domains.tolist()
    key = feature_cache.key_of(frozen_model.fingerprint, items.paths, domains)
    assert key == feature_cache.key_of(frozen_model.fingerprint, items.paths, domains)
    others = [
        feature_cache.key_of("other weights", items.paths, domains),
        feature_cache.key_of(frozen_model.fingerprint, items.paths[::-1], domains),
        feature_cache.key_of(frozen_model.fingerprint, items.paths, [*domains[::-1][1:], "photo"]),
    ]
    status = items.paths[0].stat()
    os.utime(items.paths[0], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    others.append(feature_cache.key_of(frozen_model.fingerprint, items.paths, domains))
    assert len({key, *others}) == 5


def test_every_part_of_the_key_counts(items: Items, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, preprocessing, and of each file the path, domain, size and time of change, and their order."""
    domains = items.domains.tolist()
    last = items.paths[-1]
    keys = []

    def key(fingerprint: str = "weights", paths: Sequence[Path] = items.paths, of: Sequence[str] = domains) -> None:
        keys.append(feature_cache.key_of(fingerprint, paths, of))

    key()
    key(fingerprint="other weights")
    key(paths=items.paths[:-1], of=domains[:-1])
    key(of=["sketch", *domains[1:]])
    key(paths=(items.paths[1], items.paths[0], *items.paths[2:]), of=[domains[1], domains[0], *domains[2:]])
    status = last.stat()
    last.write_bytes(last.read_bytes() + b"\0")
    os.utime(last, ns=(status.st_atime_ns, status.st_mtime_ns))
    key()  # another size at the same time
    os.utime(last, ns=(status.st_atime_ns, status.st_mtime_ns - 1))
    key()  # another time at the same size
    renamed = last.rename(last.with_name("renamed.png"))
    key(paths=(*items.paths[:-1], renamed))
    monkeypatch.setattr(feature_cache, "PREPROCESSING_VERSION", -1)
    key(paths=(*items.paths[:-1], renamed))
    assert len(set(keys)) == len(keys) == 9


def test_a_key_is_the_same_from_any_working_directory(items: Items, monkeypatch: pytest.MonkeyPatch) -> None:
    domains = items.domains.tolist()
    key = feature_cache.key_of("weights", items.paths, domains)
    monkeypatch.chdir(items.paths[0].parent)
    assert feature_cache.key_of("weights", [Path(path.name) for path in items.paths], domains) == key


def test_changed_pixels_and_changed_weights_are_never_answered_from_the_cache(
    items: Items, frozen_bundle: Path
) -> None:
    model = load(frozen_bundle)
    first = embed_items(model, items)
    Image.new("RGB", (80, 80), (10, 200, 30)).save(items.paths[0])
    second = embed_items(model, items)
    np.testing.assert_array_equal(second[1:], first[1:])
    assert np.abs(second[0] - first[0]).max() > 1e-3
    with torch.no_grad():
        next(model.embedder.parameters()).mul_(0.5)
    changed = Model(model.embedder, model.card)
    assert changed.fingerprint != model.fingerprint
    assert np.abs(embed_items(changed, items) - second).max() > 1e-3


def test_a_torn_cache_is_made_again(items: Items, frozen_model: Model) -> None:
    first = embed_items(frozen_model, items)
    (kept,) = (cache_folder() / "embeddings").glob("*.npy")
    kept.write_bytes(kept.read_bytes()[:100])
    np.testing.assert_array_equal(embed_items(frozen_model, items), first)


def test_progress_reaches_its_end(items: Items, frozen_model: Model) -> None:
    seen: list[tuple[int, int]] = []
    embed_items(frozen_model, items, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (5, 5)


def test_an_unreadable_or_blank_picture_is_named(items: Items, frozen_bundle: Path) -> None:
    model = load(frozen_bundle)
    Image.new("RGB", (40, 40), "white").save(items.paths[1])
    with pytest.raises(InkseekError, match=r"1\.png.*blank"):
        embed_items(model, items)
    items.paths[1].write_bytes(b"")
    with pytest.raises(InkseekError, match=r"1\.png.*empty"):
        embed_items(model, items)
    items.paths[1].unlink()
    with pytest.raises(InkseekError, match="no such file"):
        embed_items(model, items)


def test_features_and_a_head_give_the_embeddings(items: Items) -> None:
    torch.manual_seed(0)
    model = new_model("tf_efficientnet_lite0", dim=16, image_size=64, head_batchnorm=True)
    features = backbone_features(model, items)
    assert features.shape == (5, 1280)
    assert features.dtype == np.float32
    with torch.inference_mode():
        raw = model.embedder.from_features(torch.from_numpy(features))
    unit = torch.nn.functional.normalize(raw, dim=1).numpy()
    np.testing.assert_allclose(unit, embed_items(model, items), atol=1e-5)
    assert np.abs(np.linalg.norm(features, axis=1) - 1).min() > 0.1  # the head reads lengths, so they are kept


def test_embeddings_by_way_of_features_read_pictures_once_for_every_head(
    items: Items, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(2)
    one, other = (new_model("tf_efficientnet_lite0", dim=8, image_size=96, head_batchnorm=True) for _ in range(2))
    np.testing.assert_allclose(embed_items(one, items, cached="features"), embed_items(one, items), atol=1e-5)
    expected = embed_items(other, items)

    def never(*_: object) -> None:
        pytest.fail("a picture was read")

    monkeypatch.setattr("inkseek.models.embedding.load_pixels", never)
    np.testing.assert_allclose(embed_items(other, items, cached="features"), expected, atol=1e-5)


def test_features_outlive_the_head_and_not_the_backbone(items: Items, monkeypatch: pytest.MonkeyPatch) -> None:
    model = new_model("tf_efficientnet_lite0", dim=16, image_size=64)
    first = backbone_features(model, items)
    with torch.no_grad():
        next(model.embedder.head.parameters()).add_(1)
    reads = []

    def counted(path: Path, domain: Domain, prepare: Preparation) -> npt.NDArray[np.uint8]:
        reads.append(path)
        return load_pixels(path, domain, prepare)

    monkeypatch.setattr("inkseek.models.embedding.load_pixels", counted)
    np.testing.assert_array_equal(backbone_features(model, items), first)
    assert not reads
    with torch.no_grad():
        next(model.embedder.backbone.parameters()).mul_(0.5)
    assert np.abs(backbone_features(model, items) - first).max() > 1e-3
    assert len(reads) == 5


def test_features_of_what_can_be_read_are_the_same_and_the_rest_is_tried_again(
    items: Items, frozen_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = backbone_features(frozen_model, items)
    torn = items.paths[2].read_bytes()
    items.paths[2].write_bytes(torn[:30])
    status = items.paths[2].stat()
    for _ in range(2):  # computed, and from the cache
        rows, unreadable = readable_features(frozen_model, items)
        assert list(unreadable) == [2]
        assert unreadable[2].startswith(f"{items.paths[2]}: ")
        assert np.isnan(rows[2]).all()
        np.testing.assert_allclose(np.delete(rows, 2, axis=0), np.delete(whole, 2, axis=0), atol=1e-5)
    with pytest.raises(InkseekError, match=r"2\.png"):
        backbone_features(frozen_model, items)
    # As good as new under the same size and time: only what was missing is read.
    items.paths[2].write_bytes(torn)
    os.truncate(items.paths[2], status.st_size)
    monkeypatch.setattr("inkseek.models.embedding.load_pixels", lambda *_: np.zeros((96, 96, 3), np.uint8))
    os.utime(items.paths[2], ns=(status.st_atime_ns, status.st_mtime_ns))
    again, unreadable = readable_features(frozen_model, items)
    assert not unreadable
    np.testing.assert_array_equal(np.delete(again, 2, axis=0), np.delete(rows, 2, axis=0))
    assert np.isfinite(again).all()
    monkeypatch.setattr("inkseek.models.embedding.load_pixels", lambda *_: pytest.fail("a picture was read"))
    np.testing.assert_array_equal(backbone_features(frozen_model, items), again)


def test_features_and_embeddings_of_a_headless_model_are_kept_apart(items: Items, frozen_model: Model) -> None:
    embeddings, features = embed_items(frozen_model, items), backbone_features(frozen_model, items)
    np.testing.assert_allclose(features / np.linalg.norm(features, axis=1, keepdims=True), embeddings, atol=1e-6)
    np.testing.assert_array_equal(embed_items(frozen_model, items), embeddings)
    assert np.abs(features - embeddings).max() > 1e-3


def test_the_cache_keeps_what_was_used_last_within_its_limit(items: Items, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.ones((100, 8), dtype=np.float32)
    monkeypatch.setattr(feature_cache, "LIMIT", 3 * 3328)  # a file: 3,200 bytes and a header of 128
    folder = cache_folder() / "embeddings"
    for age, key in enumerate("abc"):
        feature_cache.write(key, rows * age)
        os.utime(folder / f"{key}.npy", ns=(0, age))
    kept = feature_cache.read("a", rows.shape)  # used now: "b" is the oldest
    assert kept is not None
    feature_cache.write("d", rows)
    assert sorted(path.stem for path in folder.iterdir()) == ["a", "c", "d"]
    (folder / "left.part").write_bytes(b"x" * 100)
    os.utime(folder / "left.part", ns=(0, 0))
    feature_cache.write("d", rows)
    assert sorted(path.name for path in folder.iterdir()) == ["a.npy", "c.npy", "d.npy"]
    feature_cache.write("large", np.ones((10_000, 8), dtype=np.float32))
    assert sorted(path.stem for path in folder.iterdir()) == ["a", "c", "d"]
