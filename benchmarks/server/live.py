"""What following runs costs the server: 20 browsers on one run that writes 10 events a second; the index; the numbers.

    python benchmarks/server/live.py [--seconds 20] [--output benchmarks/results/server_live.json]

The server is a process of its own; its processor time and memory are those of that process. An event's lag is the time
from its writing to its arrival in a browser (here: a WebSocket client in the process that measures).
"""

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import psutil
from websockets.asyncio.client import connect

from loratory.files import HOME_VARIABLE
from loratory.jobs.database import open_database
from loratory.jobs.history import History
from loratory.jobs.index import Index, Query
from loratory.runs import MetricsLog, RunFolder

READERS = 20
EVENTS_PER_SECOND = 10
RUNS = 1000
STEPS = 100_000
SERVER = """
import sys, uvicorn
from loratory.server.app import create_app
uvicorn.run(create_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
"""


def write(run: RunFolder, seconds: float) -> None:
    """An engine at ten steps a second: a line of numbers, an event and a line of the log for each."""
    with run.lock(), run.metrics() as metrics, run.log_path.open("a", encoding="utf-8") as log:
        run.write_status("starting")
        begin = time.monotonic()
        for step in range(1, int(seconds * EVENTS_PER_SECOND) + 1):
            time.sleep(max(begin + step / EVENTS_PER_SECOND - time.monotonic(), 0))
            metrics.append(step, **{f"number_{number}": 0.123456789 * number for number in range(20)})
            log.write(f"step {step}: something is said about it, as engines do\n")
            log.flush()
            if step % EVENTS_PER_SECOND == 0:
                run.write_status("training", step=step, total_steps=10**6)
            run.emit("step", number=step, at=time.time())
        run.write_status("finished")


async def read(address: str, lags: list[float]) -> int:
    """A browser: until the run has finished. Returns how many events it saw."""
    seen = 0
    async with connect(address) as stream:
        while True:
            page = json.loads(await stream.recv())
            now = time.time()
            for event in page["events"]:
                if event["kind"] == "step":
                    lags.append(now - event["data"]["at"])
                    seen += 1
                elif event["source"] == "status" and event["data"]["state"] == "finished":
                    return seen


def follow(home: Path, seconds: float) -> dict[str, Any]:
    """Twenty browsers on one run."""
    run = RunFolder.create(home / "output", "followed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(port)], env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.05)
        process = psutil.Process(server.pid)
        time.sleep(1)
        before, idle_mb = process.cpu_times(), process.memory_info().rss / 2**20
        lags: list[float] = []
        engine = threading.Thread(target=write, args=(run, seconds))
        engine.start()
        address = f"ws://127.0.0.1:{port}/api/jobs/{run.id}/events?after=now"
        begin = time.monotonic()

        async def readers() -> list[int]:
            return await asyncio.gather(*(read(address, lags) for _ in range(READERS)))

        seen = asyncio.run(readers())
        elapsed, after = time.monotonic() - begin, process.cpu_times()
        engine.join()
        busy = after.user + after.system - before.user - before.system
        return {
            "readers": READERS, "events a second": EVENTS_PER_SECOND, "seconds": round(elapsed, 1),
            "events of each reader, least": min(seen),
            "server's processor, % of a core": round(100 * busy / elapsed, 1),
            "server's memory idle, MB": round(idle_mb), "with readers, MB": round(process.memory_info().rss / 2**20),
            "lag, median ms": round(1000 * statistics.median(lags)),
            "lag, 99 of 100 below, ms": round(1000 * statistics.quantiles(lags, n=100)[98]),
        }  # fmt: skip
    finally:
        server.terminate()
        server.wait(10)


def milliseconds(work: Callable[[], Any], times: int = 1) -> float:
    """The median processor time of a call: other work of a shared machine does not count."""
    taken = []
    for _ in range(times):
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
    return round(1000 * statistics.median(taken), 1)


def index(home: Path) -> dict[str, Any]:
    """A thousand runs in the index."""
    first = RunFolder.create(home / "output", "run")
    status = first.status_path.read_text()
    for number in range(RUNS - 1):
        folder = home / "output" / f"run {number}"
        folder.mkdir()
        (folder / "status.json").write_text(status.replace(first.id, f"{first.id[:-4]}{number:04}"))
    made = Index(open_database(home / "index.sqlite"))
    return {
        "runs": RUNS, "built, ms": milliseconds(made.rebuild),
        "refreshed, nothing new, ms": milliseconds(made.refresh, 9),
        "a page of 100, searched, ms": milliseconds(lambda: made.list(Query(search="run 9")), 9),
        "folder of a run, ms": milliseconds(lambda: made.find(first.id), 9),
    }  # fmt: skip


def numbers(home: Path) -> dict[str, Any]:
    """A hundred thousand steps as a frame."""
    path = home / "metrics.jsonl"
    with MetricsLog(path, flush_lines=10_000) as log:
        for step in range(1, STEPS + 1):
            log.append(step, **{f"number_{number}": 0.1 * number + step for number in range(10)})
    history, everything = History(path), (0, STEPS)
    return {
        "steps": STEPS, "series": 10, "first frame, ms": milliseconds(lambda: history.frame([], everything, 4000)),
        "again, ms": milliseconds(lambda: history.frame([], everything, 4000), 5),
        "again, every point, ms": milliseconds(lambda: history.frame([], everything, None), 5),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ[HOME_VARIABLE] = folder
        result = {
            "benchmark": "server_live", "follow": follow(home, arguments.seconds), "index": index(home),
            "numbers": numbers(home), "machine": {"system": platform.system(), "cores": psutil.cpu_count()},
        }  # fmt: skip
    text = json.dumps(result, indent=2) + "\n"
    print(text, end="")
    if arguments.output:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
