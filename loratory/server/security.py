"""The guard before everything: who is let in, from where, and what browsers may do with the answers.

It stands before every route, file and socket, so that none of them can forget to ask. What it decides:

1. Whoever reaches an address of this machine itself may do everything, unless the request came through a proxy.
   All others need the token: as a cookie, which `?token=` in an address or the login makes, or as a bearer.
2. A page of another site may change nothing, open no socket and embed nothing, whatever the browser adds.
3. Answers are not kept, not guessed at, not framed, and run no script but the app's own.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loratory.server.access import LOGIN, How, binds_loopback
from loratory.server.bodies import limited, most_bytes, too_large
from loratory.server.context import Context
from loratory.server.origins import came_through_proxy, is_foreign_embedding, is_foreign_page, is_https
from loratory.server.pages import login_page
from loratory.server.problems import problem

log = logging.getLogger(__name__)

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_FORMS = ("application/x-www-form-urlencoded", "text/plain")

APP_POLICY = (
    "default-src 'self'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
_HEADERS = {
    "content-security-policy": DATA_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Admitted:
    """How a request was let in, for routes: `request.scope["admitted"]`."""

    how: How
    peer: str
    https: bool


class Guard:
    """The ASGI application before the application."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app, self.context, self.gate = app, context, context.gate
        self.root = context.options.root_path
        self.loopback = binds_loopback(context.options.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope = self._below_root(scope)
        headers = Headers(scope=scope)
        answer = self._refusal(scope, headers)
        most = most_bytes(self._route(scope))
        if answer is None and most is not None:
            answer, receive = too_large(headers, most), limited(receive, most)
        if answer is None:
            await self.app(scope, receive, _with_headers(send))
        else:
            await _answer(answer, scope, receive, send)

    def _below_root(self, scope: Scope) -> Scope:
        """The same below `root_path`, whether the proxy before us took it away from the path or left it there."""
        path = scope["path"]
        if self.root and path != self.root and not path.startswith(f"{self.root}/"):
            path = self.root + path
        elif self.root and path == self.root:
            path = f"{self.root}/"
        return {**scope, "path": path, "root_path": self.root}

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        if len(headers.getlist("host")) > 1:
            return problem(400, "bad_host", "The request names several hosts; name the one that it is for.")
        socket = scope["type"] == "websocket"
        method = "GET" if socket else scope["method"]
        peer = _peer(scope, headers)
        how = self._how(scope, headers, peer)
        if isinstance(how, Response):
            return how
        query = scope["query_string"].decode("latin-1")
        if not socket and method in ("GET", "HEAD") and "token=" in query:
            answer = self._token_in_address(scope, headers, query, peer, how)
            if answer is not None:
                return answer
        logs_in = method == "POST" and self._route(scope) == LOGIN
        if how == "none" and not logs_in:
            return self._ask(scope, headers)
        refused = _refused_origin(headers, method, socket, how)
        if refused is not None:
            return refused
        https = is_https(headers, scope.get("scheme", "http"))
        scope["admitted"] = Admitted(how, peer, https)
        return None

    def _route(self, scope: Scope) -> str:
        return str(scope["path"]).removeprefix(self.root)

    def _is_open(self, scope: Scope, headers: Headers) -> bool:
        asked = not self.loopback or self.context.access.ask_on_this_machine
        return not asked and not came_through_proxy(headers, scope.get("http_version", "1.1"))

    def _how(self, scope: Scope, headers: Headers, peer: str) -> How | Response:
        cookies = cookie_parser("; ".join(headers.getlist("cookie")))
        if self.gate.is_session(cookies.get(self.gate.cookie, "")):
            return "cookie"
        if self._is_open(scope, headers):
            return "open"
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return "none"
        return self._too_many(peer) or ("bearer" if self.gate.is_token(given.strip(), peer) else "none")

    def _too_many(self, peer: str) -> Response | None:
        wait = self.gate.attempts.seconds_to_wait(peer)
        return too_many(wait) if wait else None

    def _token_in_address(self, scope: Scope, headers: Headers, query: str, peer: str, how: How) -> Response | None:
        """Where the token is in the address: the same address without it, and a cookie. None for a wrong one that
        nobody asked for."""
        pairs = parse_qsl(query, keep_blank_values=True)
        given = next((value for name, value in pairs if name == "token"), None)
        if given is None:
            return None
        fresh = how == "none"
        if fresh:
            refused = self._too_many(peer)
            if refused is not None or not self.gate.is_token(given, peer):
                return refused
        rest = urlencode([pair for pair in pairs if pair[0] != "token"])
        # One slash at the beginning: two would lead to another host.
        target = "/" + quote(str(scope["path"]).lstrip("/"), safe="/:@!$&'()*+,;=~") + (f"?{rest}" if rest else "")
        answer = RedirectResponse(target, 303)
        answer.headers["referrer-policy"] = "no-referrer"
        if fresh:
            set_session(answer, self.context, is_https(headers, scope.get("scheme", "http")))
        return answer

    def _ask(self, scope: Scope, headers: Headers) -> Response:
        if scope["type"] == "http" and "text/html" in headers.get("accept", "") and scope["method"] in ("GET", "HEAD"):
            return login_page(self.root + LOGIN)
        return problem(
            401, "token_required",
            "This server asks for its token: open the address that `loratory serve` printed, log in, or send "
            "`Authorization: Bearer TOKEN`.",
            {"www-authenticate": "Bearer"},
        )  # fmt: skip


def _refused_origin(headers: Headers, method: str, socket: bool, how: How) -> Response | None:
    if how != "bearer" and is_foreign_embedding(headers, method):
        return problem(403, "foreign_page", "A page of another site cannot load this; open it by itself.")
    changes = socket or method not in SAFE_METHODS
    foreign = changes and how != "bearer" and is_foreign_page(
        headers, open_to_all=how == "open", by_cookie=how == "cookie"
    )  # fmt: skip
    if foreign:
        return problem(
            403, "foreign_page",
            "This change was asked for by a page of another site, or by a program that does not say so; a program "
            "sends `X-Loratory: 1` or `Authorization: Bearer TOKEN`, a proxy must pass `Host` on as it came.",
        )  # fmt: skip
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if method == "POST" and kind in _FORMS:
        return problem(415, "form_refused", f"{kind} is not read here; send application/json.")
    return None


def too_many(seconds: int) -> Response:
    """Wait before the next try."""
    return problem(429, "too_many_attempts", f"Too many wrong tokens; try again in {seconds} seconds.",
                   {"retry-after": str(seconds)}, seconds=seconds)  # fmt: skip


def set_session(answer: Response, context: Context, https: bool) -> None:
    """Give the browser the cookie that stands for the token."""
    log.info("a browser logged in")
    gate, seconds = context.gate, context.access.session_days * 86_400
    answer.set_cookie(gate.cookie, gate.new_session(seconds), max_age=seconds, path=context.options.root_path or "/",
                      httponly=True, samesite="lax", secure=https)  # fmt: skip


def _peer(scope: Scope, headers: Headers) -> str:
    """Who tries: the address, with what the nearest proxy says of who is behind it."""
    address = (scope.get("client") or ("",))[0]
    behind = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    return f"{address}/{behind[:64]}"


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            message = {**message, "headers": list(message.get("headers", ()))}
            add_headers(MutableHeaders(raw=message["headers"]))
        await send(message)

    return sending


def add_headers(headers: Any) -> None:
    """What every answer carries, as far as the route did not say otherwise."""
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)


async def _answer(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer in place of the application; a socket is refused before it is open, with the same answer where the
    server can."""
    add_headers(answer.headers)
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})
            return
    await answer(scope, receive, send)
