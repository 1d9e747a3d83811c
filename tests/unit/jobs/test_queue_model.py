"""Any operations in any order: the queue does what a simple model of lists says."""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from loratory.jobs.database import open_database
from loratory.jobs.problems import WrongState
from loratory.jobs.queue import Place, Queue
from loratory.jobs.tables import ACTIVE
from tests.unit.jobs.conftest import config

NOW = datetime(2026, 3, 1, tzinfo=UTC)
QUEUES = ("0", "1", "0,1", "cpu")


class Model(RuleBasedStateMachine):
    """`line[queue]`: (priority, id) in order; `held`, `active` and `resting` are sets of ids."""

    ids = Bundle("ids")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        os.environ["LORATORY_HOME"] = self.folder.name
        self.queue = Queue(open_database(Path(self.folder.name) / "state" / "queue.db"))
        self.line: dict[str, list[tuple[int, str]]] = {name: [] for name in QUEUES}
        self.place: dict[str, str] = {}
        self.state: dict[str, str] = {}
        self.paused: set[str] = set()
        self.count = 0

    def teardown(self) -> None:
        if hasattr(self, "queue"):
            self.queue.engine.dispose()
            self.folder.cleanup()

    def put(self, job: str, priority: int, top: bool) -> None:
        line = self.line[self.place[job]]
        places = range(len(line) + 1)
        fits = [
            n for n in places if all(p >= priority for p, _ in line[:n]) and all(p <= priority for p, _ in line[n:])
        ]
        line.insert(fits[0] if top else fits[-1], (priority, job))

    def take(self, job: str) -> int:
        line = self.line[self.place[job]]
        priority = next(p for p, each in line if each == job)
        line.remove((priority, job))
        return priority

    def waits(self, job: str) -> bool:
        return self.state[job] in ("waiting", "held")

    @rule(target=ids, queue=st.sampled_from(QUEUES), priority=st.integers(-1, 1), hold=st.booleans(), top=st.booleans())
    def enqueue(self, queue: str, priority: int, hold: bool, top: bool) -> str:
        self.count += 1
        job = self.queue.enqueue(config(f"j{self.count}"), Place(queue, priority, hold=hold, top=top))
        self.place[job.id], self.state[job.id] = queue, "held" if hold else "waiting"
        self.put(job.id, priority, top)
        return job.id

    @rule(job=ids)
    def hold(self, job: str) -> None:
        if self.waits(job):
            self.queue.hold(job)
            self.state[job] = "held"
        else:
            with pytest.raises(WrongState):
                self.queue.hold(job)

    @rule(job=ids)
    def release(self, job: str) -> None:
        if self.waits(job):
            self.queue.release(job)
            self.state[job] = "waiting"

    @rule(job=ids, other=ids, after=st.booleans())
    def move(self, job: str, other: str, after: bool) -> None:
        if job == other or not (self.waits(job) and self.waits(other)) or self.place[job] != self.place[other]:
            return
        self.queue.move(job, **{"after" if after else "before": other})
        self.take(job)
        line = self.line[self.place[job]]
        place = next(n for n, (_, each) in enumerate(line) if each == other)
        line.insert(place + after, (line[place][0], job))

    @rule(job=ids, priority=st.integers(-1, 1))
    def priority(self, job: str, priority: int) -> None:
        if self.waits(job):
            line = self.line[self.place[job]]
            before = [each for _, each in line]
            self.queue.change(job, priority=priority)
            line[:] = [(priority if each == job else p, each) for p, each in line]
            line.sort(key=lambda entry: -entry[0])  # stable: but the job keeps its number among new equals
            numbers = {found.id: found.position for found in self.queue.jobs(("waiting", "held"), self.place[job])}
            line.sort(key=lambda entry: (-entry[0], numbers[entry[1]]))
            assert sorted(before) == sorted(each for _, each in line)

    @rule(job=ids)
    def stop(self, job: str) -> None:
        if self.waits(job):
            self.queue.stop(job)
            self.take(job)
            self.state[job] = "stopped"
        elif self.state[job] in ACTIVE:
            assert self.queue.stop(job).state == "stopping"
            self.state[job] = "stopping"

    @rule(job=ids)
    def resume(self, job: str) -> None:
        if self.state[job] in ("stopped", "finished"):
            self.queue.resume(job)
            self.state[job] = "waiting"
            self.put(job, self.queue.job(job).priority, top=False)
        else:
            with pytest.raises(WrongState):
                self.queue.resume(job)

    @rule(job=consumes(ids))
    def delete(self, job: str) -> None:
        if self.state[job] in ACTIVE:
            with pytest.raises(WrongState):
                self.queue.delete(job)
            return  # it is left alone from now on
        if self.waits(job):
            self.take(job)
        assert self.queue.delete(job) is not None
        del self.state[job]

    @rule(name=st.sampled_from(QUEUES), paused=st.booleans())
    def pause_queue(self, name: str, paused: bool) -> None:
        self.queue.pause_queue(name, paused=paused)
        (self.paused.add if paused else self.paused.discard)(name)

    @rule()
    def claim(self) -> None:
        """No device twice, nothing that is held or paused, and of each queue the first that may."""
        for job in self.queue.claim(NOW):
            assert self.place[job.id] not in self.paused
            able = [each for _, each in self.line[self.place[job.id]] if self.state[each] == "waiting"]
            assert job.id == able[0]
            self.take(job.id)
            self.state[job.id] = "starting"

    @rule(job=ids)
    def end(self, job: str) -> None:
        if self.state[job] in ACTIVE:
            self.queue.set(job, state="finished")
            self.state[job] = "finished"

    @invariant()
    def is_the_same(self) -> None:
        if not hasattr(self, "queue"):
            return
        found = self.queue.jobs()
        assert {job.id: job.state for job in found} == self.state
        for name, line in self.line.items():
            own = [job.id for job in self.queue.jobs(("waiting", "held"), name)]
            assert own == [each for _, each in line]
        devices = [gpu for job in found if job.state in ACTIVE for gpu in job.queue.split(",")]
        assert len(devices) == len(set(devices))


Model.TestCase.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


@pytest.mark.usefixtures("own_home")
class TestQueue(Model.TestCase):
    """Fsync is off here; the home of each example is its own."""
