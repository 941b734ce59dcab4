from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import inkseek
from inkseek.errors import InkseekError
from inkseek.gallery.examples import Example
from inkseek.gallery.filters import Filter
from inkseek.gallery.search import Gallery, Hit, open_gallery
from inkseek.images.preprocessing import Domain
from inkseek.images.sketch import BlankSketch
from inkseek.images.strokes import draw_strokes
from inkseek.margins.relation_network import RelationNetwork
from inkseek.margins.settings import RelationSettings
from inkseek.models.bundle import Model, frozen, load
from inkseek.models.card import MarginCard

Draw = Callable[[Path, int], list[Path]]

TURN = [i * math.tau / 40 for i in range(41)]
CIRCLE = [([math.cos(t) for t in TURN], [math.sin(t) for t in TURN])]
CROSS = [([0.0, 1.0], [0.0, 1.0]), ([0.0, 1.0], [1.0, 0.0])]


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    draw(tmp_path / "pictures", 12)
    return tmp_path / "pictures"


@pytest.fixture
def gallery(tmp_path: Path, folder: Path, frozen_model: Model) -> Gallery:
    opened = open_gallery(tmp_path / "g.db")
    opened.add(folder, frozen_model)
    return opened


def test_a_drawing_finds_its_shape(gallery: Gallery) -> None:
    assert inkseek.open_gallery is open_gallery
    for strokes, shape in ((CIRCLE, "circle"), (CROSS, "cross")):
        hits = gallery.search(strokes, k=4)
        assert hits[0].path.name.startswith(shape)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert (hits[0].width, hits[0].height) == (300, 240)


def test_strokes_a_picture_and_its_file_are_one_query(gallery: Gallery, tmp_path: Path) -> None:
    picture = draw_strokes(CROSS)
    picture.save(tmp_path / "cross.png")
    assert gallery.search(CROSS) == gallery.search(picture) == gallery.search(tmp_path / "cross.png")


def test_a_photo_finds_itself(gallery: Gallery, folder: Path) -> None:
    hit = gallery.search(folder / "square-1.png", k=1, domain="photo")[0]
    assert hit.path == (folder / "square-1.png").resolve()
    assert hit.score == pytest.approx(1, abs=1e-4)
    similar = gallery.similar(hit.id, k=3)
    assert len(similar) == 3
    assert hit.id not in {other.id for other in similar}
    assert similar[0].path.name.startswith("square")


def test_it_ranks_as_sorting_all_products_does(gallery: Gallery, frozen_model: Model) -> None:
    ids, vectors = gallery.store.vectors()
    products = vectors @ frozen_model.embed([draw_strokes(CIRCLE)], "sketch")[0]
    hits = gallery.search(CIRCLE, k=100)
    assert [hit.id for hit in hits] == ids[np.argsort(-products)].tolist()
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(products)[::-1], atol=1e-5)


def test_a_filtered_search_is_the_ranking_of_what_passes(gallery: Gallery, folder: Path, draw: Draw) -> None:
    draw(folder / "sub", 15)
    gallery.add(folder)
    everything = gallery.search(CIRCLE, k=100)
    below = gallery.search(CIRCLE, k=4, only=Filter(folder=folder / "sub"))
    assert below == [hit for hit in everything if hit.path.parent.name == "sub"][:4]
    assert gallery.search(CIRCLE, k=4, only=Filter(min_side=241)) == []
    assert gallery.search(CIRCLE, k=100, only=Filter(min_side=240)) == everything
    first = everything[0].id
    similar = gallery.similar(first, k=3, only=Filter(folder=folder / "sub"))
    assert similar == [hit for hit in gallery.similar(first, k=100) if hit.path.parent.name == "sub"][:3]
    # What comes and goes later is followed by a filter that was used before.
    below[0].path.unlink()
    gallery.add(folder)
    assert [hit.id for hit in gallery.search(CIRCLE, k=3, only=Filter(folder=folder / "sub"))] == [
        hit.id for hit in below[1:]
    ]
    assert gallery.folders == {folder.resolve(): 12, folder.resolve() / "sub": 14}


def test_examples_are_one_vector(gallery: Gallery, frozen_model: Model) -> None:
    ids, vectors = gallery.store.vectors()
    drawn = frozen_model.embed([draw_strokes(CIRCLE), draw_strokes(CROSS)], "sketch")
    wish = 2 * drawn[0] - 0.5 * drawn[1] + vectors[4]
    products = vectors @ (wish / np.linalg.norm(wish))
    hits = gallery.search([Example(CIRCLE, 2), Example(CROSS, -0.5), Example(int(ids[4]))], k=12)
    assert [hit.id for hit in hits] == ids[np.argsort(-products)].tolist()
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(products)[::-1], atol=1e-5)
    assert gallery.search(Example(CIRCLE, 3), k=5) == gallery.search(CIRCLE, k=5)
    # A minus example sends its like to the end.
    circle = next(hit for hit in hits if hit.path.name.startswith("circle"))
    assert gallery.search([Example(CROSS), Example(circle.id, -1)], k=12)[-1].path.name.startswith("circle")


def test_near_duplicates_fold_into_the_best(gallery: Gallery, folder: Path) -> None:
    for i, name in enumerate(("circle-0", "circle-3", "cross-2")):
        with Image.open(folder / f"{name}.png") as picture:
            picture.save(folder / f"{name}-copy.jpg", quality=95 - i)
    shutil.copyfile(folder / "circle-0.png", folder / "circle-0-again.png")
    gallery.add(folder)
    everything = gallery.search(CIRCLE, k=100)
    folded = gallery.search(CIRCLE, k=100, collapse=0.97)
    assert sum(1 + len(hit.duplicates) for hit in folded) == len(everything) == 16
    names = {hit.id: hit.path.name for hit in everything}
    group = next(hit for hit in folded if hit.path.name.startswith("circle-0"))
    assert {names[i] for i in (group.id, *group.duplicates)} >= {
        "circle-0.png",
        "circle-0-copy.jpg",
        "circle-0-again.png",
    }
    heads = [hit for hit in everything if hit.id in {hit.id for hit in folded}]
    assert [replace(hit, duplicates=()) for hit in folded] == heads
    # Fewer hits are the same hits; a duplicate that ranks below all of them is of no account.
    assert [hit.id for hit in gallery.search(CIRCLE, k=2, collapse=0.97)] == [hit.id for hit in folded[:2]]
    assert not any(hit.duplicates for hit in everything)
    similar = gallery.similar(group.id, k=1, collapse=0.97)[0]
    assert similar.id != group.id
    assert group.id not in similar.duplicates


def test_the_cut_off_keeps_what_is_near_the_best(gallery: Gallery) -> None:
    hits = gallery.search(CIRCLE, k=100)
    margin = hits[3].distance - hits[0].distance + 1e-6
    assert gallery.search(CIRCLE, k=100, cutoff=margin) == hits[:4]
    assert gallery.search(CIRCLE, k=2, cutoff=margin) == hits[:2]
    with pytest.raises(InkseekError, match="no learned margin") as caught:
        gallery.search(CIRCLE, cutoff="margin")
    assert "\n" not in str(caught.value)


def half_way(gallery: Gallery) -> list[Hit]:
    """What is nearer than half way from the best to the median of all."""
    hits = gallery.search(CIRCLE, k=100)
    assert len(hits) == len(gallery)
    usual = math.sqrt(2 - 2 * float(np.median([hit.score for hit in hits])))
    return [hit for hit in hits if hit.distance < hits[0].distance + (usual - hits[0].distance) / 2]


def test_without_a_learned_margin_the_cut_off_is_half_way_to_what_is_usual(gallery: Gallery, folder: Path) -> None:
    expected = half_way(gallery)
    assert gallery.search(CIRCLE, k=100, cutoff="auto") == expected
    assert 0 < len(expected) < len(gallery) / 2
    # What is usual follows what another process takes out.
    for path in [hit.path for hit in gallery.search(CIRCLE, k=100)[len(expected) + 1 :]]:
        path.unlink()
    open_gallery(gallery.path).add(folder)
    assert gallery.search(CIRCLE, k=100, cutoff="auto") == half_way(gallery)


def test_the_cut_off_may_be_the_margin_that_the_model_has_learned(
    frozen_model: Model, folder: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = RelationNetwork(frozen_model.dim, start=0.1, granularity="class")
    torch.nn.init.normal_(network.out.weight, std=0.5)
    card = MarginCard(settings=RelationSettings(memory=None), classes=2)
    learned = Model(frozen_model.embedder, frozen_model.card.model_copy(update={"margin": card}), margin=network)
    learned.save(tmp_path / "learned")
    gallery = open_gallery(tmp_path / "g.db")
    gallery.add(folder, tmp_path / "learned")
    hits = gallery.search(CIRCLE, k=100)
    margins: dict[Domain, float] = {}
    domains: tuple[Domain, ...] = ("sketch", "photo")
    for domain in domains:
        vector = gallery.embed([(draw_strokes(CIRCLE), domain)])
        margins[domain] = float(learned.margins(vector, domain)[0])
        kept = gallery.search(Example(CIRCLE, domain=domain), k=100, cutoff="margin")
        everything = gallery.search(Example(CIRCLE, domain=domain), k=100)
        expected = [hit for hit in everything if hit.distance < everything[0].distance + margins[domain]]
        assert kept == expected == gallery.search(Example(CIRCLE, domain=domain), k=100, cutoff="auto")
        assert 0 < len(kept) < len(hits)
    assert margins["sketch"] != margins["photo"]


def test_one_forward_pass_serves_several_queries(gallery: Gallery) -> None:
    pictures = [draw_strokes(CIRCLE), draw_strokes(CROSS)]
    vectors = gallery.embed([(pictures[0], "sketch"), (pictures[1], "photo")])
    for vector, picture, domain in zip(vectors, pictures, ("sketch", "photo"), strict=True):
        alone = gallery.search(picture, 5, domain)  # type: ignore[arg-type]
        assert [hit.id for hit in gallery.find(vector, 5)] == [hit.id for hit in alone]
    assert gallery.embed([]).shape == (0, gallery.record.dim)
    with pytest.raises(InkseekError, match="vectors of length"):
        gallery.find(vectors[0, :5])


def test_an_open_gallery_follows_what_others_write(gallery: Gallery, folder: Path, draw: Draw) -> None:
    assert len(gallery.search(CIRCLE, k=50)) == 12
    other = open_gallery(gallery.path)
    draw(folder / "more", 3)
    for i in range(5):
        next(folder.glob(f"*-{i}.png")).unlink()
    other.add(folder)
    # Three of the five deleted ones live on in `more`, pixel for pixel.
    assert len(gallery.search(CIRCLE, k=50)) == 10
    assert {hit.id for hit in gallery.search(CIRCLE, k=50)} == set(gallery.store.ids().tolist())


def test_a_gallery_remembers_where_its_model_is(gallery: Gallery, frozen_bundle: Path) -> None:
    gallery.close()
    again = open_gallery(gallery.path)
    assert again.record.path == str(frozen_bundle.resolve())
    assert len(again.search(CIRCLE)) == 12


def test_another_model_is_refused_with_the_command_that_rebuilds(
    gallery: Gallery, folder: Path, tmp_path: Path
) -> None:
    other = frozen("tf_efficientnet_lite0", 64)
    other.save(tmp_path / "other model")
    with pytest.raises(InkseekError, match="not the model that made") as caught:
        gallery.add(folder, tmp_path / "other model")
    command = (
        f"inkseek index {folder.resolve()} --gallery {gallery.path} --model '{tmp_path / 'other model'}' --rebuild"
    )
    assert command in str(caught.value)
    assert len(gallery) == 12

    watching = open_gallery(gallery.path)
    assert len(watching.search(CIRCLE)) == 12
    report = gallery.add(folder, tmp_path / "other model", rebuild=True)
    assert report.embedded == 12
    assert len(gallery.search(CIRCLE)) == 12
    assert watching.search(CIRCLE) == gallery.search(CIRCLE)
    # The same command again has nothing left to do.
    assert gallery.add(folder, tmp_path / "other model", rebuild=True).unchanged == 12


def test_a_model_that_was_replaced_or_moved(folder: Path, tmp_path: Path, frozen_model: Model) -> None:
    home = tmp_path / "model"
    frozen_model.save(home)
    gallery = open_gallery(tmp_path / "g.db")
    gallery.add(folder, home)
    home.rename(tmp_path / "moved")
    with pytest.raises(InkseekError, match=r"cannot be loaded .* say where to"):
        open_gallery(gallery.path).search(CIRCLE)
    open_gallery(gallery.path).add(folder, tmp_path / "moved")
    assert len(open_gallery(gallery.path).search(CIRCLE)) == 12
    frozen("tf_efficientnet_lite0", 64).save(tmp_path / "moved")
    with pytest.raises(InkseekError, match="not the model that made"):
        open_gallery(gallery.path).search(CIRCLE)


def test_without_a_model_the_demo_is_named(tmp_path: Path, folder: Path) -> None:
    gallery = open_gallery(tmp_path / "new.db")
    for ask in (lambda: gallery.search(CIRCLE), lambda: gallery.add(folder), lambda: gallery.similar(1)):
        with pytest.raises(InkseekError, match="inkseek demo") as caught:
            ask()
        assert "\n" not in str(caught.value)
    assert not gallery.path.exists()
    gallery.path.touch()
    with pytest.raises(InkseekError, match="inkseek demo"):
        open_gallery(gallery.path).search(CIRCLE)


def test_a_model_that_was_never_saved(tmp_path: Path, folder: Path, frozen_bundle: Path) -> None:
    model = load(frozen_bundle)
    model.path = None
    gallery = open_gallery(tmp_path / "g.db")
    gallery.add(folder, model)
    assert len(gallery.search(CIRCLE)) == 12
    with pytest.raises(InkseekError, match="never saved"):
        open_gallery(gallery.path).search(CIRCLE)


def test_queries_that_cannot_be_answered(gallery: Gallery, tmp_path: Path) -> None:
    with pytest.raises(BlankSketch):
        gallery.search([])
    with pytest.raises(BlankSketch):
        gallery.search(Image.new("RGB", (50, 50), "white"))
    with pytest.raises(InkseekError, match="no such file"):
        gallery.search(tmp_path / "missing.png")
    with pytest.raises(InkseekError, match="at least one"):
        gallery.search(CIRCLE, k=0)
    with pytest.raises(InkseekError, match="no picture 99"):
        gallery.similar(99)
    for examples, problem in (
        ([Example(1), Example(99)], "no picture 99"),
        ([Example(1), Example(1, -1)], "cancel each other out"),
        ([Example(1, 0)], "other than 0"),
        ([Example(1, math.nan)], "finite"),
    ):
        with pytest.raises(InkseekError, match=problem):
            gallery.search(examples)
    with pytest.raises(InkseekError, match="at least one example"):
        gallery.vector([])
