"""What strangers may send: anything. No answer but those that the OpenAPI document promises, and never a hang."""

from __future__ import annotations

import io
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from PIL import Image

from inkseek.gallery.search import Gallery
from inkseek.server.app import create_app

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
checks = pytest.importorskip("schemathesis.specs.openapi.checks", reason="schemathesis is not installed")

SECONDS = 20.0
"""No upload may take longer, on a slow machine as well."""
MOST_MEMORY = 3 << 30
"""Bytes that hostile pictures may make this process grow by."""


def test_no_request_breaks_what_the_document_promises(
    gallery: Gallery, serving: Callable[..., AbstractContextManager[str]]
) -> None:
    promised = [
        schemathesis.checks.not_a_server_error,
        checks.status_code_conformance,
        checks.response_schema_conformance,
        checks.content_type_conformance,
    ]
    tried: Counter[str] = Counter()
    with serving(gallery) as address:
        # An event stream has no end to wait for; tests/server/test_status.py reads it.
        document = schemathesis.openapi.from_url(f"{address}openapi.json").exclude(path="/api/status")
        for found in document.get_all_operations():

            @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
            @given(case=found.ok().as_strategy())
            def ask(case: Any) -> None:
                tried[case.operation.label] += 1
                case.validate_response(case.call(timeout=SECONDS), checks=promised)

            ask()
    assert {"POST /api/search", "POST /api/feedback", "GET /api/thumbnails/{picture}"} <= set(tried)
    assert tried["POST /api/search"] >= 20


def a_picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((96, 64)).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


def bomb() -> bytes:
    """Return a PNG of a few kilobytes that claims, and holds, 30,000 x 30,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    side = (30_000).to_bytes(4, "big")
    rows = zlib.compress(bytes(1 << 20), 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", side + side + b"\x01\0\0\0\0")
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )


def mutated(count: int) -> Iterator[bytes]:
    """Yield pictures cut off, with bits flipped, with another format's head or tail, and with huge dimensions."""
    rng = np.random.default_rng(0)
    whole = [a_picture(kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")]
    for number in range(count):
        content = bytearray(whole[number % len(whole)])
        match number % 5:
            case 0:
                content = content[: rng.integers(0, len(content))]
            case 1:
                for place in rng.integers(0, len(content), rng.integers(1, 20)):
                    content[place] ^= 1 << int(rng.integers(0, 8))
            case 2:
                content = bytearray(whole[int(rng.integers(0, 6))][:24] + content + b"<script>alert(1)</script>")
            case 3:
                # Somewhere in the head stand the dimensions.
                place = int(rng.integers(0, min(64, len(content) - 4)))
                content[place : place + 4] = b"\x7f\xff\xff\xff"
            case _:
                content = bytearray(bomb() if number % 2 else rng.bytes(int(rng.integers(0, 5000))))
        yield bytes(content)


def peak_memory() -> int:
    """Return the most bytes that this process has held at once; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def upload_all(gallery: Gallery, count: int) -> None:
    client = TestClient(create_app(gallery), base_url="http://localhost")
    before = peak_memory()
    for number, content in enumerate(mutated(count)):
        domain = ("sketch", "photo")[number % 2]
        headers = {"content-type": "image/png"}
        answer = client.post("/api/search", params={"domain": domain}, content=content, headers=headers)
        assert answer.status_code in {200, 422}, number
        assert answer.elapsed.total_seconds() < SECONDS, number
        assert peak_memory() - before < MOST_MEMORY, number


def test_mutated_pictures_are_answered(gallery: Gallery) -> None:
    upload_all(gallery, 20)


@pytest.mark.soak
def test_many_mutated_pictures_are_answered(gallery: Gallery) -> None:
    upload_all(gallery, 500)


def test_a_picture_of_huge_dimensions_is_refused_before_it_is_decoded(gallery: Gallery) -> None:
    client = TestClient(create_app(gallery), base_url="http://localhost")
    answer = client.post("/api/search", content=bomb(), headers={"content-type": "image/png"})
    assert answer.status_code == 422
    assert "megapixels" in answer.json()["detail"]
