"""Events over a real server: sockets and polls that are cut, a server that is replaced, a reader that sleeps."""

import asyncio
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from loratory.runs import RunFolder, iterate_metrics
from loratory.server.app import create_app
from loratory.server.routes import events

READERS = 20
EVENTS = 60
LINES = 20_000
pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))
    return RunFolder.create(tmp_path / "home" / "output", "dog")


@contextmanager
def serving(port: int = 0) -> Iterator[int]:
    """A server in a thread; gives its port."""
    config = uvicorn.Config(
        create_app(), host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=1, access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


class Reader:
    """What one browser has been told."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.seqs: list[int] = []
        self.steps: list[int] = []
        self.log: list[str] = []
        self.done = False

    def take(self, page: dict[str, Any], most: int) -> None:
        for event in page["events"][:most]:
            assert event["kind"] != "resync"
            if event["source"] == "run":
                self.seqs.append(event["seq"])
            elif event["source"] == "metrics":
                self.steps += [line["step"] for line in event["data"]["lines"]]
            elif event["source"] == "log":
                self.log += event["data"]["lines"]
            elif event["data"]["state"] == "finished":
                self.done = True
            self.cursor = event["cursor"]


def work(run: RunFolder) -> None:
    """An engine."""
    with run.lock(), run.metrics() as metrics, run.log_path.open("a") as log:
        run.write_status("starting")
        for number in range(1, EVENTS + 1):
            run.emit("number", value=number)
            metrics.append(number, loss=1.0)
            metrics.flush()
            log.write(f"line {number}\n")
            log.flush()
            run.write_status("training", step=number)
            time.sleep(0.05)
        run.write_status("finished")


async def read(reader: Reader, run: RunFolder, port: list[int], chance: random.Random) -> None:
    await asyncio.sleep(2 * chance.random())
    query = {"limit": "5", "wait": "1"}
    async with httpx.AsyncClient() as client:
        while not reader.done:
            after = {} if reader.cursor is None else {"after": reader.cursor}
            address = f"127.0.0.1:{port[0]}/api/jobs/{run.id}/events"
            try:
                if chance.random() < 0.5:
                    answer = await client.get(f"http://{address}", params=query | after)
                    if answer.status_code != 503:
                        reader.take(answer.json(), chance.randrange(6))
                else:
                    async with connect(f"ws://{address}?{httpx.QueryParams(after)}") as socket:
                        for _ in range(chance.randrange(8)):
                            if reader.done:
                                break
                            reader.take(json.loads(await socket.recv()), 1000)
                        if not reader.done:
                            reader.take(json.loads(await socket.recv()), 2)
            except (httpx.TransportError, WebSocketException, OSError):
                await asyncio.sleep(0.05)  # the server is being replaced


def test_twenty_readers_over_sockets_and_polls_while_the_server_is_replaced(run: RunFolder) -> None:
    chance, readers, port = random.Random(3), [Reader() for _ in range(READERS)], [0]

    async def all_of_them() -> None:
        await asyncio.gather(*(read(reader, run, port, random.Random(chance.random())) for reader in readers))

    engine = threading.Thread(target=work, args=(run,))
    with serving() as port[0]:
        engine.start()
        reading = threading.Thread(target=lambda: asyncio.run(asyncio.wait_for(all_of_them(), 40)))
        reading.start()
        time.sleep(1.5)
    with serving() as port[0]:
        reading.join(45)
        engine.join(10)
        assert not reading.is_alive()
    for reader in readers:
        assert reader.seqs == list(range(1, EVENTS + 1))
        assert reader.steps == [line["step"] for line in iterate_metrics(run.metrics_path)]
        assert reader.log == run.log_path.read_text().splitlines()


def test_a_reader_that_takes_nothing_is_dropped_and_can_come_back(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SEND_SECONDS", 0.5)
    words = random.Random(0)  # the socket compresses what is regular
    run.log_path.write_text("".join(f"{number} {words.randbytes(500).hex()}\n" for number in range(LINES)))

    async def sleep_and_come_back(port: int) -> None:
        address = f"ws://127.0.0.1:{port}/api/jobs/{run.id}/events"
        lines: list[str] = []
        cursor = ""
        async with connect(address, max_queue=1, ping_interval=None) as socket:
            await asyncio.sleep(2)
            with pytest.raises(ConnectionClosed):
                while True:
                    page = json.loads(await socket.recv())
                    lines += [line for event in page["events"] for line in event["data"]["lines"]]
                    cursor = page["cursor"]
        assert 0 < len(lines) < LINES
        async with connect(f"{address}?{httpx.QueryParams(after=cursor)}") as socket:
            while len(lines) < LINES:
                page = json.loads(await socket.recv())
                lines += [line for event in page["events"] for line in event["data"].get("lines", ())]
        assert [int(line.split()[0]) for line in lines] == list(range(LINES))

    with serving() as port:
        asyncio.run(asyncio.wait_for(sleep_and_come_back(port), 30))


def test_the_server_ends_quickly_with_readers(run: RunFolder) -> None:
    async def connected(port: int, ready: threading.Event) -> None:
        async with (
            connect(f"ws://127.0.0.1:{port}/api/jobs/{run.id}/events") as one,
            connect(f"ws://127.0.0.1:{port}/api/events") as two,
        ):
            await one.recv()
            ready.set()
            with pytest.raises(ConnectionClosed):
                while True:
                    await two.recv()

    ready = threading.Event()
    with serving() as port:
        reading = threading.Thread(target=lambda: asyncio.run(asyncio.wait_for(connected(port, ready), 20)))
        reading.start()
        assert ready.wait(10)
        began = time.monotonic()
    reading.join(5)
    assert time.monotonic() - began < 3


def test_an_unknown_run_is_told_over_the_socket(run: RunFolder) -> None:
    async def ask(port: int) -> None:
        async with connect(f"ws://127.0.0.1:{port}/api/jobs/nothing/events") as socket:
            with pytest.raises(ConnectionClosed) as found:
                await socket.recv()
        assert found.value.rcvd is not None and found.value.rcvd.code == 4404

    with serving() as port:
        asyncio.run(ask(port))
