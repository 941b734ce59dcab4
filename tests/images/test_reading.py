"""Any file that a user may have, or an attacker may send, becomes upright RGB or one clear error."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inkseek.images.reading import UnreadablePicture, find_pictures, read_picture


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def noise(size: int) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_every_format_comes_back_as_rgb(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"red.{form.lower()}"
    path.write_bytes(encoded(Image.new("RGB", (20, 10), (200, 0, 0)), form))
    read = read_picture(path)
    assert read.mode == "RGB"
    assert read.size == (20, 10)
    assert np.abs(np.asarray(read, dtype=int) - (200, 0, 0)).max() < 12


def test_the_exif_orientation_is_applied() -> None:
    picture = Image.new("RGB", (30, 10), "white")
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_picture(encoded(picture, "JPEG", exif=exif)).size == (10, 30)


def test_transparency_becomes_white() -> None:
    for mode, colour in (("RGBA", (0, 0, 0, 0)), ("LA", (0, 0))):
        read = read_picture(encoded(Image.new(mode, (4, 4), colour), "PNG"))
        assert np.asarray(read).min() == 255
    palette = Image.new("P", (4, 4), 0)
    read = read_picture(encoded(palette, "PNG", transparency=0))
    assert np.asarray(read).min() == 255


def test_sixteen_bits_and_cmyk_keep_their_brightness() -> None:
    half = Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16))
    assert abs(int(np.asarray(read_picture(encoded(half, "PNG")))[0, 0, 0]) - 128) <= 1
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    r, g, b = np.asarray(read_picture(encoded(red, "JPEG")))[0, 0].astype(int)
    assert r > 200
    assert g < 60
    assert b < 60


def test_a_jpeg_decodes_at_reduced_scale_but_never_below_what_is_asked() -> None:
    large = encoded(Image.new("RGB", (1600, 1200)), "JPEG")
    reduced = read_picture(large, at_least=128)
    assert min(reduced.size) >= 128
    assert reduced.width < 1600


def test_a_missing_an_empty_a_torn_and_a_foreign_file_name_themselves(tmp_path: Path) -> None:
    empty, torn, foreign = tmp_path / "empty.png", tmp_path / "torn.jpg", tmp_path / "foreign.png"
    empty.touch()
    torn.write_bytes(encoded(noise(200), "JPEG")[:900])
    foreign.write_text("not a picture")
    for path, reason in (
        (tmp_path / "none.png", "no such file"),
        (empty, "empty"),
        (torn, "decoded"),
        (foreign, "not a picture"),
        (tmp_path, "folder"),
    ):
        with pytest.raises(UnreadablePicture, match=reason) as caught:
            read_picture(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_too_many_pixels_are_refused_before_decoding() -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(UnreadablePicture, match="limit of 100"):
        read_picture(bomb)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_bytes_never_raise_anything_else(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"]))
    content = bytearray(encoded(noise(24), form))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    with contextlib.suppress(UnreadablePicture):
        assert read_picture(bytes(content[:cut])).mode == "RGB"


def test_pictures_are_found_in_order_without_hidden_files_and_loops_end(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "b/1.jpg", "a.png", ".hidden/x.png", "b/.y.png", "notes.txt", "ä ö\n.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "loop").symlink_to(tmp_path, target_is_directory=True)
    found = [str(path.relative_to(tmp_path)) for path in find_pictures(tmp_path)]
    assert found == ["a.png", "ä ö\n.png", "b/1.jpg", "b/2.PNG"]


def test_a_picture_just_above_the_limit_says_how_large_it_is() -> None:
    with pytest.raises(UnreadablePicture, match="3 megapixels, more than the limit of 2"):
        read_picture(encoded(Image.new("1", (2000, 1500)), "PNG"), max_megapixels=2)
