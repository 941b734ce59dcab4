"""A gallery on a port: bind first, warm the model, then answer."""

from __future__ import annotations

import errno
import os
import socket
import sys
import webbrowser
from collections.abc import Callable
from urllib.parse import quote

import uvicorn

from inkseek.errors import InkseekError
from inkseek.gallery.search import Gallery
from inkseek.server.app import create_app
from inkseek.server.security import check_token

MOST_CONNECTIONS = 512
"""Connections held at once; further ones are answered 503."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on host and port; port 0 takes a free one.

    Raises:
        InkseekError: the port is in use or not allowed, or the host is none of this machine's.
    """
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        if os.name == "posix":
            # On Windows this would let two servers share a port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        if listener is not None:
            listener.close()
        if error.errno == errno.EADDRINUSE:
            what = (
                f"port {port} on {host} is in use; stop what runs there, or take another with --port (0: any free one)"
            )
        elif error.errno == errno.EACCES:
            what = f"port {port} on {host} is not allowed; take one above 1023 with --port"
        else:
            reason = error.strerror or error
            what = f"cannot listen on {host}:{port} ({reason}); give an address of this machine with --host"
        raise InkseekError(what) from error
    return listener


def url_of(listener: socket.socket, host: str, token: str | None = None) -> str:
    """Return the page's address as a browser on this machine can open it."""
    port = listener.getsockname()[1]
    name = "localhost" if host in {"0.0.0.0", "::", ""} else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={quote(token, safe='')}" if token else "")


def serve(
    gallery: Gallery,
    host: str = "127.0.0.1",
    port: int = 8765,
    *,
    token: str | None = None,
    ready: Callable[[str], None] = print,
) -> None:
    """Serve a gallery's page and API until interrupted.

    Args:
        gallery: must hold a model.
        host: the address to listen on; anything but this machine's own loopback needs a token.
        port: 0 takes a free one.
        token: the secret that every request must then carry.
        ready: called with the page's address once it can be opened.

    Raises:
        InkseekError: port in use, no token where one is needed, or a gallery without a model.
    """
    check_token(host, token)
    with listen(host, port) as listener:
        # A first search loads the model and the vectors, so that the first stroke does not wait for them.
        gallery.search([([0, 1], [0, 1])], k=1)
        app = create_app(gallery, token=token, hosts=[host], stopping=lambda: server.should_exit)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=3,
        )
        server = uvicorn.Server(config)
        ready(url_of(listener, host, token))
        server.run(sockets=[listener])


def open_page(url: str) -> None:
    """Open the page in the user's browser where there is a screen."""
    if sys.platform in {"darwin", "win32"} or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(url)
