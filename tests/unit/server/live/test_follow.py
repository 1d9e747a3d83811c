"""Readers of a run that works: each sees everything once and in order, whatever is cut, slow or rewritten."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from loratory.runs import MetricsLog, RunFolder, iterate_metrics
from loratory.server import live, tail
from loratory.server.live import Live
from loratory.server.ring import Page, Wish

READERS = 20
EVENTS = 120


@pytest.fixture(autouse=True)
def quick(loratory_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks without a pause, a ring that is soon too small, and blocks of a few lines: everything happens often."""
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(live, "QUIET_SECONDS", 0.001)
    monkeypatch.setattr(live, "KEPT", 12)
    monkeypatch.setattr(tail, "BLOCK_BYTES", 300)
    monkeypatch.setattr(tail, "LINES", 3)


@pytest.fixture
def run(loratory_home: Path) -> RunFolder:
    return RunFolder.create(loratory_home / "output", "dog")


@dataclass
class Reader:
    """A browser: it keeps what it was told, and a cursor. After a resync of the metrics it asks for them anew and
    leaves out later lines of steps that it knows."""

    run: RunFolder
    cursor: str | None = None
    seqs: list[int] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    resyncs: int = 0
    asked_anew: bool = False

    def take(self, event: dict[str, Any]) -> None:
        data = event["data"]
        if event["kind"] == "resync":
            assert data["sources"] == ["metrics"]
            self.steps = [line["step"] for line in iterate_metrics(self.run.metrics_path)]
            self.resyncs, self.asked_anew = self.resyncs + 1, True
        elif event["source"] == "run":
            self.seqs.append(event["seq"])
        elif event["source"] == "log":
            self.log += data["lines"]
        elif event["source"] == "metrics":
            fresh = [line["step"] for line in data["lines"]]
            if self.asked_anew:
                fresh = [step for step in fresh if not self.steps or step > self.steps[-1]]
            self.steps += fresh
        elif event["source"] == "status":
            self.states.append(data["state"])
        self.cursor = event["cursor"]

    def page(self, page: Page, most: int = 10**6) -> None:
        """The events of a page, or the first few: then the connection was cut."""
        read = json.loads(page.text())
        for event in read["events"][:most]:
            self.take(event)
        if len(read["events"]) <= most:
            self.cursor = read["cursor"]


async def write(run: RunFolder, chance: random.Random) -> None:
    """What an engine does: events, numbers, log lines and states; once it resumes from an earlier step."""
    step = lines = 0
    with run.lock(), run.log_path.open("a", encoding="utf-8") as log:
        run.write_status("starting")
        metrics = MetricsLog(run.metrics_path, flush_lines=4)
        for number in range(1, EVENTS + 1):
            run.emit("number", value=number, words="ü" * chance.randrange(40))
            for _ in range(chance.randrange(3)):
                step += 1
                metrics.append(step, loss=chance.random())
            for _ in range(chance.randrange(3)):
                lines += 1
                log.write(f"line {lines}\n")
            log.flush()
            if chance.random() < 0.2:
                run.write_status("training", step=step, total_steps=1000)
            if number == EVENTS // 2:
                step -= 10
                metrics.truncate_after(step)
            await asyncio.sleep(chance.choice([0, 0, 0.001, 0.003]))
        metrics.close()
        run.emit("end")
        run.write_status("finished", step=step)


Following = Callable[[Reader, Wish], AsyncIterator[Page]]


async def read(reader: Reader, follow: Following, chance: random.Random) -> None:
    """Follow until there is nothing more after the end, cut again and again. States are told apart from the files:
    that of the end may come before the last lines."""
    wish = Wish(limit=chance.choice([1, 5, 200]), beat_seconds=0.05)
    await asyncio.sleep(chance.random() * 0.3)
    whole = False
    while not whole:
        left = chance.choice([0, 1, 3, 10, 50])
        pages = follow(reader, wish)
        async for page in pages:
            if left <= 0:
                reader.page(page, chance.randrange(3))
                break
            reader.page(page)
            whole = not page.entries and bool(reader.states) and reader.states[-1] == "finished"
            if whole:
                break
            left -= 1
            if chance.random() < 0.1:
                await asyncio.sleep(0.03)  # slow: the ring goes on meanwhile
        await pages.aclose()  # type: ignore[attr-defined]


@asynccontextmanager
async def servers(run: RunFolder) -> AsyncIterator[Following]:
    """A server that is replaced by another one now and then."""
    current = [Live(lambda _: run.path)]

    async def replace() -> None:
        while True:
            await asyncio.sleep(0.15)
            old, current[0] = current[0], Live(lambda _: run.path)
            old.close()

    replacing = asyncio.create_task(replace())
    try:
        yield lambda reader, wish: current[0].follow(run.id, reader.cursor, wish)
    finally:
        replacing.cancel()
        current[0].close()


def check(readers: list[Reader], run: RunFolder) -> None:
    lines = run.log_path.read_text(encoding="utf-8").splitlines()
    steps = [line["step"] for line in iterate_metrics(run.metrics_path)]
    assert steps == list(range(1, len(steps) + 1))
    for reader in readers:
        assert reader.seqs == list(range(1, EVENTS + 2))
        assert reader.log == lines
        assert reader.steps == steps
        assert reader.states[-1] == "finished"


@pytest.mark.parametrize("seed", [1, 2])
def test_twenty_readers_see_everything_once_and_in_order(run: RunFolder, seed: int) -> None:
    chance = random.Random(seed)
    readers = [Reader(run) for _ in range(READERS)]

    async def work() -> None:
        async with servers(run) as follow:
            reading = [read(reader, follow, random.Random(chance.random())) for reader in readers]
            await asyncio.wait_for(asyncio.gather(write(run, chance), *reading), 60)

    asyncio.run(work())
    check(readers, run)
    assert any(reader.resyncs for reader in readers)


def following(work: Callable[[Live], Awaitable[None]], path: Path) -> None:
    """Run a test with a server of its own."""

    async def whole() -> None:
        server = Live(lambda _: path)
        try:
            await asyncio.wait_for(work(server), 10)
        finally:
            server.close()

    asyncio.run(whole())


async def first(server: Live, after: str | None, **wish: Any) -> dict[str, Any]:
    """One answer to one question."""
    pages = server.follow("id", after, Wish(**{"beat_seconds": 0.0, **wish}))
    async for page in pages:
        await pages.aclose()
        answer: dict[str, Any] = json.loads(page.text())
        return answer
    raise AssertionError("no page")


def kinds(answer: dict[str, Any]) -> list[str]:
    return [event["kind"] for event in answer["events"]]


def test_one_task_for_all_readers_and_none_without_any(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LINGER_SECONDS", 0.05)

    async def work(server: Live) -> None:
        def tasks() -> int:
            return sum(task.get_name().startswith("follow") for task in asyncio.all_tasks())

        assert server.followed == [] and tasks() == 0
        await asyncio.gather(*(first(server, None) for _ in range(20)))
        assert server.followed == ["id"] and tasks() == 1
        await asyncio.sleep(0.2)
        assert server.followed == [] and tasks() == 0

    following(work, run.path)


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "-:0~-:0~-:0", "0123456789abcdef:5~-:0~-:0~-", "-:0~-:0~0123456789abcdef:99999~training.0", "~" * 400],
)
def test_a_cursor_of_something_else_is_answered_with_a_resync(run: RunFolder, cursor: str) -> None:
    run.emit("one")

    async def work(server: Live) -> None:
        answer = await first(server, cursor)
        assert kinds(answer)[0] == "resync"
        while answer["events"]:
            last = answer["events"][-1]
            answer = await first(server, answer["cursor"])
        assert (last["kind"], last["data"]["state"]) == ("state", "queued")

    following(work, run.path)


def test_a_cursor_behind_the_end_of_its_file(run: RunFolder) -> None:
    run.emit("one")

    async def work(server: Live) -> None:
        cursor = (await first(server, None, limit=1))["cursor"]
        file, _, rest = cursor.partition(":")
        offset, _, rest = rest.partition("~")
        answer = await first(server, f"{file}:{int(offset) + 1}~{rest}")
        assert answer["events"][0]["data"]["sources"] == ["events"]

    following(work, run.path)


def test_now_and_kinds(run: RunFolder) -> None:
    run.emit("old")
    with run.metrics() as metrics:
        metrics.append(1, loss=1.0)

    async def work(server: Live) -> None:
        answer = await first(server, "now", beat_seconds=1.0)
        assert kinds(answer) == ["state"]
        assert kinds(await first(server, answer["cursor"])) == []
        run.emit("new")
        run.emit("newer")
        assert kinds(await first(server, answer["cursor"], kinds=frozenset(["newer"]), beat_seconds=2.0)) == ["newer"]

    following(work, run.path)


def test_the_death_of_an_engine_is_told(run: RunFolder) -> None:
    async def work(server: Live) -> None:
        with run.lock():
            run.write_status("training", step=3, total_steps=9, iterations_per_second=2.0)
            told = await first(server, "now", beat_seconds=1.0)
            assert told["events"][-1]["data"]["state"] == "training"
        told = await first(server, told["cursor"], beat_seconds=2.0)
        assert kinds(told) == ["state"]
        assert (
            told["events"][0]["data"] | {"state": "died", "previous": "training", "step": 3}
            == told["events"][0]["data"]
        )

    following(work, run.path)


def test_progress_has_the_newest_numbers_and_the_average_without_the_start(run: RunFolder) -> None:
    async def work(server: Live) -> None:
        with run.lock(), run.metrics() as metrics:
            run.write_status("starting")
            metrics.append(1, loss=1.0, learning_rate=0.1)
            metrics.append(5, **{"loss": 0.5, "learning_rate": 0.2, "memory/device_mib": 7000.0})
            metrics.flush()
            run.write_status("training", step=5, total_steps=9)
            data = (await first(server, "now", beat_seconds=1.0))["events"][-1]["data"]
        lines = list(iterate_metrics(run.metrics_path))
        seconds = lines[1]["time"] - lines[0]["time"]
        assert data["average_iterations_per_second"] == (pytest.approx(4 / seconds) if seconds else None)
        assert (data["loss"], data["learning_rate"], data["memory_mib"]) == (0.5, 0.2, {"device": 7000.0})

    following(work, run.path)


def test_a_run_that_is_moved_goes_on_and_one_that_is_deleted_says_so(run: RunFolder, tmp_path: Path) -> None:
    from loratory.jobs.index import UnknownRun

    places = [run.path, tmp_path / "elsewhere"]

    def find(run_id: str) -> Path:
        found = [place for place in places if (place / "status.json").exists()]
        if not found:
            raise UnknownRun(run_id)
        return found[0]

    async def work() -> None:
        server = Live(find)
        run.emit("one")
        answer = await first(server, "now", beat_seconds=1.0)
        run.path.rename(places[1])
        RunFolder.open(places[1]).emit("two")
        answer = await first(server, answer["cursor"], beat_seconds=2.0)
        assert kinds(answer) == ["two"]
        places[1].rename(tmp_path / "away")
        answer = await first(server, answer["cursor"], beat_seconds=2.0)
        assert kinds(answer) == ["gone"]
        server.close()

    asyncio.run(work())


def test_a_line_that_is_no_json_of_ours_harms_nobody(run: RunFolder) -> None:
    run.emit("one")
    with run.events_path.open("ab") as stream:
        stream.write(b'{"seq": 2, "time": "", "kind": "bad", "data": {"x": NaN}}\nnonsense\n{"seq": 3}\n')
    run.emit("two")

    async def work(server: Live) -> None:
        found = []
        cursor = None
        while (answer := await first(server, cursor))["events"]:
            found += kinds(answer)
            cursor = answer["cursor"]
        assert found == ["one", "two", "state"]

    following(work, run.path)
