"""One way from a picture to pixels, in which a sketch's place, size, paper and pen's darkness do not matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from inkseek.errors import InkseekError
from inkseek.images.augmentation import Augmentation
from inkseek.images.preprocessing import Normalisation, Preparation
from inkseek.images.sketch import BlankSketch
from inkseek.images.strokes import draw_strokes


def drawing(
    canvas: tuple[int, int], at: tuple[int, int], size: int, ink: int = 0, paper: int = 255, width: int = 4
) -> Image.Image:
    picture = Image.new("L", canvas, paper)
    pen = ImageDraw.Draw(picture)
    x, y = at
    pen.ellipse((x, y, x + size, y + size // 2), outline=ink, width=width)
    pen.line((x, y + size // 4, x + size, y + size // 4), fill=ink, width=width)
    return picture.convert("RGB")


def test_place_and_paper_do_not_matter() -> None:
    here = Preparation(96)(drawing((300, 300), (10, 20), 120), "sketch")
    there = Preparation(96)(drawing((500, 260), (350, 80), 120), "sketch")
    np.testing.assert_array_equal(here, there)


def test_pencil_and_chalk_look_like_ink() -> None:
    ink = Preparation(96)(drawing((200, 200), (30, 40), 120), "sketch").astype(int)
    pencil = Preparation(96)(drawing((200, 200), (30, 40), 120, ink=140, paper=230), "sketch").astype(int)
    chalk = Preparation(96)(drawing((200, 200), (30, 40), 120, ink=240, paper=20), "sketch").astype(int)
    assert np.abs(ink - pencil).max() <= 3
    assert np.abs(ink - chalk).max() <= 3


def test_a_sketch_keeps_its_aspect_ratio_and_a_margin() -> None:
    pixels = Preparation(100)(drawing((400, 400), (50, 50), 300), "sketch")
    rows, columns = np.nonzero(pixels[..., 0] < 128)
    width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
    assert 1.8 < width / height < 2.2
    assert columns.min() >= 2
    assert columns.max() <= 97


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_a_blank_sheet_is_a_typed_error(colour: int) -> None:
    with pytest.raises(BlankSketch, match="blank"):
        Preparation(64)(Image.new("RGB", (64, 64), (colour, colour, colour)), "sketch")


def test_noise_on_paper_is_blank_and_a_faint_line_is_not() -> None:
    generator = np.random.default_rng(0)
    noise = Image.fromarray((250 + generator.integers(-4, 5, (64, 64))).astype(np.uint8))
    with pytest.raises(BlankSketch):
        Preparation(64)(noise, "sketch")
    assert Preparation(64)(drawing((64, 64), (8, 8), 40, ink=200), "sketch").min() < 40


def test_a_photo_is_seen_whole() -> None:
    picture = Image.new("RGB", (90, 30), "white")
    picture.paste((255, 0, 0), (0, 0, 5, 30))
    picture.paste((0, 0, 255), (85, 0, 90, 30))
    pixels = Preparation(60)(picture, "photo")
    assert pixels.shape == (60, 60, 3)
    assert pixels[30, 0, 0] > 200
    assert pixels[30, 0, 2] < 60
    assert pixels[30, -1, 2] > 200


@pytest.mark.parametrize("size", [(400, 300), (300, 400), (333, 1001), (64, 64), (90, 31)])
def test_resized_and_cropped_is_what_pillow_makes_of_it(size: tuple[int, int]) -> None:
    """SEC's code at test time: the shorter side to 256, then 227 out of the middle."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    shorter = min(size)
    resized = picture.resize((int(256 * size[0] / shorter), int(256 * size[1] / shorter)), Image.Resampling.BILINEAR)
    left, top = round((resized.width - 227) / 2), round((resized.height - 227) / 2)
    prepare = Preparation(227, resize=256)
    np.testing.assert_array_equal(
        prepare(picture, "photo"), np.asarray(resized.crop((left, top, left + 227, top + 227)))
    )
    np.testing.assert_array_equal(prepare.uncropped(picture, "photo"), np.asarray(resized))
    assert prepare.at_least == 256


def test_a_crop_leaves_sketches_whole() -> None:
    picture = drawing((400, 400), (50, 50), 300)
    plain, cropping = Preparation(64), Preparation(64, resize=96)
    np.testing.assert_array_equal(plain(picture, "sketch"), cropping(picture, "sketch"))
    np.testing.assert_array_equal(plain(picture, "sketch"), cropping.uncropped(picture, "sketch"))


def test_a_picture_a_thousand_times_as_long_as_wide_takes_no_memory() -> None:
    picture = Image.new("RGB", (4, 4000), (10, 200, 30))
    prepare = Preparation(64, resize=72)
    assert prepare.uncropped(picture, "photo").shape == (8 * 72, 72, 3)
    assert (prepare(picture, "photo") == np.array([10, 200, 30])).all()


def test_random_crops_keep_to_their_area_and_aspect_ratio() -> None:
    """Read off a picture whose red grows to the right and whose green grows downwards, a unit a pixel."""
    rows, columns = np.mgrid[0:200, 0:250]
    pixels = np.stack([columns, rows, np.zeros_like(rows)], axis=2).astype(np.uint8)
    crop = Augmentation(flip=0, scale=0.4, colour=0, grey=0, crop=100)
    areas, aspects = [], []
    for seed in range(200):
        changed = crop(pixels, "photo", np.random.default_rng(seed)).astype(float)
        assert changed.shape == (100, 100, 3)
        width, height = (changed[90, 90] - changed[10, 10])[:2] / 80 * 100
        areas.append(width * height / pixels[..., 0].size)
        aspects.append(width / height)
    assert 0.14 < min(areas) < 0.25
    assert 0.75 < max(areas) < 1.05
    assert 0.7 < min(aspects) < 0.8
    assert 1.25 < max(aspects) < 1.4
    still = Augmentation(flip=0, scale=1, colour=0, grey=0, crop=100)(pixels, "photo", np.random.default_rng(0))
    assert np.abs(still.astype(int) - pixels[50:150, 75:175]).max() <= 1


def test_normalisation_is_per_channel_and_channels_come_first() -> None:
    pixels = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)
    out = Normalisation((0.5, 0.5, 0.0), (0.5, 0.5, 1.0))(pixels)
    assert out.shape == (1, 3, 1, 1)
    torch.testing.assert_close(out.flatten(), torch.tensor([-1.0, 128 / 255 * 2 - 1, 1.0]))


def test_strokes_meet_the_model_the_same_whatever_their_unit() -> None:
    strokes = [([0.0, 100.0, 100.0], [0.0, 0.0, 50.0]), ([20.0], [30.0])]
    moved = [([x * 7 + 1000 for x in xs], [y * 7 - 40 for y in ys]) for xs, ys in strokes]
    np.testing.assert_array_equal(np.asarray(draw_strokes(strokes, 128)), np.asarray(draw_strokes(moved, 128)))


def test_a_dot_is_a_drawing_and_nothing_is_not() -> None:
    assert np.asarray(draw_strokes([([3.0], [4.0])], 128)).min() < 64
    with pytest.raises(BlankSketch):
        draw_strokes([])
    with pytest.raises(BlankSketch):
        draw_strokes([([], [])])


@pytest.mark.parametrize(
    "strokes",
    [
        [([1.0, 2.0], [1.0])],
        [([float("nan")], [1.0])],
        [([1.0, float("inf")], [0.0, 0.0])],
        [([0, 1e308, -1e308], [0, 0, 0])],
    ],
)
def test_hostile_strokes_are_one_clear_error(strokes: list[tuple[list[float], list[float]]]) -> None:
    with pytest.raises(InkseekError):
        draw_strokes(strokes)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=8), min_size=1, max_size=5
    )
)
def test_any_finite_strokes_can_be_drawn_and_prepared(strokes: list[list[tuple[float, float]]]) -> None:
    picture = draw_strokes([([x for x, _ in stroke], [y for _, y in stroke]) for stroke in strokes], 64)
    assert picture.size == (64, 64)
    assert Preparation(32)(picture, "sketch").shape == (32, 32, 3)


@pytest.mark.parametrize("domain", ["sketch", "photo"])
def test_augmentation_is_a_function_of_its_generator(domain: str) -> None:
    pixels = Preparation(64)(drawing((200, 200), (30, 40), 120), "sketch")
    change = Augmentation()
    first = change(pixels, domain, np.random.default_rng((0, 3, 7)))  # type: ignore[arg-type]
    again = change(pixels, domain, np.random.default_rng((0, 3, 7)))  # type: ignore[arg-type]
    other = change(pixels, domain, np.random.default_rng((0, 3, 8)))  # type: ignore[arg-type]
    np.testing.assert_array_equal(first, again)
    assert first.shape == pixels.shape
    assert (first != other).any()


def test_augmentation_never_wipes_a_sketch_out() -> None:
    pixels = Preparation(64)(drawing((400, 400), (30, 40), 320, width=2), "sketch")
    ink = (255 - pixels.astype(float)).sum()
    for seed in range(30):
        changed = Augmentation()(pixels, "sketch", np.random.default_rng(seed))
        assert (255 - changed.astype(float)).sum() > 0.4 * ink


def test_augmentation_with_everything_off_changes_nothing() -> None:
    off = Augmentation(flip=0, rotation=0, scale=1, stroke=0, colour=0, grey=0)
    pixels = Preparation(64)(drawing((200, 200), (30, 40), 120), "sketch")
    for domain in ("sketch", "photo"):
        changed = off(pixels, domain, np.random.default_rng(0))
        assert np.abs(changed.astype(int) - pixels).max() <= 1
