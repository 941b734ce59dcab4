"""What several rooms' tests share: a cache of their own, the real pictures where they are, a real frozen model."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inkseek.cache import cache_folder
from inkseek.datasets.dataset import read_split
from inkseek.models.bundle import Model, frozen, load

os.environ["HF_HUB_OFFLINE"] = "1"  # no test reaches for the network; read when huggingface_hub is first imported

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the tests out of the user's cache; a cache given from outside (CI's) is used as it is."""
    os.environ.setdefault("INKSEEK_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def pictures() -> Path:
    """The folder of real pictures; the test is skipped where it is missing."""
    folder = Path(os.environ.get("INKSEEK_DATA") or REPOSITORY.parent / "shared" / "data")
    if not (folder / "quickdraw_photo").is_dir():
        pytest.skip(f"no real pictures at {folder}: set INKSEEK_DATA")
    return folder


@pytest.fixture(scope="session")
def emoji_root(_own_cache: None) -> Path:
    """Where the emoji set is, rendered by whichever test asks first."""
    return cache_folder()


@pytest.fixture(scope="session")
def frozen_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle on disk: the packaged ImageNet weights without a head, at 96 pixels."""
    folder = tmp_path_factory.mktemp("models") / "frozen"
    frozen("tf_efficientnet_lite0", 96).save(folder)
    return folder


@pytest.fixture(scope="session")
def frozen_model(frozen_bundle: Path) -> Model:
    """The bundle above, loaded."""
    return load(frozen_bundle)


@pytest.fixture(scope="session")
def tiny_quickdraw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """quickdraw-photo's classes, each with two drawings and two photos of a shape of its own; a NON-STANDARD run."""
    root = tmp_path_factory.mktemp("data") / "quickdraw_photo"
    names = sorted({*read_split("quickdraw_photo_seen40"), *read_split("quickdraw_photo_unseen12")})
    for seed, name in enumerate(names):
        shape = np.random.default_rng(seed).integers(8, 56, (5, 2))
        for number in range(2):
            points = [tuple(point) for point in (shape + number).tolist()]
            sketch, photo = Image.new("L", (64, 64), 255), Image.new("RGB", (64, 64), (90, 140 + number, 90))
            ImageDraw.Draw(sketch).line([*points, points[0]], fill=0, width=2)
            ImageDraw.Draw(photo).polygon(points, fill=(200, 60 + seed, 40))
            for domain, picture, suffix in (("sketch", sketch, "png"), ("photo", photo, "jpg")):
                path = root / domain / name / f"{number}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                picture.save(path)
    return root


@pytest.fixture(scope="session")
def tiny_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of one's own, alone: 12 classes, each a shape and a colour, four pictures of each; one class unseen."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for seed in range(12):
        random = np.random.default_rng(seed)
        shape, colour = random.integers(8, 56, (5, 2)), tuple(random.integers(0, 255, 3).tolist())
        for number in range(4):
            picture = Image.new("RGB", (64, 64), (90 + 20 * number, 140, 90))
            ImageDraw.Draw(picture).polygon([tuple(point) for point in (shape + number).tolist()], fill=colour)
            path = root / f"class{seed:02d}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
    (root / "unseen.txt").write_text("class11\n")
    return root
