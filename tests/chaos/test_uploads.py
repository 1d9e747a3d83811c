"""A real server that is killed, and a real client that is cut, in the middle of uploads."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import random
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVER = """
import os, sys, uvicorn
from loratory.server.app import create_app
uvicorn.run(create_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
"""
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
CUT = (ConnectionError, http.client.HTTPException, socket.timeout)


class Server:
    """A process of its own on one port, to be killed and started again."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._environment = {**os.environ, "LORATORY_HOME": str(home), "PYTHONPATH": str(ROOT)}
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", SERVER, str(self.port)], env=self._environment)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with suppress(*CUT):
                self.ask("GET", "/api/health")
                return
            time.sleep(0.02)
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            named = {key.replace("_", "-"): value for key, value in headers.items()}
            connection.request(method, path, body, {**TUS, **named})
            answer = connection.getresponse()
            answer.read()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}
        finally:
            connection.close()


def send(server: Server, path: str, start: int, data: bytes, stop: int, dice: random.Random) -> None:
    """Send data[start:stop] of an announced data[start:], and drop the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as wire:
        lines = [f"PATCH {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(data) - start}",
                 f"Upload-Offset: {start}", *(f"{key}: {value}" for key, value in TUS.items()), "", ""]  # fmt: skip
        wire.sendall("\r\n".join(lines).encode())
        place = start
        while place < stop:
            size = min(stop - place, dice.randint(1, 300_000))
            wire.sendall(data[place : place + size])
            place += size


def offset(server: Server, path: str) -> int:
    """As clients do: a 423 means to ask again (a connection that was dropped may be read late, and is then newer)."""
    for _ in range(20):
        status, headers = server.ask("HEAD", path)
        if status == 200:
            return int(headers["upload-offset"])
        assert status == 423
    raise AssertionError("the server tells no offset")


def finish(server: Server, path: str, data: bytes) -> bool:
    """As clients do: a 409 or 423 means to ask for the offset again."""
    for _ in range(5):
        start = offset(server, path)
        status, _ = server.ask("PATCH", path, data[start:], Upload_Offset=str(start))
        if status == 204:
            return True
        assert status in {409, 423}
    return False


@pytest.mark.slow
@pytest.mark.chaos
def test_uploads_survive_kills_of_the_server_and_cuts_of_the_client(tmp_path, chaos_kills):
    dice = random.Random(3)
    server = Server(tmp_path)
    try:
        for number in range(2):
            data = dice.randbytes(6_000_000)
            name = base64.b64encode(f"{number}.bin".encode()).decode()
            metadata = f"filename {name},root {base64.b64encode(b'models').decode()}"
            connection = {"Upload_Length": str(len(data)), "Upload_Metadata": metadata, "Content_Type": "none"}
            status, headers = server.ask("POST", "/api/uploads", **connection)
            assert status == 201
            path, before = "/api/" + headers["location"], 0
            for _ in range(chaos_kills):
                start = offset(server, path)
                assert start >= before, "bytes that the server had told of were lost"
                before = start
                stop = dice.randint(start, start + (len(data) - start) // 3)
                with suppress(*CUT):
                    send(server, path, start, data, stop, dice)
                if dice.random() < 0.5:
                    server.kill()
                    server.start()
            assert finish(server, path, data)
            arrived = (tmp_path / "models" / f"{number}.bin").read_bytes()
            assert hashlib.sha256(arrived).digest() == hashlib.sha256(data).digest()
        assert list((tmp_path / "state" / "uploads").glob("*.part")) == []
    finally:
        server.kill()
