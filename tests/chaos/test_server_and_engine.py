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

pytestmark = pytest.mark.chaos

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


def begin(server: Server, make_job: Callable) -> Job:
    """A run of very many steps, a few of which are done."""
    changes = {"duration.steps": 100_000, "saving.checkpoint_every_n_steps": 5}
    job = server.queue.enqueue(config_of(make_job("sd15", changes)))
    return server.until(job, lambda now: now.state == "running" and step(now) > 5, LOADING)


@pytest.mark.slow
def test_the_server_dies_and_the_engine_is_halted(server: Server, make_job: Callable) -> None:
    """The run goes on and is found again; it is seen to be halted; it saves and ends when it is asked to."""
    job = begin(server, make_job)
    pid, queue = engine_of(job), server.queue
    server.kill()
    before = step(job)
    deadline = time.monotonic() + SECONDS
    while step(job) <= before + 5:
        assert time.monotonic() < deadline, "the engine does not go on without its server"
        time.sleep(0.1)
    server.begin()
    os.kill(pid, signal.SIGSTOP)
    server.until(job, is_state("unresponsive"))
    os.kill(pid, signal.SIGCONT)
    assert engine_of(server.until(job, is_state("running"))) == pid
    queue.stop(job.id)
    server.until(job, is_state("stopped"))
    newest = RunFolder.open(Path(job.folder)).newest_checkpoint()
    assert newest is not None
    assert newest.step == step(job), "asked kindly it saves"
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.full
def test_the_engine_is_killed_and_goes_on_and_is_stopped_while_it_loads(server: Server, make_job: Callable) -> None:
    job = begin(server, make_job)
    queue = server.queue
    os.kill(engine_of(job), signal.SIGKILL)
    died = server.until(job, is_state("failed"))
    assert died.cause is not None
    assert died.cause["code"] == "killed"
    assert read_status_file(Path(job.folder)).state == "failed"
    before = step(job)
    queue.resume(job.id)
    server.until(job, lambda now: now.state == "running" and step(now) > before + 5, LOADING)
    halted = engine_of(queue.job(job.id))
    os.kill(halted, signal.SIGSTOP)
    queue.stop(job.id)
    server.until(job, is_state("stopped"))
    queue.resume(job.id)
    server.until(job, lambda now: now.state == "starting" and now.process is not None)
    queue.stop(job.id)
    server.until(job, is_state("stopped"))
