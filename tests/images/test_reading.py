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

from inkseek.images import reading
from inkseek.images.reading import UnreadablePicture, find_pictures, read_picture, readable_formats


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def noise(size: int) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "HEIF"])
def test_every_format_comes_back_as_rgb(form: str, tmp_path: Path) -> None:
    if form not in readable_formats():
        pytest.skip(f"no decoder of {form} is installed")
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


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16", "F"])
def test_a_picture_of_many_rows_is_converted_like_one_of_few(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).integers(0, 256, (37, 20, 4), dtype=np.uint8)
    if mode in {"I;16", "F"}:
        picture = Image.fromarray((values[..., 0].astype(np.uint16) * 257).astype("f4" if mode == "F" else "u2"))
    else:
        picture = Image.fromarray(values, "RGBA").convert(mode)
    options = {"transparency": 3} if mode == "P" else {}
    content = encoded(picture, "TIFF" if mode == "F" else "PNG", **options)
    whole = np.asarray(read_picture(content))
    monkeypatch.setattr(reading, "_BAND", 60)
    np.testing.assert_array_equal(read_picture(content), whole)
    if mode == "RGBA":
        alpha = values[..., 3:] / 255
        np.testing.assert_allclose(whole, values[..., :3] * alpha + 255 * (1 - alpha), atol=1)
    if mode in {"I;16", "F"}:
        np.testing.assert_allclose(whole[..., 0], values[..., 0], atol=1)


def test_a_heic_says_which_extra_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "readable_formats", lambda: ("JPEG",))
    (tmp_path / "a.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(UnreadablePicture, match=r"pip install 'inkseek\[heic\]'"):
        read_picture(tmp_path / "a.HEIC")


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
    form = data.draw(st.sampled_from(readable_formats()))
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
    (tmp_path / "b" / "self.png").symlink_to("self.png")
    (tmp_path / "b" / "nowhere.png").symlink_to("gone.png")
    left_out: dict[str, str] = {}
    paths = find_pictures(tmp_path, lambda path, reason: left_out.update({path.name: reason}))
    found = [str(path.relative_to(tmp_path)) for path in paths]
    assert found == ["a.png", "ä ö\n.png", "b/1.jpg", "b/2.PNG"]
    assert list(left_out) == ["self.png"]
    assert list(find_pictures(tmp_path / "gone", lambda path, reason: left_out.update({path.name: reason}))) == []
    assert left_out["gone"] == "No such file or directory"


def test_a_picture_just_above_the_limit_says_how_large_it_is() -> None:
    with pytest.raises(UnreadablePicture, match="3 megapixels, more than the limit of 2"):
        read_picture(encoded(Image.new("1", (2000, 1500)), "PNG"), max_megapixels=2)
