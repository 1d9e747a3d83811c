"""A stand-in for the proxies that people put before the server: it passes requests on, with or without sockets."""

from __future__ import annotations

import re
import socket
import threading
from types import TracebackType
from typing import Self

_HEAD = 1 << 16


class Proxy:
    """Passes connections on to a port of this machine.

    `sockets=False`: as nginx without the lines for WebSockets. `hidden`: it adds nothing of its own, as a port that is
    forwarded; else it says who asked, as proxies do, and the server asks for its token.
    """

    def __init__(self, port: int, *, sockets: bool = True, hidden: bool = False) -> None:
        self._port, self._sockets, self._hidden = port, sockets, hidden
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            read = b""
            while b"\r\n\r\n" not in read and len(read) < _HEAD:
                some = client.recv(_HEAD)
                if not some:
                    return
                read += some
            head, _, rest = read.partition(b"\r\n\r\n")
            try:
                server = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            with server:
                server.sendall(self._changed(head) + b"\r\n\r\n" + rest)
                back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
                back.start()
                _pass_on(client, server)
                back.join()

    def _changed(self, head: bytes) -> bytes:
        """One request for each connection, unless it is a socket that may pass."""
        upgrades = re.search(rb"(?im)^upgrade: *websocket", head) is not None
        if not (upgrades and self._sockets):
            head = re.sub(rb"(?im)^(connection|upgrade|keep-alive):[^\r\n]*\r\n", b"", head + b"\r\n").removesuffix(
                b"\r\n"
            )
            head += b"\r\nConnection: close"
        return head if self._hidden else head + b"\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: http"


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while some := source.recv(_HEAD):
            target.sendall(some)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one side has gone, and the other is told by its own end
