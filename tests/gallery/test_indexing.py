from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkseek.errors import InkseekError
from inkseek.gallery.indexing import Report
from inkseek.gallery.picture_files import THUMBNAIL
from inkseek.gallery.search import Gallery, open_gallery
from inkseek.images.reading import read_picture
from inkseek.models.bundle import Model

Draw = Callable[[Path, int], list[Path]]


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return open_gallery(tmp_path / "g.db")


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    draw(tmp_path / "pictures", 7)
    return (tmp_path / "pictures").resolve()


def counts(report: Report) -> tuple[int, int, int, int, int]:
    return report.embedded, report.reused, report.unchanged, report.removed, len(report.unreadable)


def paths(gallery: Gallery) -> set[str]:
    store = gallery.store
    return {picture.path.name for picture in store.pictures(store.ids().tolist())}


@pytest.mark.parametrize("resize", [None, 240])
def test_a_picture_is_embedded_as_the_model_embeds_it(
    resize: int | None, gallery: Gallery, folder: Path, frozen_model: Model
) -> None:
    model = Model(frozen_model.embedder, frozen_model.card.model_copy(update={"resize": resize}), frozen_model.path)
    seen: list[tuple[int, int]] = []
    report = gallery.add(folder, model, batch_size=3, progress=lambda *at: seen.append(at))
    assert counts(report) == (7, 0, 0, 0, 0)
    assert seen == [(0, 7), (3, 7), (6, 7), (7, 7)]
    ids, vectors = gallery.store.vectors()
    files = gallery.store.pictures(ids.tolist())
    pictures = [read_picture(file.path) for file in files]
    if resize is not None:  # to the pictures' own height, so that only the crop is left
        pictures = [picture.crop((102, 72, 198, 168)) for picture in pictures]
    expected = frozen_model.embed(pictures, "photo")
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_only_what_changed_is_embedded_again(gallery: Gallery, folder: Path, frozen_model: Model) -> None:
    gallery.add(folder, frozen_model)
    assert counts(gallery.add(folder)) == (0, 0, 7, 0, 0)

    (folder / "sub").mkdir()
    (folder / "circle-0.png").rename(folder / "sub" / "moved ünïcode.png")
    shutil.copyfile(folder / "square-1.png", folder / "copy.png")
    os.utime(folder / "cross-2.png", ns=(1, 1))
    (folder / "circle-3.png").unlink()
    shutil.copyfile(folder / "square-4.png", folder / "circle-6.png")
    assert counts(gallery.add(folder)) == (0, 4, 3, 2, 0)
    assert paths(gallery) == {
        "moved ünïcode.png", "square-1.png", "copy.png", "cross-2.png", "square-4.png", "cross-5.png", "circle-6.png",
    }  # fmt: skip
    assert counts(gallery.add(folder)) == (0, 0, 7, 0, 0)


def test_unreadable_files_are_listed_and_left_out(gallery: Gallery, folder: Path, frozen_model: Model) -> None:
    gallery.add(folder, frozen_model)
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no picture")
    whole = (folder / "circle-0.png").read_bytes()
    (folder / "circle-0.png").write_bytes(whole[: len(whole) // 2])
    report = gallery.add(folder)
    assert counts(report) == (0, 0, 6, 1, 3)
    reasons = {file.path.name: file.reason for file in report.unreadable}
    assert "0 bytes" in reasons["empty.jpg"]
    assert "not a picture" in reasons["text.png"]
    assert str(folder) not in "".join(reasons.values())
    assert "circle-0.png" in reasons
    assert len(gallery) == 6


def test_what_lies_outside_the_folder_stays(gallery: Gallery, tmp_path: Path, draw: Draw, frozen_model: Model) -> None:
    draw(tmp_path / "a", 2)
    draw(tmp_path / "ab", 3)
    gallery.add(tmp_path / "a", frozen_model)
    gallery.add(tmp_path / "ab")
    shutil.rmtree(tmp_path / "ab")
    draw(tmp_path / "ab", 1)
    gallery.add(tmp_path / "ab")
    assert len(gallery) == 3


def test_a_camera_picture_is_upright_and_keeps_its_full_size(
    gallery: Gallery, tmp_path: Path, frozen_model: Model
) -> None:
    folder = tmp_path / "camera"
    folder.mkdir()
    picture = Image.new("RGB", (3000, 1000), "navy")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "portrait.JPG", exif=exif)
    gallery.add(folder, frozen_model)
    found = gallery.picture(1)
    assert found is not None
    assert (found.width, found.height) == (1000, 3000)
    thumbnail = read_picture(gallery.store.thumbnail(1) or b"")
    assert (thumbnail.width, thumbnail.height) == (round(THUMBNAIL / 3), THUMBNAIL)


def test_a_picture_as_thin_as_a_line_has_a_thumbnail(gallery: Gallery, tmp_path: Path, frozen_model: Model) -> None:
    (tmp_path / "thin").mkdir()
    for size in ((1, 3000), (3000, 1), (1, 1)):
        Image.new("RGB", size).save(tmp_path / "thin" / f"{size[0]}x{size[1]}.png")
    assert counts(gallery.add(tmp_path / "thin", frozen_model)) == (3, 0, 0, 0, 0)
    sizes = {read_picture(gallery.store.thumbnail(i) or b"").size for i in (1, 2, 3)}
    assert sizes == {(1, 1), (1, THUMBNAIL), (THUMBNAIL, 1)}


def test_the_attribution_is_read_from_the_folder_or_above(
    gallery: Gallery, folder: Path, draw: Draw, frozen_model: Model
) -> None:
    (folder / "ATTRIBUTION.txt").write_text("Art by Ann,\n CC BY 4.0\n")
    gallery.add(folder, frozen_model)
    draw(folder / "sub", 2)
    gallery.add(folder / "sub")
    assert gallery.attributions == ["Art by Ann, CC BY 4.0"]


def test_folders_without_pictures(gallery: Gallery, tmp_path: Path, folder: Path, frozen_model: Model) -> None:
    (tmp_path / "empty").mkdir()
    for wrong, what in [("missing", "there is no folder"), ("empty", "holds no pictures")]:
        with pytest.raises(InkseekError, match=what):
            gallery.add(tmp_path / wrong, frozen_model)
    with pytest.raises(InkseekError, match="is a file"):
        gallery.add(folder / "circle-0.png", frozen_model)
    assert not gallery.path.exists()
    gallery.add(folder, frozen_model)
    for picture in folder.iterdir():
        picture.unlink()
    # More likely a drive that is not mounted than a wish to lose the gallery.
    with pytest.raises(InkseekError, match="holds no pictures"):
        gallery.add(folder)
    assert len(gallery) == 7
