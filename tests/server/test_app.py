from __future__ import annotations

import base64
import io
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from inkseek.gallery.examples import Example
from inkseek.gallery.search import Gallery, open_gallery
from inkseek.images.strokes import draw_strokes
from inkseek.server import app as app_module
from inkseek.server import queries as queries_module
from inkseek.server.app import STATIC, create_app

CROSS = [[[0, 100], [0, 100]], [[0, 100], [100, 0]]]


@pytest.fixture(scope="module")
def client(gallery: Gallery) -> TestClient:
    return TestClient(create_app(gallery), base_url="http://localhost")


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def ask(client: TestClient, *examples: dict[str, Any], **options: Any) -> dict[str, Any]:
    answer = client.post("/api/search", json={"examples": examples, **options})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def send(client: TestClient, picture: bytes, **options: Any) -> dict[str, Any]:
    answer = client.post("/api/search", params=options, content=picture, headers={"content-type": "image/png"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def names(answer: dict[str, Any]) -> list[str]:
    return [hit["name"] for hit in answer["hits"]]


def test_strokes_find_what_the_library_finds(client: TestClient, gallery: Gallery) -> None:
    answer = ask(client, {"strokes": CROSS}, k=5)
    expected = gallery.search([([0, 100], [0, 100]), ([0, 100], [100, 0])], k=5)
    assert all(hit.path.name.startswith("cross") for hit in expected)
    for found, hit in zip(answer["hits"], expected, strict=True):
        assert found.pop("thumbnail").startswith(f"/api/thumbnails/{hit.id}?v=")
        assert found == {
            "id": hit.id,
            "name": hit.path.name,
            "path": str(hit.path),
            "score": pytest.approx(hit.score),
            "width": 240,
            "height": 220,
            "duplicates": [],
        }


def test_a_picture_of_the_drawing_finds_the_same(client: TestClient) -> None:
    picture = png(draw_strokes([([0, 100], [0, 100]), ([0, 100], [100, 0])]))
    assert names(send(client, picture, k=5)) == names(ask(client, {"strokes": CROSS}, k=5))


def test_a_wide_pen_counts(client: TestClient) -> None:
    thin = ask(client, {"strokes": CROSS}, k=1)["hits"][0]["score"]
    assert ask(client, {"strokes": CROSS, "widths": [1, 1]}, k=1)["hits"][0]["score"] == pytest.approx(thin)
    assert ask(client, {"strokes": CROSS, "widths": [4, 1]}, k=1)["hits"][0]["score"] != pytest.approx(thin)


def test_a_photo_finds_itself_and_then_more_like_it(client: TestClient, shapes: Path) -> None:
    answer = send(client, (shapes / "cross-3.png").read_bytes(), k=1, domain="photo")
    hit = answer["hits"][0]
    assert hit["name"] == "cross-3.png"
    similar = names(ask(client, {"picture": hit["id"]}, k=3))
    assert len(similar) == 3
    assert "cross-3.png" not in similar
    assert similar[0].startswith("cross")
    # What a picture was for the model need not be sent again.
    assert names(ask(client, {"query": answer["query"]}, k=4)) == ["cross-3.png", *similar]


def test_examples_count_by_their_weights(client: TestClient, gallery: Gallery) -> None:
    circle, cross = id_of(gallery, "circle-3.png"), id_of(gallery, "cross-3.png")
    towards = ask(client, {"picture": circle}, {"picture": cross, "weight": 0.01}, k=1)
    assert names(towards)[0].startswith("circle")
    towards = ask(client, {"picture": circle, "weight": 0.01}, {"picture": cross}, k=1)
    assert names(towards)[0].startswith("cross")
    expected = gallery.search([Example(circle), Example(cross, weight=-0.5)], k=21)
    answer = ask(client, {"picture": circle}, {"picture": cross, "weight": -0.5}, k=19)
    assert [hit["id"] for hit in answer["hits"]] == [hit.id for hit in expected if hit.id not in {circle, cross}]


def test_thumbs_move_the_query_and_nothing_is_kept(client: TestClient, gallery: Gallery) -> None:
    before = ask(client, {"strokes": CROSS}, k=21)
    liked, disliked = before["hits"][10]["id"], before["hits"][0]["id"]
    body = {"examples": [{"strokes": CROSS}], "k": 21, "up": [liked], "down": [disliked]}
    after = client.post("/api/feedback", json=body).json()
    order = [hit["id"] for hit in after["hits"]]
    assert order.index(liked) < 10
    assert order.index(disliked) > 0
    query = gallery.embed([(draw_strokes([([0, 100], [0, 100]), ([0, 100], [100, 0])]), "sketch")])[0]
    up, down = (gallery.store.vector(i) for i in (liked, disliked))
    assert up is not None
    assert down is not None
    moved = query + 0.75 * up - 0.15 * down
    expected = moved @ up / np.linalg.norm(moved)
    assert after["hits"][order.index(liked)]["score"] == pytest.approx(expected, abs=1e-5)
    # The query is the one that was asked, so that thumbs are counted once.
    assert after["query"] == before["query"]
    assert ask(client, {"strokes": CROSS}, k=21) == before
    assert client.post("/api/feedback", json={**body, "up": [9999]}).status_code == 404


def test_only_what_passes_the_filters(shapes: Path, frozen_bundle: Path, tmp_path: Path) -> None:
    for folder, shape in (("a", "cross-1.png"), ("a/deep", "cross-2.png"), ("b", "cross-3.png"), ("b", "scan.tif")):
        (tmp_path / "own" / folder).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shapes / shape, tmp_path / "own" / folder / shape)
    os.utime(tmp_path / "own" / "b" / "cross-3.png", (0, 0))
    gallery = open_gallery(tmp_path / "g.db")
    gallery.add(tmp_path / "own", frozen_bundle)
    gallery.add(tmp_path / "own" / "a", frozen_bundle)
    client = TestClient(create_app(gallery), base_url="http://localhost")
    folders = {folder["name"]: folder for folder in client.get("/api/folders").json()}
    assert {name: folder["count"] for name, folder in folders.items()} == {
        "own": 4,
        "own/a": 2,
        "own/a/deep": 1,
        "own/b": 2,
    }
    cross = {"strokes": CROSS}

    def found(**options: Any) -> set[str]:
        return set(names(ask(client, cross, **options)))

    assert found() == {"cross-1.png", "cross-2.png", "cross-3.png", "scan.tif"}
    assert found(folder=folders["own/a"]["key"]) == {"cross-1.png", "cross-2.png"}
    assert found(folder=folders["own/a/deep"]["key"]) == {"cross-2.png"}
    assert found(older="2000-01-01T00:00:00Z") == {"cross-3.png"}
    assert found(newer="2000-01-01T00:00:00Z", min_side=41) == {"cross-1.png", "cross-2.png"}
    photo = (shapes / "cross-1.png").read_bytes()
    assert names(send(client, photo, domain="photo", folder=folders["own/b"]["key"]))[0] == "cross-3.png"
    assert client.post("/api/search", json={"examples": [cross], "folder": "0" * 16}).status_code == 404
    for options in (
        {"folder": "/etc"},
        {"older": "2000-01-01", "newer": "2001-01-01"},
        {"newer": "9999-12-31T23:59:59Z"},
    ):
        assert client.post("/api/search", json={"examples": [cross], **options}).status_code in {200, 422}


def test_where_the_cut_off_lies(client: TestClient, gallery: Gallery) -> None:
    answer = ask(client, {"strokes": CROSS}, k=21, cutoff=0.05)
    distances = [math.sqrt(2 - 2 * hit["score"]) for hit in answer["hits"]]
    assert answer["within"] == sum(d < distances[0] + 0.05 for d in distances)
    assert 0 < answer["within"] < 21
    assert ask(client, {"strokes": CROSS}, k=21, cutoff=2)["within"] == 21
    kept = gallery.search([([0, 100], [0, 100]), ([0, 100], [100, 0])], k=21, cutoff="auto")
    assert ask(client, {"strokes": CROSS}, k=21)["within"] == len(kept)


def test_near_duplicates_fold_when_asked(client: TestClient) -> None:
    folded = ask(client, {"strokes": CROSS}, k=21, collapse=True)["hits"]
    assert len(folded) + sum(len(hit["duplicates"]) for hit in folded) == 21
    assert len(folded) < 21


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


def test_a_thumbnail_of_a_known_version_is_kept_for_good(client: TestClient, gallery: Gallery) -> None:
    address = ask(client, {"strokes": CROSS}, k=1)["hits"][0]["thumbnail"]
    assert client.get(address).headers["cache-control"] == "private, max-age=31536000, immutable"
    for other in (address.partition("?")[0], address[:-1] + "x"):
        assert client.get(other).headers["cache-control"] == "private, no-cache"


def test_what_browsers_cannot_show_becomes_a_jpeg(client: TestClient, gallery: Gallery) -> None:
    answer = client.get(f"/api/pictures/{id_of(gallery, 'scan.tif')}")
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (60, 40)


@pytest.mark.parametrize("path", ["pictures/9999", "thumbnails/9999"])
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


def post(client: TestClient, body: object, path: str = "/api/search") -> tuple[int, str]:
    answer = client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    return answer.status_code, answer.json().get("detail", "")


@pytest.mark.parametrize(
    ("example", "what"),
    [
        ({"strokes": []}, "draw at least one stroke"),
        ({"strokes": [[[], []]]}, "draw at least one stroke"),
        ({"strokes": [[[1, 2], [1]]]}, "as many x as y"),
        ({"strokes": [[[0, float("nan")], [0, 1]]]}, "finite"),
        ({"strokes": [[[-1e308, 1e308], [0, 1]]]}, "too far apart"),
        ({"strokes": "x"}, "strokes"),
        ({"strokes": CROSS, "widths": [1]}, "1 widths for 2 strokes"),
        ({"strokes": CROSS, "widths": [1, 0]}, "width"),
        ({"strokes": CROSS, "weight": 0}, "weight"),
        ({"strokes": CROSS, "picture": 1}, "one of strokes, picture, query"),
        ({"picture": 1, "widths": [1]}, "widths"),
        ({}, "one of strokes, picture, query"),
        ({"query": "made up"}, "another model"),
        ({"strokes": CROSS, "path": "/etc/passwd"}, "path"),
        ("x", "examples.0"),
    ],
)
def test_an_example_that_is_none_is_a_kind_message(client: TestClient, example: object, what: str) -> None:
    for path in ("/api/search", "/api/feedback"):
        status, detail = post(client, {"examples": [example]}, path)
        assert status == 422
        assert what in detail
        assert "\n" not in detail


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"examples": []}, "examples"),
        ({"examples": [{"strokes": CROSS}] * 17}, "examples"),
        ({"examples": [{"picture": 1}, {"picture": 1, "weight": -1}]}, "cancel"),
        ({"examples": [{"strokes": CROSS}], "k": 0}, "k:"),
        ({"examples": [{"strokes": CROSS}], "k": 10**9}, "k:"),
        ({"examples": [{"strokes": CROSS}], "cutoff": -1}, "cutoff"),
        ([], "object"),
    ],
)
def test_a_search_that_is_none_is_a_kind_message(client: TestClient, body: object, what: str) -> None:
    status, detail = post(client, body)
    assert status == 422
    assert what in detail


def test_a_query_of_an_answer_cannot_be_made_up(client: TestClient, gallery: Gallery) -> None:
    query = ask(client, {"strokes": CROSS}, k=1)["query"]
    mark = query.partition(".")[0]
    vectors = (np.zeros(gallery.record.dim), np.full(gallery.record.dim, np.nan), np.ones(3) / 3**0.5)
    texts = [base64.urlsafe_b64encode(vector.astype("<f4").tobytes()).decode() for vector in vectors]
    for text in (*texts, "%", query.partition(".")[2][:-5], ""):
        assert post(client, {"examples": [{"query": f"{mark}.{text}"}]})[0] == 422
    assert post(client, {"examples": [{"query": "0" * 12 + query[12:]}]})[0] == 422


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
    monkeypatch.setattr(queries_module, "MOST_MEGAPIXELS", 0.001)
    answer = client.post("/api/search", content=png(Image.new("1", (60, 60))), headers={"content-type": "image/png"})
    assert answer.status_code == 422
    assert "megapixels" in answer.json()["detail"]


STROKES = st.lists(st.tuples(*[st.lists(st.floats(allow_nan=True) | st.integers(), max_size=6)] * 2), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries({"strokes": STROKES | JSON}, optional={"widths": JSON, "weight": JSON}),
    st.fixed_dictionaries({}, optional={"k": st.integers() | JSON, "folder": st.text(), "newer": st.text() | JSON}),
)
def test_any_json_is_answered(client: TestClient, example: dict[str, Any], options: dict[str, Any]) -> None:
    status, detail = post(client, {"examples": [example], **options})
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
