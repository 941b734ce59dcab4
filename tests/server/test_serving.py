from __future__ import annotations

import socket
from pathlib import Path

import pytest

from inkseek.errors import InkseekError
from inkseek.gallery.search import open_gallery
from inkseek.server.serving import listen, serve, url_of


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InkseekError, match=rf"port {port} on 127.0.0.1 is in use; .* --port"):
            listen("127.0.0.1", port)


def test_an_address_that_is_not_here() -> None:
    with pytest.raises(InkseekError, match="--host"):
        listen("192.0.2.1", 0)
    with pytest.raises(InkseekError, match="--host"):
        listen("no such name.invalid", 0)


def test_port_0_takes_a_free_one_and_the_address_can_be_opened() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert port > 0
        assert url_of(listener, "127.0.0.1") == f"http://127.0.0.1:{port}/"
        assert url_of(listener, "0.0.0.0", "a/b c") == f"http://localhost:{port}/?token=a%2Fb%20c"
        assert url_of(listener, "::1") == f"http://[::1]:{port}/"


def test_what_cannot_be_served(tmp_path: Path, gallery_path: Path) -> None:
    with pytest.raises(InkseekError, match="inkseek demo"):
        serve(open_gallery(tmp_path / "none.db"), port=0)
    with pytest.raises(InkseekError, match="--token"):
        serve(open_gallery(gallery_path), host="0.0.0.0", port=0)
