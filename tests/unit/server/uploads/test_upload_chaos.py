"""Connections that are cut at any byte, hang, or are taken over: every file's hash is right in the end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from typing import Any

import pytest

from loratory.server import receiving

HEADERS = {"tus-resumable": "1.0.0", "content-type": "application/offset+octet-stream"}


class Connection:
    """One request, spoken to the application itself; its body comes as the test says."""

    def __init__(self, application: Any, method: str, path: str, **headers: str) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        raw = [(key.replace("_", "-").encode(), value.encode()) for key, value in {**HEADERS, **headers}.items()]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
            "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http", "app": application,
            "headers": [(b"host", b"127.0.0.1:8675"), *raw], "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 8675),
        }  # fmt: skip
        self.task = asyncio.create_task(application(scope, self._messages.get, self._answer))

    async def _answer(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {key.decode(): value.decode() for key, value in message["headers"]}
        else:
            self.body += message.get("body", b"")

    def send(self, data: bytes, *, more: bool = True) -> None:
        self._messages.put_nowait({"type": "http.request", "body": data, "more_body": more})

    def cut(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    async def end(self) -> Connection:
        await asyncio.wait_for(self.task, 20)
        return self


async def ask(application: Any, method: str, path: str, data: bytes = b"", **headers: str) -> Connection:
    connection = Connection(application, method, path, **headers)
    connection.send(data, more=False)
    return await connection.end()


async def begin(application: Any, size: int, name: str) -> str:
    import base64

    pairs = {"root": "models", "filename": name}
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())
    answer = await ask(
        application, "POST", "/api/uploads", upload_length=str(size), upload_metadata=metadata, content_type="none"
    )
    assert answer.status == 201
    return f"/api/{answer.headers['location']}"


async def offset(application: Any, path: str) -> int:
    for _ in range(20):
        answer = await ask(application, "HEAD", path)
        if answer.status != 423:  # the one before is being shown out, which takes a slow machine a while
            break
    assert answer.status == 200
    return int(answer.headers["upload-offset"])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Many blocks in a small file; and no flushing to the disk, which takes the time and shows nothing here."""
    monkeypatch.setattr(receiving, "BLOCK_BYTES", 3000)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


async def upload_with_cuts(application: Any, name: str, data: bytes, cuts: int, dice: random.Random) -> None:
    path = await begin(application, len(data), name)
    arrived = 0
    for number in range(cuts + 1):
        start = await offset(application, path)
        assert start >= arrived, "bytes that had arrived were lost"
        connection = Connection(application, "PATCH", path, upload_offset=str(start))
        last = number == cuts
        stop = len(data) if last else dice.randint(start, start + (len(data) - start) // 3)
        place = start
        while place < stop:
            piece = min(stop - place, dice.randint(1, 5000))
            connection.send(data[place : place + piece])
            place += piece
            if dice.random() < 0.2:
                await asyncio.sleep(0)
        match dice.choice(["cut", "hang", "cancel"]) if not last else "end":
            case "end":
                connection.send(b"", more=False)
                assert (await connection.end()).status == 204
            case "cut":
                connection.cut()
                assert (await connection.end()).status == 499
                arrived = stop
            case "hang":  # the next HEAD takes over, and gets a true offset
                await asyncio.sleep(dice.random() * 0.01)
                while not connection.task.done():  # one that was read late is newer than the HEAD
                    arrived = await offset(application, path)
                    await asyncio.sleep(0.001)
                assert (await connection.end()).status == 423
                assert json.loads(connection.body)["code"] == "taken_over"
            case "cancel":  # as the server does with requests that last when it is stopped
                await asyncio.sleep(dice.random() * 0.01)
                connection.task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await connection.task


def test_a_hundred_cuts(application, client, loratory_home):
    """`client` keeps the server's parts alive."""
    dice = random.Random(7)
    files = {f"{number}.bin": dice.randbytes(dice.randint(20_000, 60_000)) for number in range(10)}

    async def all_at_once() -> None:
        await asyncio.gather(
            *(upload_with_cuts(application, name, data, 10, random.Random(name)) for name, data in files.items())
        )

    asyncio.run(all_at_once())
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (loratory_home / "models").iterdir()}
    assert found == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert application.state.context.writers._turns == {}, "writers are forgotten"


def test_the_newest_of_many_writers_wins_and_the_rest_are_told(application, client, loratory_home):
    data = random.Random(1).randbytes(50_000)

    async def race() -> list[Connection]:
        path = await begin(application, len(data), "a.bin")
        hanging = [Connection(application, "PATCH", path, upload_offset="0") for _ in range(5)]
        for connection in hanging:
            connection.send(data[:10_000])
        await asyncio.sleep(0.05)
        start = await offset(application, path)
        last = Connection(application, "PATCH", path, upload_offset=str(start))
        last.send(data[start:], more=False)
        assert (await last.end()).status == 204
        return [await connection.end() for connection in hanging]

    ended = asyncio.run(race())
    # One that came after another one had written is told that it is in another place.
    assert {connection.status for connection in ended} <= {409, 423}
    assert (loratory_home / "models" / "a.bin").read_bytes() == data


def test_a_writer_in_the_middle_of_a_slow_write_is_waited_for(application, client, loratory_home, monkeypatch):
    import time

    from loratory.server import uploads

    data, append, running = random.Random(1).randbytes(9_000), uploads.append, []

    def slow(part, block, upload):
        running.append(1)
        assert len(running) == 1, "two writers at a time"
        time.sleep(0.1)
        append(part, block, upload)
        running.pop()

    monkeypatch.setattr(uploads, "append", slow)

    async def go() -> None:
        path = await begin(application, len(data), "a.bin")
        first = Connection(application, "PATCH", path, upload_offset="0")
        first.send(data[:7_000])
        await asyncio.sleep(0.05)
        start = await offset(application, path)
        assert start == 7_000, "what was taken from the connection is on the disk before the offset is told"
        answer = await ask(application, "PATCH", path, data[start:], upload_offset=str(start))
        assert answer.status == 204
        await first.end()

    asyncio.run(go())
    assert (loratory_home / "models" / "a.bin").read_bytes() == data


def test_a_question_for_the_offset_that_is_overtaken_is_no_reason_to_begin_anew(application, client, monkeypatch):
    """As when a PATCH of a connection that was cut is read late, while a slow write keeps the HEAD waiting."""
    import time

    from loratory.server import uploads

    append = uploads.append

    def slow(part, block, upload):
        time.sleep(0.1)
        append(part, block, upload)

    monkeypatch.setattr(uploads, "append", slow)

    async def go() -> None:
        path = await begin(application, 9_000, "a.bin")
        first = Connection(application, "PATCH", path, upload_offset="0")
        first.send(b"x" * 7_000)
        await asyncio.sleep(0.05)
        head = asyncio.create_task(ask(application, "HEAD", path))
        await asyncio.sleep(0.01)
        late = Connection(application, "PATCH", path, upload_offset="7000")
        assert (await head).status == 423
        assert await offset(application, path) == 7_000
        await first.end()
        await late.end()

    asyncio.run(go())


def test_a_silent_connection_is_given_up_and_its_bytes_stay(application, client, monkeypatch):
    monkeypatch.setattr(receiving, "SECONDS_OF_SILENCE", 0.1)

    async def go() -> None:
        path = await begin(application, 100, "a.bin")
        connection = Connection(application, "PATCH", path, upload_offset="0")
        connection.send(b"abc")
        assert (await connection.end()).status == 408
        assert await offset(application, path) == 3

    asyncio.run(go())
