"""Who may ask: the Host header, the token, and what a browser is told not to do with the answers."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import socket
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inkseek.errors import InkseekError

LEAST_TOKEN = 16
_OPEN_PATHS = frozenset({"/healthz"})
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::\d{1,5})?")

_HEADERS = {
    # Nothing but this server's own scripts, styles and pictures; no inline code, so a file's name can never become one.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # The page's address may hold the token.
    "Referrer-Policy": "no-referrer",
    # Without this any web page could show this machine's pictures by their address.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to this host."""
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def check_token(host: str, token: str | None) -> None:
    """Require a token worth the name where others can reach the server.

    Raises:
        InkseekError: the host is not a loopback address and there is no token, or the token is short.
    """
    if token is None and not is_loopback(host):
        raise InkseekError(
            f"others can reach a server on {host}: give a secret of {LEAST_TOKEN} characters or more with --token "
            "(or INKSEEK_TOKEN), or leave --host out to stay on this machine"
        )
    if token is not None and len(token) < LEAST_TOKEN:
        raise InkseekError(f"the token has {len(token)} characters; a secret needs at least {LEAST_TOKEN}")


class Guard:
    """ASGI middleware in front of the application.

    - The Host header must be a name of this machine. Otherwise a web page whose name is made to resolve to 127.0.0.1
      (DNS rebinding) could read the gallery through its visitor's browser. With a token, any IP address is accepted as
      well: rebinding needs a name, and the cookie is bound to the host it was given for.
    - A browser says from which site a request comes (Sec-Fetch-Site, Origin). Other sites' pages, and those of other
      ports of this machine, may link to the page and no more: they could not read the answers anyway, but they could
      keep the server busy, and a cookie does not know ports.
    - With a token, every request but `/healthz` must carry it: `Authorization: Bearer TOKEN`, or the cookie that a
      visit of `/?token=TOKEN` is given. The cookie exists because pictures cannot send a header; it holds a digest.

    Args:
        app: the application.
        token: the secret, if one is required.
        hosts: further names under which the server may be addressed.
    """

    def __init__(self, app: ASGIApp, *, token: str | None = None, hosts: Iterable[str] = ()) -> None:
        self.app = app
        self._token = None if token is None else token.encode()
        self._cookie = "" if token is None else hmac.new(token.encode(), b"inkseek cookie", hashlib.sha256).hexdigest()
        self._hosts = {"localhost", *(host.lower() for host in hosts)}
        if token is not None:
            self._hosts.add(socket.gethostname().lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what may not pass; add the headers to everything."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            # There are no web sockets here; closing before accepting refuses them.
            await send({"type": "websocket.close"})
            return
        headers = Headers(scope=scope)
        visit = self._is_visit_with_token(scope)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer[name] = value
                answer.setdefault("Cache-Control", "no-cache")
                if visit:
                    limits = "HttpOnly; SameSite=Strict; Path=/" + "; Secure" * (scope["scheme"] == "https")
                    answer.append("Set-Cookie", f"{_cookie_name(scope)}={self._cookie}; {limits}")
            await send(message)

        allowed = visit or scope["path"] in _OPEN_PATHS or self._has_token(scope, headers)
        refusal: Response | None = None
        if not self._is_our_name(headers.getlist("host")):
            refusal = _refusal(scope, 421, "This server does not answer to that name; open it as localhost.")
        elif not allowed:
            refusal = _refusal(
                scope,
                401,
                "This gallery is private: open the link that ends in ?token=..., "
                "or send the header `Authorization: Bearer TOKEN`.",
            )
            refusal.headers["WWW-Authenticate"] = "Bearer"
        elif _is_from_elsewhere(scope, headers):
            refusal = _refusal(scope, 403, "Another site's page may not ask this server; open its own page.")
        await (self.app if refusal is None else refusal)(scope, receive, with_headers)

    def _is_our_name(self, values: list[str]) -> bool:
        match = _HOST.fullmatch(values[0].strip()) if len(values) == 1 else None
        if match is None:
            return False
        name = match[1].strip("[]").lower()
        if name in self._hosts:
            return True
        address = _address(name)
        return address is not None and (address.is_loopback or self._token is not None)

    def _is_visit_with_token(self, scope: Scope) -> bool:
        if self._token is None or scope["path"] != "/":
            return False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return hmac.compare_digest(given.encode(), self._token)

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        if self._token is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), self._token):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_cookie_name(scope))
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self._cookie.encode())


def _cookie_name(scope: Scope) -> str:
    # A browser sends the cookies of one port to all: two galleries on one machine must not overwrite each other's.
    server = scope.get("server")
    return f"inkseek-{server[1]}" if server else "inkseek"


def _is_from_elsewhere(scope: Scope, headers: Headers) -> bool:
    if scope["path"] == "/" and headers.get("sec-fetch-mode", "navigate") == "navigate":
        return False
    if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        return True
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").strip().lower()


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _refusal(scope: Scope, status: int, why: str) -> Response:
    if scope["path"].startswith("/api/"):
        return JSONResponse({"detail": why}, status)
    return PlainTextResponse(why + "\n", status)
