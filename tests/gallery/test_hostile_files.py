"""Files that are torn, flipped, two things at once, or claim to be huge: each is indexed or listed with its reason.

They go through `Gallery.add` in a process of its own, whose time and peak memory are measured.
"""

from __future__ import annotations

import io
import json
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkseek.gallery.search import open_gallery
from inkseek.images.reading import readable_formats
from inkseek.models.bundle import Model

Draw = Callable[[Path, int], list[Path]]
Mutation = Callable[[bytearray, str, random.Random], bytes]

# The limit of 100 megapixels for one picture, at the 18 bytes a pixel that the hungriest decoder takes.
MOST_BYTES = 1_800_000_000
SECONDS_EACH, SECONDS_ALL = 2.0, 120.0

INDEXER = """
import json, sys, time
from pathlib import Path
from inkseek.gallery.search import open_gallery

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name + ":"))

gallery = open_gallery(sys.argv[1])
gallery.search([([0, 1], [0, 1])], k=1)
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
report = gallery.add(sys.argv[2])
left_out = {file.path.name: file.reason for file in report.unreadable}
print(json.dumps({"left_out": left_out, "found": report.found, "grown": status("VmHWM") - before}))
"""


def truncated(content: bytearray, _form: str, chance: random.Random) -> bytes:
    return bytes(content[: chance.randrange(len(content))])


def flipped(content: bytearray, _form: str, chance: random.Random) -> bytes:
    # In the head more often than not, where sizes and offsets are.
    for _ in range(chance.randrange(1, 12)):
        content[chance.randrange(min(len(content), chance.choice((64, 1 << 20))))] ^= 1 << chance.randrange(8)
    return bytes(content)


def polyglot(content: bytearray, _form: str, chance: random.Random) -> bytes:
    other = chance.choice((b"<script>alert(1)</script>", b"PK\3\4" + bytes(40), b"%PDF-1.4\n", b"%!PS-Adobe-3.0\n"))
    return bytes(content + other) if chance.random() < 0.5 else bytes(other + content)


def huge(content: bytearray, form: str, chance: random.Random) -> bytes:
    """Claim 36 to 3,600 megapixels in the head, and hold what a small picture holds."""
    side = chance.choice((6_000, 9_900, 20_000, 60_000))
    if form == "PNG":
        content[16:24] = struct.pack(">II", side, side)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    elif form == "JPEG":
        frame = content.index(b"\xff\xc0")
        content[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    elif form == "GIF":
        content[6:10] = struct.pack("<HH", side, side)
        frame = content.index(b",", 13 + 3 * 256)
        content[frame + 5 : frame + 9] = struct.pack("<HH", side, side)
    elif form == "BMP":
        content[18:26] = struct.pack("<ii", side, side)
    elif form == "TIFF":
        stream = io.BytesIO()
        Image.new("L", (20, 20)).save(stream, "TIFF", tiffinfo={256: side, 257: side})
        return stream.getvalue()
    return bytes(content)


def whole_and_large(_content: bytearray, _form: str, _chance: random.Random) -> bytes:
    """Nothing is wrong with 95 megapixels that fit into 100 kB, but decoding them costs the most there is."""
    stream = io.BytesIO()
    Image.new("LA", (9_700, 9_800), (90, 128)).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


KINDS: tuple[Mutation, ...] = (truncated, flipped, polyglot, huge)


def picture(form: str, chance: random.Random) -> bytearray:
    values = np.random.default_rng(chance.randrange(2**32)).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    image = Image.fromarray(values)
    options: dict[str, object] = {}
    if form == "JPEG":
        options = {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0", "progressive": False}
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return bytearray(stream.getvalue())


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read as Linux tells it")
@pytest.mark.parametrize("count", [20, pytest.param(500, marks=pytest.mark.soak)])
def test_no_file_stops_indexing(count: int, tmp_path: Path, draw: Draw, frozen_model: Model) -> None:
    folder, chance = tmp_path / "pictures", random.Random(count)
    good = draw(folder, 2)
    gallery = open_gallery(tmp_path / "g.db")
    gallery.add(folder, frozen_model)
    for i in range(count):
        mutate = KINDS[i % len(KINDS)] if i else whole_and_large
        form = chance.choice(readable_formats())
        (folder / f"{i}-{mutate.__name__}.{form.lower().replace('heif', 'heic')}").write_bytes(
            mutate(picture(form, chance), form, chance)
        )
    command = [sys.executable, "-c", INDEXER, str(gallery.path), str(folder)]
    limit = SECONDS_ALL + SECONDS_EACH * count
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=limit)
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["found"] == count + len(good)
    held = {picture.path.name for picture in gallery.store.pictures(gallery.store.ids().tolist())}
    assert held.isdisjoint(told["left_out"])
    assert held | set(told["left_out"]) == {path.name for path in folder.iterdir()}
    assert held >= {path.name for path in good} | {"0-whole_and_large." + next(folder.glob("0-*")).suffix[1:]}
    assert all(reason and reason.isprintable() for reason in told["left_out"].values())
    assert len(told["left_out"]) >= count // 3
    assert told["grown"] < MOST_BYTES
    # Those left out are looked at again, those held are not.
    report = gallery.add(folder)
    assert (report.unchanged, report.embedded) == (len(held), 0)
    assert {file.path.name for file in report.unreadable} == set(told["left_out"])
