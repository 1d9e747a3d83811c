"""A queue in a home of its own, small jobs, and engines that are played by a script."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loratory.config.load import parse
from loratory.config.train import TrainConfig
from loratory.jobs.database import database_path, open_database
from loratory.jobs.engines import start
from loratory.jobs.queue import Place, Queue
from loratory.jobs.stopping import Patience, end_tree
from loratory.jobs.tables import Job
from loratory.jobs.worker import Worker

ENGINE = Path(__file__).with_name("engine.py")
ROOT = Path(__file__).parents[3]
QUICK = Patience(insist=0.6, again=1.0, end=1.4, mark=4.0)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return tmp_path / "home"


def config(name: str = "dog", **changes: Any) -> TrainConfig:
    data = {"name": name, "model": {"path": "demo"}, "datasets": [{"path": "/pictures"}], "runtime": {"device": "cpu"}}
    return parse(data | changes, "the job")


@pytest.fixture
def queue(own_home: Path) -> Iterator[Queue]:
    engine = open_database(database_path())
    yield Queue(engine)
    engine.dispose()


@pytest.fixture
def add(queue: Queue) -> Callable[..., Job]:
    """`add(name, …)`: a waiting job; the words are those of Place."""

    def put(name: str = "dog", **place: Any) -> Job:
        return queue.enqueue(config(name), Place(**place))

    return put


class Played:
    """A worker whose engines are played; `look` is called here, so that every moment is the test's own."""

    def __init__(self, queue: Queue) -> None:
        self.queue, self.behaviour = queue, "obey"
        self.started: list[subprocess.Popen[bytes]] = []
        self.worker = self.new_worker()

    def new_worker(self, patience: Patience = QUICK) -> Worker:
        """Another one, as after a restart of the server: it knows nothing of the engines but what is written down."""
        return Worker(self.queue, start_engine=self._start, patience=patience)

    def _start(self, job: Job) -> "subprocess.Popen[bytes]":
        child = start([sys.executable, str(ENGINE), job.folder, self.behaviour], job)
        self.started.append(child)
        return child

    def until(self, job: Job, *states: str, seconds: float = 20.0) -> Job:
        """Look again and again until the job is in one of these states."""
        deadline = time.monotonic() + seconds
        while True:
            self.worker.look()
            now = self.queue.job(job.id)
            if now.state in states:
                return now
            assert time.monotonic() < deadline, f"it is {now.state} and not {states}; {now.cause}"
            time.sleep(0.03)

    def close(self) -> None:
        for child in self.started:
            end_tree(child.pid, group=True)
            child.wait()


@pytest.fixture
def played(queue: Queue) -> Iterator[Played]:
    found = Played(queue)
    yield found
    found.close()
