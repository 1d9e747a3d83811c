"""The server's own news, and the ring that they and the runs' events are kept in."""

import asyncio
import json
import threading
from typing import Any

from loratory.server import bus as bus_module
from loratory.server.bus import Bus
from loratory.server.ring import Wish


async def first(bus: Bus, after: str | None, beat: float = 0.0) -> Any:
    pages = bus.follow(after, Wish(beat_seconds=beat))
    async for page in pages:
        await pages.aclose()
        return json.loads(page.text())
    raise AssertionError("no page")


def test_publishing_from_threads_wakes_who_waits() -> None:
    async def work() -> None:
        bus = Bus("A")
        start = (await first(bus, None))["cursor"]
        waiting = asyncio.create_task(first(bus, start, beat=5.0))
        await asyncio.sleep(0.01)
        threads = [threading.Thread(target=lambda: [bus.publish("job", {"n": 1}) for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert (await asyncio.wait_for(waiting, 2))["events"]
        for thread in threads:
            thread.join()
        found, cursor = [], start
        while (page := await first(bus, cursor))["events"]:
            found += [event["cursor"] for event in page["events"]]
            cursor = page["cursor"]
        assert found == [f"A-{number}" for number in range(1, 201)]
        assert bus.readers == 0

    asyncio.run(work())


def test_resync(monkeypatch: Any) -> None:
    monkeypatch.setattr(bus_module, "KEPT", 5)

    async def work() -> None:
        bus = Bus("B")
        for number in range(20):
            bus.publish("job", {"n": number, "token": "hf_" + "a1B2" * 8})
        for cursor in ("A-3", "B-3", "B-21", "B--1", "x", ""):
            page = await first(bus, cursor)
            assert [event["kind"] for event in page["events"]] == ["resync"], cursor
            assert page["cursor"] == "B-20"
        page = await first(bus, "B-15")
        assert [event["data"]["n"] for event in page["events"]] == list(range(15, 20))
        assert page["events"][0]["data"]["token"] == "hf_***"

    asyncio.run(work())


def test_the_end_of_the_server_is_the_end_of_all_readers() -> None:
    async def work() -> None:
        bus = Bus("A")

        async def read() -> None:
            async for _ in bus.follow(None, Wish()):
                pass

        readers = [asyncio.create_task(read()) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert bus.readers == 3
        bus.close()
        await asyncio.wait_for(asyncio.gather(*readers), 2)

    asyncio.run(work())
