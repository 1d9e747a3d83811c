"""Rebuild the queue from run folders: for a database that was lost or comes from elsewhere."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete

from loratory.errors import UserError
from loratory.jobs.endings import cause_of
from loratory.jobs.folders import is_run
from loratory.jobs.queue import Queue, resting_state
from loratory.jobs.tables import jobs
from loratory.runs import is_held, known_runs, read_holder
from loratory.runs.status import ACTIVE_STATES, LOCK_FILE, Status, read_status_file

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rebuilt:
    """How many jobs were entered, taken out because their folder is gone, and could not be read."""

    entered: int
    removed: int
    unreadable: int


def rebuild(queue: Queue) -> Rebuilt:
    """Enter every known run that the queue lacks, oldest first, and take out those whose folder is gone.

    What waited is held, since only the queue knew what was to begin by itself; what the queue knows stays as it is.
    """
    there = {job.id: job for job in queue.jobs()}
    gone = [job.id for job in there.values() if not job.is_active and not is_run(Path(job.folder), job.id)]
    with queue.engine.begin() as connection:
        for job_id in gone:
            connection.execute(delete(jobs).where(jobs.c.id == job_id))
    found: list[tuple[Path, Status]] = []
    unreadable = 0
    for folder in known_runs():
        try:
            found.append((folder, read_status_file(folder)))
        except UserError as error:
            log.warning("%s", error)
            unreadable += 1
    entered = 0
    for folder, status in sorted(found, key=lambda each: each[1].id):
        if status.id in there.keys() - set(gone):
            continue
        try:
            _enter(queue, folder, status)
            entered += 1
        except UserError as error:
            log.warning("%s", error)
            unreadable += 1
    return Rebuilt(entered, len(gone), unreadable)


def _enter(queue: Queue, folder: Path, status: Status) -> None:
    if status.state in ACTIVE_STATES:  # the worker will see whether it still is
        holder = read_holder(folder / LOCK_FILE) if is_held(folder / LOCK_FILE) else None
        queue.adopt(folder, None if holder is None else holder.process(), state="running")
        return
    queue.adopt(folder, state=resting_state(folder))
    if status.state == "failed" and status.error is not None:
        queue.set(status.id, cause=cause_of(status.error))
