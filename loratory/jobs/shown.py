"""A job as it is shown: its row, what its run's folder says of progress, and the ways on where it failed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loratory.errors import UserError
from loratory.jobs.causes import Action, Case, actions
from loratory.jobs.folders import config_of
from loratory.jobs.tables import Job
from loratory.runs import RunFolder
from loratory.runs.status import Status, read_status_file
from loratory.trash import size_of


def progress(job: Job) -> Status | None:
    """What the folder says; None where it is gone."""
    try:
        return read_status_file(Path(job.folder))
    except UserError:
        return None


@dataclass(frozen=True)
class Details:
    """What is worth a look at a run's folder for one job, and too much for all of them."""

    bytes: int
    checkpoints: tuple[int, ...]
    actions: tuple[Action, ...]


def details(job: Job) -> Details:
    """Size and checkpoints of the run, and what can be done next if it failed."""
    folder = Path(job.folder)
    if not folder.is_dir():
        return Details(0, (), ())
    steps = tuple(each.step for each in RunFolder.open(folder).checkpoints())
    found: list[Action] = []
    if job.state == "failed" and job.cause is not None:
        try:
            config = config_of(folder)
        except UserError:
            config = None
        found = actions(job.cause["code"], Case(job.cause["message"], config, steps))
    return Details(size_of(folder), steps, tuple(found))
