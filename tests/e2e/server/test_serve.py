"""`loratory serve` as a process: how it begins, what it says, and that it ends."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="platform: signals are sent as on POSIX systems"),
]

SERVE = [sys.executable, "-m", "loratory.cli", "serve", "--port", "0"]
# The server with two more routes, whose clients never leave by themselves.
ENDLESS = [sys.executable, "-c", """
import asyncio, sys
from fastapi import WebSocket
from fastapi.responses import StreamingResponse
from loratory.server import serve
from loratory.server.context import Options
make = serve.create_app
def with_endless(options):
    app = make(options)
    async def words():
        while True:
            yield b"word "
            await asyncio.sleep(0.05)
    async def stream():
        return StreamingResponse(words())
    async def talk(socket: WebSocket):
        await socket.accept()
        while True:
            await socket.receive_text()
    app.router.add_api_route("/api/stream", stream)
    app.router.add_api_websocket_route("/api/talk", talk)
    for _ in range(2):
        app.router.routes.insert(0, app.router.routes.pop())
    return app
serve.create_app = with_endless
sys.exit(serve.run(Options(port=0), lambda line: print(line, flush=True)))
"""]  # fmt: skip


class Server:
    """A running server."""

    def __init__(self, home: Path, command: list[str], **environment: str) -> None:
        everything = {name: value for name, value in os.environ.items() if name != "LORATORY_TOKEN"}
        everything |= {"LORATORY_HOME": str(home), **environment}
        self.process = subprocess.Popen(
            command, env=everything, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.first = self.process.stdout.readline()
        found = re.search(r"http://[^/]+:(\d+)(/\S*)", self.first)
        self.port = int(found[1]) if found else 0
        self.address = f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **headers: str) -> int:
        request = urllib.request.Request(self.address + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def end(self, how: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(how)
        said, complained = self.process.communicate(timeout=20)
        return self.process.returncode, self.first + said, complained


@contextlib.contextmanager
def served(home: Path, command: list[str] = SERVE, **environment: str) -> Iterator[Server]:
    server = Server(home, command, **environment)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate(timeout=20)


def test_it_says_where_it_is_once_it_listens_and_ends_with_0(tmp_path):
    with served(tmp_path) as server:
        assert server.port > 0, server.first
        assert server.get("/api/health") == 200
        assert str(server.port) in (tmp_path / "state" / "server.json").read_text()
        maps = Path(f"/proc/{server.process.pid}/maps")
        if maps.exists():
            assert server.get("/api/system") == 200
            assert "torch" not in maps.read_text()
        code, said, complained = server.end()
    assert (code, complained) == (0, "")
    assert "token" not in said, "nobody needs it here"
    assert not (tmp_path / "state" / "server.json").exists()


@pytest.mark.parametrize(
    "how", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.full)], ids=lambda each: each.name
)
def test_it_ends_with_clients_that_stay(tmp_path, how):
    with served(tmp_path, ENDLESS) as server, connect(f"ws://127.0.0.1:{server.port}/api/talk") as talking:
        talking.send("hello")
        stream = http.client.HTTPConnection("127.0.0.1", server.port)
        stream.request("GET", "/api/stream")
        assert stream.getresponse().read(5) == b"word "
        idle = socket.create_connection(("127.0.0.1", server.port))
        half = socket.create_connection(("127.0.0.1", server.port))
        half.sendall(b"POST /api/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nhalf")
        began = time.monotonic()
        code, _, _ = server.end(how)
        took = time.monotonic() - began
        for each in (stream, idle, half):
            each.close()
    assert code == 0
    assert took < 5, f"{took:.1f} s"


def test_one_server_for_each_home(tmp_path):
    with served(tmp_path) as first:
        second = Server(tmp_path, SERVE)
        code, said, complained = second.process.wait(20), second.first, second.process.stderr.read()
        assert (code, said) == (1, "")
        assert f"running already at {first.address}/ (process {first.process.pid})" in complained
        assert complained.count("\n") == 1, complained
        assert first.get("/api/health") == 200
        first.process.kill()
        first.process.wait(20)
        with served(tmp_path) as third:
            assert third.get("/api/health") == 200, "who was killed holds nothing"


def refusal(home: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "loratory.cli", "serve", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30,
                          env={**os.environ, "LORATORY_HOME": str(home)})  # fmt: skip
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_what_it_refuses_to_begin_with(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(tmp_path, "--port", str(port))
        assert f"Port {port} is taken by process {os.getpid()}" in said
    (tmp_path / "state" / "settings.yaml").write_text("paths: [", encoding="utf-8")
    assert "settings.yaml" in refusal(tmp_path, "--port", "0")


def test_on_another_address_it_prints_its_token_once_and_logs_it_never(tmp_path):
    with served(tmp_path, [*SERVE, "--host", "0.0.0.0", "--root-path", "x"]) as server:
        line = server.process.stdout.readline()
        token = re.search(r"/x/\?token=(\S+)", line)[1]
        assert server.get("/api/health") == 401
        assert server.get("/x/api/health") == 401
        for path in ("/api/health", "/x/api/health"):
            assert server.get(path, Authorization=f"Bearer {token}") == 200
        assert server.get(f"/api/none?token={token}") in (401, 404)
        assert server.get("/api/health?token=wrong") == 401
        with pytest.raises(InvalidStatus, match="401"), connect(f"ws://127.0.0.1:{server.port}/api/none"):
            pass
        code, said, complained = server.end()
    assert code == 0
    assert token not in said
    assert complained == ""
    log = (tmp_path / "state" / "server.log").read_text(encoding="utf-8")
    assert log
    assert token not in log
    with served(tmp_path, [*SERVE, "--host", "0.0.0.0"]) as server:
        assert token in server.process.stdout.readline(), "browsers that are logged in stay so"


def test_a_given_token_is_not_printed(tmp_path):
    with served(tmp_path, [*SERVE, "--host", "0.0.0.0"], LORATORY_TOKEN="a-token-of-some-length") as server:
        assert server.get("/api/health", Authorization="Bearer a-token-of-some-length") == 200
        code, said, complained = server.end()
    assert code == 0
    assert "a-token" not in said + complained
    assert not (tmp_path / "state" / "token").exists()
