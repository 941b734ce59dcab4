from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from inkseek.gallery.search import Gallery, open_gallery
from inkseek.images.strokes import draw_strokes
from inkseek.server import app as app_module
from inkseek.server.app import STATIC, create_app

CROSS = [[[0, 100], [0, 100]], [[0, 100], [100, 0]]]


@pytest.fixture(scope="module")
def client(gallery: Gallery) -> TestClient:
    return TestClient(create_app(gallery), base_url="http://localhost")


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def test_strokes_find_what_the_library_finds(client: TestClient, gallery: Gallery) -> None:
    answer = client.post("/api/search", json={"strokes": CROSS, "k": 5, "domain": "sketch"})
    assert answer.status_code == 200
    expected = gallery.search([([0, 100], [0, 100]), ([0, 100], [100, 0])], k=5)
    assert answer.json()["hits"] == [
        {
            "id": h.id,
            "name": h.path.name,
            "path": str(h.path),
            "score": pytest.approx(h.score),
            "width": 240,
            "height": 220,
        }
        for h in expected
    ]
    assert all(hit.path.name.startswith("cross") for hit in expected)


def test_a_picture_of_the_drawing_finds_the_same(client: TestClient) -> None:
    drawn = client.post("/api/search", json={"strokes": CROSS, "k": 5}).json()
    picture = png(draw_strokes([([0, 100], [0, 100]), ([0, 100], [100, 0])]))
    sent = client.post("/api/search?k=5", content=picture, headers={"content-type": "image/png"}).json()
    assert [hit["id"] for hit in sent["hits"]] == [hit["id"] for hit in drawn["hits"]]


def test_a_photo_finds_itself_and_then_more_like_it(client: TestClient, shapes: Path) -> None:
    photo = (shapes / "cross-3.png").read_bytes()
    hit = client.post("/api/search?k=1&domain=photo", content=photo, headers={"content-type": "image/png"}).json()[
        "hits"
    ][0]
    assert hit["name"] == "cross-3.png"
    similar = client.get(f"/api/pictures/{hit['id']}/similar?k=3").json()["hits"]
    assert len(similar) == 3
    assert hit["id"] not in [other["id"] for other in similar]
    assert similar[0]["name"].startswith("cross")


def test_the_gallery_says_what_it_is(client: TestClient, gallery: Gallery) -> None:
    assert client.get("/api/gallery").json() == {
        "name": "shapes.db",
        "count": 21,
        "model": "frozen",
        "fingerprint": gallery.record.fingerprint[:12],
        "attributions": ["Shapes by Ann, CC BY 4.0"],
    }
    assert client.get("/healthz").json() == {"status": "ok"}


def id_of(gallery: Gallery, name: str) -> int:
    return next(p.id for p in gallery.store.pictures(gallery.store.ids().tolist()) if p.path.name == name)


def test_pictures_and_thumbnails_by_id(client: TestClient, gallery: Gallery, shapes: Path) -> None:
    picture = id_of(gallery, "cross-3.png")
    full = client.get(f"/api/pictures/{picture}")
    assert full.headers["content-type"] == "image/png"
    assert full.content == (shapes / "cross-3.png").read_bytes()
    small = client.get(f"/api/thumbnails/{picture}")
    assert small.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(small.content)).size == (240, 220)
    for url, answer in ((f"/api/pictures/{picture}", full), (f"/api/thumbnails/{picture}", small)):
        again = client.get(url, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(url, headers={"if-none-match": '"other"'}).status_code == 200


def test_what_browsers_cannot_show_becomes_a_jpeg(client: TestClient, gallery: Gallery) -> None:
    answer = client.get(f"/api/pictures/{id_of(gallery, 'scan.tif')}")
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (60, 40)


@pytest.mark.parametrize("path", ["pictures/9999", "thumbnails/9999", "pictures/9999/similar"])
def test_no_such_picture(client: TestClient, path: str) -> None:
    answer = client.get(f"/api/{path}")
    assert answer.status_code == 404
    assert "no picture 9999" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["0", "-1", "x", str(2**63), "..%2f..%2fetc%2fpasswd"])
def test_an_id_is_a_number_and_never_a_path(client: TestClient, path: str) -> None:
    assert client.get(f"/api/pictures/{path}").status_code in {404, 422}
    assert client.get(f"/api/thumbnails/{path}").status_code in {404, 422}


def test_a_file_that_changed_since_is_not_shown(shapes: Path, frozen_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    shutil.copyfile(shapes / "cross-1.png", folder / "a.png")
    shutil.copyfile(shapes / "cross-2.png", folder / "b.png")
    gallery = open_gallery(tmp_path / "g.db")
    gallery.add(folder, frozen_bundle)
    client = TestClient(create_app(gallery), base_url="http://localhost")
    (folder / "a.png").write_text("something else, and private")
    (folder / "b.png").unlink()
    for picture in (1, 2):
        answer = client.get(f"/api/pictures/{picture}")
        assert answer.status_code == 410
        assert "index again" in answer.json()["detail"]
        assert client.get(f"/api/thumbnails/{picture}").status_code == 200


def post(client: TestClient, body: object) -> tuple[int, str]:
    answer = client.post("/api/search", content=json.dumps(body), headers={"content-type": "application/json"})
    return answer.status_code, answer.json().get("detail", "")


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"strokes": []}, "draw at least one stroke"),
        ({"strokes": [[[], []]]}, "draw at least one stroke"),
        ({"strokes": [[[1, 2], [1]]]}, "as many x as y"),
        ({"strokes": [[[0, float("nan")], [0, 1]]]}, "finite"),
        ({"strokes": [[[-1e308, 1e308], [0, 1]]]}, "too far apart"),
        ({"strokes": "x"}, "strokes"),
        ({"strokes": CROSS, "k": 0}, "k:"),
        ({"strokes": CROSS, "k": 10**9}, "k:"),
        ({"strokes": CROSS, "domain": "text"}, "domain"),
        ({"strokes": CROSS, "path": "/etc/passwd"}, "path"),
        ([], "object"),
    ],
)
def test_a_drawing_that_is_none_is_a_kind_message(client: TestClient, body: object, what: str) -> None:
    status, detail = post(client, body)
    assert status == 422
    assert what in detail
    assert "\n" not in detail


@pytest.mark.parametrize(
    ("content", "kind", "status", "what"),
    [
        (b"{", "application/json", 422, "JSON"),
        (b"", "application/json", 422, "JSON"),
        (b"no picture", "image/png", 422, "not a picture"),
        (b"", "image/jpeg", 422, ""),
        (png(Image.new("RGB", (80, 80), "white")), "image/png", 422, "blank"),
        (png(Image.new("RGB", (80, 80), "white"))[:60], "image/png", 422, ""),
        (b"strokes=1", "application/x-www-form-urlencoded", 415, "application/json"),
        (b"x", "text/plain", 415, "application/json"),
    ],
)
def test_bodies_that_are_no_query(client: TestClient, content: bytes, kind: str, status: int, what: str) -> None:
    answer = client.post("/api/search", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert what in answer.json()["detail"]


def test_sizes_are_limited(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "MOST_PICTURE_BYTES", 1 << 20)
    answer = client.post("/api/search", content=b"x" * ((1 << 20) + 1), headers={"content-type": "image/png"})
    assert (answer.status_code, answer.json()["detail"]) == (413, "more than 1 MB; send a smaller drawing or picture")
    monkeypatch.setattr(app_module, "MOST_MEGAPIXELS", 0.001)
    answer = client.post("/api/search", content=png(Image.new("1", (60, 60))), headers={"content-type": "image/png"})
    assert answer.status_code == 422
    assert "megapixels" in answer.json()["detail"]


STROKES = st.lists(st.tuples(*[st.lists(st.floats(allow_nan=True) | st.integers(), max_size=6)] * 2), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({"strokes": STROKES | JSON}, optional={"k": st.integers() | JSON, "domain": st.text()}))
def test_any_json_is_answered(client: TestClient, body: dict[str, Any]) -> None:
    status, detail = post(client, body)
    assert status in {200, 422}
    assert status == 200 or detail


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damaged_picture_is_answered(client: TestClient, data: st.DataObject) -> None:
    whole = bytearray(png(Image.radial_gradient("L").resize((40, 40))))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    answer = client.post("/api/search", content=bytes(whole[:cut]), headers={"content-type": "image/png"})
    assert answer.status_code in {200, 422}


def test_the_page_is_whole_and_asks_for_nothing_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for file in STATIC.iterdir():
        answer = client.get(f"/static/{file.name}")
        assert answer.status_code == 200
        # The SVG namespace is a name, not an address.
        assert "http" not in answer.text.replace("http://www.w3.org/2000/svg", "")
    assert "style=" not in page.text
    assert "onclick" not in page.text
    for script in STATIC.glob("*.js"):
        assert "innerHTML" not in script.read_text(encoding="utf-8")
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404
