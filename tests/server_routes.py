"""Every route of the server, for tests that ask the same of all of them: a new route joins by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocketDisconnect

SOCKET = "WEBSOCKET"


class Client(TestClient):
    """Starlette's test client, whose sockets go to the same host as everything else."""

    def websocket_connect(self, url: str, *arguments: Any, **keywords: Any) -> Any:
        whole = str(self.base_url).rstrip("/").replace("http", "ws", 1) + url if url.startswith("/") else url
        return super().websocket_connect(whole, *arguments, **keywords)


_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")


@dataclass(frozen=True)
class Route:
    """One method at one path."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> list[str]:
        return _PARAMETER.findall(self.path)

    def at(self, value: str = "x", **values: str) -> str:
        """The address, with these values (as they go over the wire) for its parameters."""
        return _PARAMETER.sub(lambda found: values.get(found[1], value), self.path)


def all_routes(app: FastAPI) -> Iterator[Route]:
    """Sockets too; the methods HEAD and OPTIONS only where a route has them."""
    for context in iter_route_contexts(app.routes):
        path = str(context.path)
        if isinstance(context.original_route, WebSocketRoute):
            yield Route(SOCKET, path)
            continue
        assert context.methods, f"what is {context}? The tests of security do not see it."
        for method in sorted(context.methods):
            yield Route(method, path)


def status_of(client, route: Route, address: str, headers: dict[str, str] | None = None, body=None) -> int:
    """Ask, and say how it was answered. A socket that is opened counts as 101, one that is closed at once as 403."""
    if route.method != SOCKET:
        return client.request(route.method, address, headers=headers, json=body, follow_redirects=False).status_code
    try:
        with client.websocket_connect(address, headers=headers or {}):
            pass
    except CancelledError:
        pass  # it was opened: the test's client cancels the server's side as soon as it leaves
    except WebSocketDisconnect as error:
        return getattr(error, "status_code", 403)
    return 101


async def ask_raw(app: ASGIApp, method: str, target: str, body: bytes = b"{}") -> tuple[int, bytes]:
    """Ask with exactly this target: clients would tidy up a path with `..` before it is sent."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", b"127.0.0.1:8675"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8675),
    }  # fmt: skip
    said: list[dict[str, Any]] = []
    asked = [{"type": "http.request", "body": body}]

    async def receive() -> dict[str, Any]:
        return asked.pop() if asked else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(message)

    await app(scope, receive, send)
    start = next(message for message in said if message["type"] == "http.response.start")
    return start["status"], b"".join(message.get("body", b"") for message in said)
