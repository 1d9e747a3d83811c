"""The queue: what waits, in which order, and what was asked of each job. Every operation is one transaction.

Engines are the worker's business (`worker.py`); what is in run folders is told apart in `folders.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from loratory.errors import UserError
from loratory.jobs import folders
from loratory.jobs.database import reading
from loratory.jobs.devices import LIGHT, LIGHT_SLOTS, check_queue, queue_of, share_a_device
from loratory.jobs.engines import KINDS
from loratory.jobs.problems import NoSuchJob, WrongState
from loratory.jobs.tables import ACTIVE, LEAVING, RESTING, WAITING, Job, jobs, queues
from loratory.runs import ProcessId, RunFolder, known_runs, utc_now
from loratory.runs.status import read_status_file
from loratory.trash import Trashed

if TYPE_CHECKING:
    from loratory.config.train import TrainConfig

_ORDER = (jobs.c.priority.desc(), jobs.c.position)


@dataclass(frozen=True)
class Place:
    """Where and when a new job waits."""

    queue: str | None = None
    """None: the job's `runtime.device` decides."""
    priority: int = 0
    not_before: datetime | None = None
    hold: bool = False
    top: bool = False


@dataclass(frozen=True)
class Again:
    """How a run goes on. `changes` as in `--set`; `from_step`: an older checkpoint (0: the beginning)."""

    changes: Sequence[str] = ()
    from_step: int | None = None
    weights_only: bool = False
    top: bool = False


class Queue:
    """All operations. Any number of processes may use the same database; `changed` is called after each change."""

    def __init__(self, engine: Engine, changed: Callable[[], None] = lambda: None) -> None:
        self.engine, self.changed = engine, changed
        self.moved: Callable[[], None] = lambda: None
        """Called after the worker has moved a job from one state to another."""

    # Looking

    def jobs(self, states: Collection[str] = (), queue: str | None = None) -> list[Job]:
        """Active ones first, then those that wait, in their order, then the others, newest first."""
        query = select(jobs)
        if states:
            query = query.where(jobs.c.state.in_(states))
        if queue is not None:
            query = query.where(jobs.c.queue == queue)
        with reading(self.engine) as connection:
            found = [Job.of(row) for row in connection.execute(query.order_by(*_ORDER))]
        rank = dict.fromkeys(ACTIVE, 0) | dict.fromkeys(WAITING, 1)
        resting = sorted((job for job in found if job.state not in rank), key=lambda job: job.changed, reverse=True)
        waiting = sorted((job for job in found if job.state in rank), key=lambda job: rank[job.state])
        return [*waiting, *resting]

    def job(self, job_id: str) -> Job:
        """One of them. Raises NoSuchJob."""
        with reading(self.engine) as connection:
            return _one(connection, job_id)

    def queues(self) -> dict[str, bool]:
        """The queues that hold anything or were paused, and whether each is paused."""
        with reading(self.engine) as connection:
            used = connection.execute(select(jobs.c.queue).distinct()).scalars().all()
            paused = connection.execute(select(queues.c.name).where(queues.c.paused)).scalars().all()
            known = connection.execute(select(queues.c.name)).scalars().all()
        return {name: name in paused for name in sorted({*used, *known})}

    # Coming and going

    def enqueue(
        self, config: TrainConfig, place: Place = Place(), *, numbered: bool = False, kind: str = "train"
    ) -> Job:  # fmt: skip
        """Freeze the config in a new run's folder and let it wait. Raises NameIsTaken, UserError, DiskFull."""
        queue = check_queue(place.queue) if place.queue is not None else queue_of(config)
        if KINDS[kind].is_light:
            queue = LIGHT
        facts = {
            "state": "held" if place.hold else "waiting", "priority": place.priority,
            "not_before": _utc(place.not_before), "changed": utc_now(),
        }  # fmt: skip
        run = folders.make(config, numbered=numbered)
        values = _row(run, kind, queue, "queue") | facts
        with self.engine.begin() as connection:
            values["position"] = _end(connection, top=place.top)
            connection.execute(insert(jobs).values(values))
        self.changed()
        return self.job(run.id)

    def copy(self, job_id: str, changes: Sequence[str], place: Place = Place(), name: str | None = None) -> Job:
        """A new run with the config of this one and changes. Without a name it has the old one with a number."""
        job = self._known(job_id)
        config = folders.config_of(Path(job.folder), changes)
        if name is not None:
            config = config.model_copy(update={"name": name})
        return self.enqueue(config, place, numbered=name is None)

    def delete(self, job_id: str) -> Trashed | None:
        """Throw the run's folder into the trash and forget the job. Refused while an engine works on it."""
        with self._changing(job_id, {*WAITING, *RESTING}, "deleted") as (connection, job):
            _set(connection, job_id, state="held")  # so that nobody starts it meanwhile
        try:
            trashed = folders.throw_away(Path(job.folder)) if folders.is_run(Path(job.folder), job_id) else None
        except BaseException:
            with self.engine.begin() as connection:
                _set(connection, job_id, state=job.state)
            raise
        with self.engine.begin() as connection:
            connection.execute(delete(jobs).where(jobs.c.id == job_id))
        self.changed()
        return trashed

    def adopt(
        self, folder: Path, process: ProcessId | None = None, *, state: str, queue: str | None = None,
        origin: str = "command line",
    ) -> Job:  # fmt: skip
        """Enter a run that is not in the queue, or say what became of one that somebody else started.

        Raises UserError where the folder is no run.
        """
        run = RunFolder.open(folder)
        now = utc_now()
        facts: dict[str, Any] = {"state": state, "changed": now, **_process(process)}
        with self.engine.begin() as connection:
            if connection.execute(select(jobs.c.id).where(jobs.c.id == run.id)).first() is None:
                connection.execute(delete(jobs).where(jobs.c.folder == str(run.path)))  # an older run, since removed
                place = queue or queue_of(folders.config_of(folder))
                values = _row(run, "train", place, origin) | {"position": _end(connection)} | facts
                connection.execute(insert(jobs).values(values))
            else:
                _set(connection, run.id, folder=str(run.path), origin=origin, stop_asked=None, cause=None,
                     **facts)  # fmt: skip
        self.changed()
        return self.job(run.id)

    def _known(self, job_id: str) -> Job:
        """A job, entered now if it is the run of somebody who never asked the queue. Raises NoSuchJob."""
        try:
            return self.job(job_id)
        except NoSuchJob:
            for folder in known_runs():
                if folders.is_run(folder, job_id):
                    return self.adopt(folder, state=resting_state(folder))
            raise

    # Waiting

    def hold(self, job_id: str) -> Job:
        """Keep a waiting job from beginning."""
        return self._turn(job_id, {"waiting", "held"}, "held", state="held")

    def release(self, job_id: str) -> Job:
        """Let a held job wait for its turn."""
        return self._turn(job_id, {"waiting", "held"}, "released", state="waiting")

    def move(self, job_id: str, *, before: str | None = None, after: str | None = None) -> Job:
        """Put a job that waits in front of another one of its queue, or behind it; without either, to the top.

        It takes the other one's priority, for the order goes by that first.
        """
        with self._changing(job_id, WAITING, "moved") as (connection, job):
            row = _waiting(connection, job.queue)
            line = [each for each in row if each.id != job_id]
            target = before or after
            place = 0
            if target is not None:
                place = next((number for number, each in enumerate(line) if each.id == target), -1)
                if place < 0:
                    raise NoSuchJob(target)
            priority = line[place].priority if line else job.priority
            line.insert(place + (after is not None and before is None), job)
            for number, each in enumerate(line):
                if each.id == job_id:
                    _set(connection, job_id, position=number, priority=priority)
                elif each.position != number:
                    _set(connection, each.id, position=number)
        return self.job(job_id)

    def change(self, job_id: str, **values: Any) -> Job:
        """Another `priority`, `not_before` (a time, or None) or `queue` of a job that waits. Raises UserError."""
        facts = dict(values)
        if "queue" in facts:
            facts["queue"] = check_queue(facts["queue"])
        if "not_before" in facts:
            facts["not_before"] = _utc(facts["not_before"])
        return self._turn(job_id, WAITING, "changed", **facts)

    def pause_queue(self, name: str, *, paused: bool) -> None:
        """Start nothing more of a queue (what runs goes on), or go on with it. Raises UserError for no queue."""
        name = check_queue(name)
        with self.engine.begin() as connection:
            connection.execute(delete(queues).where(queues.c.name == name))
            connection.execute(insert(queues).values(name=name, paused=paused))
        self.changed()

    # Beginning, ending, going on

    def stop(self, job_id: str, *, pause: bool = False) -> Job:
        """End a job: one that waits leaves the queue, one that runs saves and ends, within 30 seconds in any case.

        `pause`: it is marked as paused then, and `resume` puts it back.
        """
        resting, leaving = ("paused", "pausing") if pause else ("stopped", "stopping")
        allowed = {*WAITING, *ACTIVE} if pause else {*WAITING, *ACTIVE, "paused"}
        with self._changing(job_id, allowed, "paused" if pause else "stopped") as (connection, job):
            if job.state == "paused":
                _set(connection, job_id, state=resting)
            elif job.state in WAITING:
                if not pause and folders.is_run(Path(job.folder), job_id):
                    folders.say_state(Path(job.folder), "stopped", "taken out of the queue")
                _set(connection, job_id, state=resting)
            elif not (pause and job.state == "stopping"):
                _set(connection, job_id, state=leaving, stop_asked=job.stop_asked or utc_now())
        return self.job(job_id)

    def resume(self, job_id: str, again: Again = Again()) -> Job:
        """Put a job that rests back into its queue: it goes on from its newest checkpoint, or as `again` says. Changes
        that name a device put it into that one's queue.

        Raises WrongState, UserError for changes that are not possible, RunBusy, DiskFull.
        """
        job = self._known(job_id)
        _check(job, RESTING, "resumed")
        folder, queue = Path(job.folder), job.queue
        if folders.names_a_device(again.changes):
            queue = queue_of(folders.config_of(folder, again.changes))
        folders.make_ready(folder, again.changes, again.from_step)
        with self._changing(job_id, RESTING, "resumed") as (connection, job):
            place = _end(connection, top=again.top or job.state == "paused")
            _set(connection, job_id, state="waiting", queue=queue, position=place, weights_only=again.weights_only,
                 origin="queue", cause=None, stop_asked=None, not_before=None, **_process(None))  # fmt: skip
        return self.job(job_id)

    # For the worker

    def claim(self, now: datetime) -> list[Job]:
        """Take what is due and has a free device, and call it starting."""
        taken: list[Job] = []
        with reading(self.engine) as connection:  # most looks find nothing, and shall hold up nobody
            if not _due(connection, now):
                return taken
        with self.engine.begin() as connection:
            busy = list(connection.execute(select(jobs.c.queue).where(jobs.c.state.in_(ACTIVE))).scalars())
            for job in _due(connection, now):
                is_free = _is_free(job.queue, busy)
                # Also where it is not: what comes later must not keep one of several GPUs for ever from who wants all.
                busy.append(job.queue)
                if not is_free:
                    continue
                _set(connection, job.id, state="starting", launched=utc_now(), origin="queue", cause=None,
                     stop_asked=None, **_process(None))  # fmt: skip
                taken.append(_one(connection, job.id))
        return taken

    def set(self, job_id: str, only_from: Collection[str] = (), **values: Any) -> bool:
        """Write down what the worker saw; with `only_from`, only if the job's state is one of these. Did it?"""
        if isinstance(values.get("cause"), dict):
            values["cause"] = json.dumps(values["cause"])
        if "process" in values:
            values |= _process(values.pop("process"))
        query = update(jobs).where(jobs.c.id == job_id)
        if only_from:
            query = query.where(jobs.c.state.in_(only_from))
        with self.engine.begin() as connection:
            done = bool(connection.execute(query.values(**values, changed=utc_now())).rowcount)
        if done and "state" in values:
            self.moved()
        return done

    # Inside

    @contextmanager
    def _changing(self, job_id: str, allowed: Collection[str], doing: str) -> Iterator[tuple[Connection, Job]]:
        with self.engine.begin() as connection:
            job = _one(connection, job_id)
            _check(job, allowed, doing)
            yield connection, job
        self.changed()

    def _turn(self, job_id: str, allowed: Collection[str], doing: str, **values: Any) -> Job:
        with self._changing(job_id, allowed, doing) as (connection, _):
            _set(connection, job_id, **values)
        return self.job(job_id)


def resting_state(folder: Path) -> str:
    """What a run that nobody works on is called in the queue, by its folder. One that waited is held: whoever lost the
    queue decides what begins. Raises UserError."""
    state = read_status_file(folder).state
    return {"queued": "held", "finished": "finished", "stopped": "stopped"}.get(state, "failed")


def _row(run: RunFolder, kind: str, queue: str, origin: str) -> dict[str, Any]:
    return {
        "id": run.id, "kind": kind, "name": run.name, "folder": str(run.path), "queue": queue, "origin": origin,
        "priority": 0, "weights_only": False, "created": read_status_file(run.path).created,
    }  # fmt: skip


def _process(process: ProcessId | None) -> dict[str, Any]:
    if process is None:
        return {"pid": None, "began": None, "boot": None}
    return {"pid": process.pid, "began": process.began, "boot": process.boot}


def _one(connection: Connection, job_id: str) -> Job:
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).first()
    if row is None:
        raise NoSuchJob(job_id)
    return Job.of(row)


def _check(job: Job, allowed: Collection[str], doing: str) -> None:
    if job.state not in allowed:
        raise WrongState(job.name, job.state, doing, allowed)


def _set(connection: Connection, job_id: str, **values: Any) -> None:
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values, changed=utc_now()))


def _end(connection: Connection, *, top: bool = False) -> int:
    """A place behind all others, or before them."""
    edge = func.min(jobs.c.position) if top else func.max(jobs.c.position)
    found = connection.execute(select(edge)).scalar()
    return 0 if found is None else int(found) + (-1 if top else 1)


def _waiting(connection: Connection, queue: str) -> list[Job]:
    query = select(jobs).where(jobs.c.queue == queue, jobs.c.state.in_(WAITING)).order_by(*_ORDER)
    return [Job.of(row) for row in connection.execute(query)]


def _due(connection: Connection, now: datetime) -> list[Job]:
    """What may begin now if its device is free, in order."""
    paused = select(queues.c.name).where(queues.c.paused)
    query = select(jobs).where(
        jobs.c.state == "waiting", jobs.c.queue.not_in(paused),
        (jobs.c.not_before.is_(None)) | (jobs.c.not_before <= _utc(now)),
    )  # fmt: skip
    return [Job.of(row) for row in connection.execute(query.order_by(*_ORDER))]


def _is_free(queue: str, busy: Sequence[str]) -> bool:
    if queue == LIGHT:
        return busy.count(LIGHT) < LIGHT_SLOTS
    return not any(share_a_device(queue, other) for other in busy)


def _utc(time: datetime | None) -> str | None:
    """In the one form in which texts are compared. Raises UserError for a time without a zone."""
    if time is None:
        return None
    if time.tzinfo is None:
        raise UserError(f"The time {time.isoformat()} has no zone; end it with Z for UTC, or with +02:00.")
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


__all__ = ["ACTIVE", "LEAVING", "RESTING", "WAITING", "Again", "Job", "Place", "Queue", "resting_state"]
