"""A server that is killed while an engine works, and engines that are killed or halted: states become true."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from loratory.jobs.database import database_path, open_database
from loratory.jobs.queue import Queue
from loratory.jobs.stopping import end_tree
from loratory.jobs.tables import Job
from loratory.runs import RunFolder
from loratory.runs.status import read_status_file
from tests.e2e.jobs import config_of

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SECONDS = 30.0
"""Within which a state becomes true, and a stop ends."""
LOADING = 120.0
"""For torch and a model on a busy machine."""


class Server:
    """The worker's process, and the queue that it shares with this one."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.process = self.begin()

    def begin(self) -> "subprocess.Popen[bytes]":
        known = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen([sys.executable, str(ROOT / "tests/chaos/worker_process.py")], env=known)
        return self.process

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def until(self, job: Job, what: Callable[[Job], Any], seconds: float = SECONDS) -> Job:
        deadline = time.monotonic() + seconds
        while not what(now := self.queue.job(job.id)):
            log = Path(job.folder) / "output.txt"
            said = log.read_text(encoding="utf-8")[-2000:] if log.exists() else "nothing"
            assert time.monotonic() < deadline, f"it is {now.state} ({now.cause}); it printed {said}"
            time.sleep(0.1)
        return now


@pytest.fixture
def server(own_home: Path) -> Iterator[Server]:
    engine = open_database(database_path())
    found = Server(Queue(engine))
    yield found
    found.kill()
    for job in found.queue.jobs():
        if job.process is not None:
            end_tree(job.process.pid, group=True)
    engine.dispose()


def step(job: Job) -> int:
    return read_status_file(Path(job.folder)).step or 0


def is_state(*states: str) -> Callable[[Job], bool]:
    return lambda job: job.state in states


def engine_of(job: Job) -> int:
    assert job.process is not None
    return job.process.pid


def test_a_run_through_everything(server: Server, make_job: Callable) -> None:
    """One run: the server dies, the engine is halted, stopped, killed; and goes on from its last checkpoint."""
    changes = {"duration.steps": 100_000, "saving.checkpoint_every_n_steps": 5, "saving.keep_last_checkpoints": 100}
    queue = server.queue
    job = queue.enqueue(config_of(make_job("sd15", changes)))
    job = server.until(job, lambda now: now.state == "running" and step(now) > 5, LOADING)
    pid = engine_of(job)

    server.kill()
    before = step(job)
    deadline = time.monotonic() + SECONDS
    while step(job) <= before + 5:
        assert time.monotonic() < deadline, "the engine does not go on without its server"
        time.sleep(0.1)
    server.begin()
    time.sleep(2)
    assert engine_of(queue.job(job.id)) == pid
    assert psutil.pid_exists(pid)

    os.kill(pid, signal.SIGSTOP)
    server.until(job, is_state("unresponsive"))
    os.kill(pid, signal.SIGCONT)
    server.until(job, is_state("running"))
    queue.stop(job.id)
    server.until(job, is_state("stopped"))
    run = RunFolder.open(Path(job.folder))
    stopped_at = step(job)
    newest = run.newest_checkpoint()
    assert newest is not None
    assert newest.step == stopped_at, "asked kindly it saves"

    queue.resume(job.id)
    server.until(job, lambda now: now.state == "running" and step(now) > stopped_at + 5, LOADING)
    os.kill(engine_of(queue.job(job.id)), signal.SIGKILL)
    died = server.until(job, is_state("failed"))
    assert died.cause is not None
    assert died.cause["code"] == "killed"
    assert read_status_file(run.path).state == "failed"

    queue.resume(job.id)
    server.until(job, is_state("starting"))
    queue.stop(job.id)  # while it loads
    server.until(job, is_state("stopped"))
    assert not psutil.pid_exists(engine_of(job)) or psutil.Process(engine_of(job)).status() == psutil.STATUS_ZOMBIE
