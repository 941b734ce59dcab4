from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from inkseek.errors import InkseekError
from inkseek.gallery.search import Gallery
from inkseek.server.app import create_app
from inkseek.server.security import check_token, is_loopback

TOKEN = "a secret of some length"


@pytest.fixture(scope="module")
def local(gallery: Gallery) -> TestClient:
    return TestClient(create_app(gallery), base_url="http://localhost")


@pytest.fixture
def private(gallery: Gallery) -> TestClient:
    return TestClient(create_app(gallery, token=TOKEN, hosts=["pictures.example"]), base_url="http://localhost")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8765", "127.0.0.1:8765", "127.8.9.1", "[::1]:8765"])
def test_this_machines_names_are_answered(local: TestClient, host: str) -> None:
    assert local.get("/api/gallery", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "192.168.0.7:8765", "127.0.0.1.evil.example", "", "local host", "a:b"],
)
@pytest.mark.parametrize("path", ["/", "/api/gallery", "/api/thumbnails/1", "/static/app.js", "/healthz"])
def test_a_name_that_was_made_to_point_here_is_not(local: TestClient, host: str, path: str) -> None:
    answer = local.get(path, headers={"host": host})
    assert answer.status_code == 421
    assert "localhost" in answer.text


def test_two_hosts_are_none(local: TestClient) -> None:
    assert local.get("/", headers=[("host", "localhost"), ("host", "evil.example")]).status_code == 421


@pytest.mark.parametrize("path", ["/", "/api/gallery", "/static/app.js", "/api/pictures/1", "/openapi.json", "/none"])
def test_every_answer_tells_the_browser_to_be_strict(local: TestClient, private: TestClient, path: str) -> None:
    for client in (local, private):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "cache-control" in headers
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", ["/", "/api/gallery", "/static/app.js", "/api/thumbnails/1", "/openapi.json"])
def test_without_the_token_nothing_is_shown(private: TestClient, path: str) -> None:
    wrong: list[dict[str, str]] = [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer " + TOKEN[:-1]},
        {"authorization": "Bearer"},
        {"cookie": f"inkseek-80={TOKEN}"},
        {"cookie": "inkseek-80=; ;;=\x7f"},
    ]
    for headers in wrong:
        answer = private.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in answer.text
    assert private.get("/healthz").status_code == 200
    assert private.get("/?token=wrong").status_code == 401
    assert private.get(f"/api/gallery?token={TOKEN}").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},  # another port of this machine
        {"origin": "http://localhost:3000"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
    ],
)
def test_other_sites_pages_may_not_ask(local: TestClient, headers: dict[str, str]) -> None:
    for path in ("/api/gallery", "/api/status", "/api/thumbnails/1", "/static/app.js"):
        assert local.get(path, headers=headers).status_code == 403
    body = {"examples": [{"picture": 1}]}
    assert local.post("/api/search", json=body, headers=headers).status_code == 403


def test_the_page_itself_may_ask_and_others_may_link_to_it(local: TestClient) -> None:
    assert local.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}).status_code == 200
    for headers in (
        {"sec-fetch-site": "same-origin", "origin": "http://localhost"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
    ):
        assert local.get("/api/gallery", headers=headers).status_code == 200


def test_no_other_site_is_let_in_by_cors(local: TestClient) -> None:
    asked = {"origin": "http://localhost", "access-control-request-method": "POST"}
    answer = local.options("/api/search", headers=asked)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_the_token_in_a_header(private: TestClient) -> None:
    assert private.get("/api/gallery", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert private.get("/api/gallery", headers={"authorization": f"bearer {TOKEN}"}).status_code == 200


def test_a_visit_with_the_token_is_given_a_cookie(private: TestClient) -> None:
    page = private.get("/", params={"token": TOKEN})
    assert page.status_code == 200
    cookie = page.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert private.get("/api/gallery").status_code == 200
    assert private.get("/").status_code == 200
    private.cookies.clear()
    assert private.get("/api/gallery").status_code == 401


def test_with_a_token_addresses_and_given_names_are_answered(private: TestClient) -> None:
    for host, status in (("192.168.0.7:8765", 401), ("pictures.example", 401), ("evil.example", 421)):
        assert private.get("/api/gallery", headers={"host": host}).status_code == status


def test_where_others_can_reach_it_a_token_is_needed() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.9.9.9"):
        assert is_loopback(host)
        check_token(host, None)
    for host in ("0.0.0.0", "::", "192.168.0.7", "example.org", ""):
        assert not is_loopback(host)
        check_token(host, TOKEN)
        with pytest.raises(InkseekError, match="--token"):
            check_token(host, None)
    with pytest.raises(InkseekError, match="at least 16"):
        check_token("127.0.0.1", "short")
