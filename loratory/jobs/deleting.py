"""Delete a run, be it in the queue or not: one way for everybody who asks. And what happens when it comes back."""

from __future__ import annotations

from pathlib import Path

from loratory.errors import UserError
from loratory.jobs.contents import Busy, delete_run
from loratory.jobs.index import Index, UnknownRun
from loratory.jobs.problems import NoSuchJob, WrongState
from loratory.jobs.queue import Queue, resting_state
from loratory.runs import RunFolder
from loratory.trash import Trashed


def delete_run_and_job(queue: Queue, index: Index, run_id: str) -> Trashed | None:
    """Take it out of the queue, and move its folder to the trash; None where only the queue knew of it.

    Raises Busy while it works, UnknownRun.
    """
    trashed, was_job = None, True
    try:
        trashed = queue.delete(run_id)
    except WrongState as error:
        raise Busy(f"The run {queue.job(run_id).name!r} works; stop it first.") from error
    except NoSuchJob:
        was_job = False
    if trashed is None:  # no job, or one whose folder was moved since
        try:
            trashed = delete_run(index.find(run_id))
        except UnknownRun:
            if not was_job:
                raise
    index.refresh()
    return trashed


def run_came_back(queue: Queue, index: Index, folder: Path) -> None:
    """A folder was taken out of the trash: if it is a run, the queue knows it again. One that waited is held."""
    try:
        RunFolder.open(folder)
    except UserError:
        return  # something else
    queue.adopt(folder, state=resting_state(folder), origin="queue")
    index.refresh()
