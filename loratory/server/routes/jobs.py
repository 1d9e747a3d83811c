"""Jobs: what waits, what runs, and what was asked of it. A job's id is the id of its run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from loratory import runs
from loratory.drafts.draft import with_dataset_folders
from loratory.errors import UserError
from loratory.files import home
from loratory.jobs.problems import NameIsTaken, NoSuchJob, WrongState
from loratory.jobs.queue import Again, Place
from loratory.jobs.shown import details, progress
from loratory.jobs.tables import ACTIVE, JOB_STATES, Job, JobState
from loratory.runs import RunBusy
from loratory.server.context import Here
from loratory.server.problems import Refused

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

_MOST_PROMPTS = 1000
Changes = dict[str, Any]


class Body(BaseModel):
    """A request; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid")


class Cause(BaseModel):
    """Why a job failed."""

    code: str
    """For programs: out_of_memory, out_of_ram, not_a_number, disk_full, missing_model, gated_model, no_network,
    broken_dataset, killed, restarted, crashed, missing_folder, invalid, unknown."""
    message: str


class JobShown(BaseModel):
    """A job of the queue. Times are UTC."""

    id: str
    kind: str
    name: str
    queue: str
    origin: str
    """`queue`, or `command line` for one that somebody else started."""
    state: JobState
    priority: int
    not_before: str | None
    created: str
    launched: str | None
    weights_only: bool
    cause: Cause | None
    step: int | None = None
    total_steps: int | None = None
    eta_seconds: float | None = None
    phase: str | None = None
    """What the engine does: starting, caching, training, validating, sampling, saving."""


class ActionShown(BaseModel):
    """One way on for a job that failed."""

    do: Literal["resume", "copy", "open_page", "set_token", "empty_trash", "edit"]
    title: str
    changes: Changes
    from_step: int | None
    fields: tuple[str, ...]
    url: str | None


class JobDetails(JobShown):
    """One job with what a look into its run's folder tells."""

    bytes: int
    """Of the run's folder: what deleting it puts into the trash."""
    checkpoints: tuple[int, ...]
    """Steps from which it can go on."""
    actions: tuple[ActionShown, ...]


class NewJob(Body):
    """A job to be put into the queue. Relative paths in its config count from the home folder of Loratory; a dataset of
    this server may be named by its id, `dataset:<id>`."""

    config: dict[str, Any]
    queue: str | None = Field(None, max_length=100)
    """A GPU such as 0, several such as 0,1, or cpu; left out, the job decides."""
    priority: int = Field(0, ge=-1000, le=1000)
    not_before: datetime | None = None
    hold: bool = False
    top: bool = False
    numbered: bool = False
    """Where the name is taken, add a number to it instead of refusing."""


class JobChange(Body):
    """What of a waiting job shall be another; only what is given is changed."""

    queue: str | None = Field(None, max_length=100)
    priority: int | None = Field(None, ge=-1000, le=1000)
    not_before: datetime | None = None
    """null: as soon as its turn comes."""


class Move(Body):
    """A place in the queue; without either one, the top."""

    before: str | None = None
    after: str | None = None


class Resume(Body):
    """How a job goes on."""

    changes: Changes = {}
    """Dotted paths and values, such as {"memory.low_vram": true}."""
    from_step: int | None = Field(None, ge=0, le=10**9)
    """An older checkpoint; what is later goes to the trash. 0: from the beginning."""
    weights_only: bool = False
    """Start the optimizer fresh."""
    top: bool = False


class Copy(Body):
    """A new run from this one's config."""

    changes: Changes = {}
    name: str | None = Field(None, max_length=500)
    queue: str | None = Field(None, max_length=100)
    priority: int = Field(0, ge=-1000, le=1000)
    not_before: datetime | None = None
    hold: bool = False
    top: bool = False


class Prompts(Body):
    """Prompts of the samples, from now on."""

    prompts: list[str] = Field(max_length=_MOST_PROMPTS)


class Asked(BaseModel):
    """A request to a run. The event that answers it names the same id."""

    request: str


class Deleted(BaseModel):
    """What became of a deleted run."""

    trash: str | None
    """Its id in the trash; null where its folder was gone already."""
    bytes: int


@router.get("")
def list_jobs(here: Here, state: str | None = None, queue: str | None = None) -> list[JobShown]:
    """List jobs: those that run, those that wait, in their order, then the others, newest first."""
    states = [each for each in (state or "").split(",") if each]
    if unknown := [each for each in states if each not in JOB_STATES]:
        raise Refused(422, "no_state", f"There is no state {unknown[0]!r}; states are {', '.join(JOB_STATES)}.")
    return [_shown(job) for job in here.queue.jobs(states, queue)]


@router.post("", status_code=201)
def create_job(here: Here, body: NewJob) -> JobShown:
    """Put a job into the queue; its config is frozen now."""
    from loratory.config.load import absolute_paths, parse

    with _refusing():
        data = with_dataset_folders(body.config, here.desk.find_dataset)
        config = parse(absolute_paths(data, home()), "the job")
        place = Place(body.queue, body.priority, body.not_before, body.hold, body.top)
        return _shown(here.queue.enqueue(config, place, numbered=body.numbered))


@router.get("/{job_id}")
def get_job(here: Here, job_id: str) -> JobDetails:
    """Show one job, with its size, its checkpoints, and the ways on if it failed."""
    with _refusing():
        job = here.queue.job(job_id)
        found = details(job)
    ways = tuple(ActionShown(**{name: getattr(each, name) for name in ActionShown.model_fields})
                 for each in found.actions)  # fmt: skip
    return JobDetails(**_shown(job).model_dump(), bytes=found.bytes, checkpoints=found.checkpoints, actions=ways)


@router.patch("/{job_id}")
def change_job(here: Here, job_id: str, body: JobChange) -> JobShown:
    """Change queue, priority or time of a job that waits."""
    given = body.model_dump(exclude_unset=True)
    for name in ("queue", "priority"):
        if name in given and given[name] is None:
            raise Refused(422, "invalid_request", f"{name} cannot be null; leave it out to keep it as it is.")
    with _refusing():
        return _shown(here.queue.change(job_id, **given) if given else here.queue.job(job_id))


@router.delete("/{job_id}")
def delete_job(here: Here, job_id: str) -> Deleted:
    """Delete a job and its run's folder (to the trash). Refused while it runs."""
    with _refusing():
        trashed = here.queue.delete(job_id)
    return Deleted(trash=trashed.id if trashed else None, bytes=trashed.bytes if trashed else 0)


@router.post("/{job_id}/hold")
def hold_job(here: Here, job_id: str) -> JobShown:
    """Keep a waiting job from beginning."""
    with _refusing():
        return _shown(here.queue.hold(job_id))


@router.post("/{job_id}/release")
def release_job(here: Here, job_id: str) -> JobShown:
    """Let a held job wait for its turn."""
    with _refusing():
        return _shown(here.queue.release(job_id))


@router.post("/{job_id}/move")
def move_job(here: Here, job_id: str, body: Move) -> JobShown:
    """Move a waiting job before or behind another one, or to the top."""
    if body.before is not None and body.after is not None:
        raise Refused(422, "invalid_request", "Give before or after, not both.")
    with _refusing():
        return _shown(here.queue.move(job_id, before=body.before, after=body.after))


@router.post("/{job_id}/stop")
def stop_job(here: Here, job_id: str) -> JobShown:
    """Stop a job. It saves and ends; one that does not is ended, within 30 seconds."""
    with _refusing():
        return _shown(here.queue.stop(job_id))


@router.post("/{job_id}/pause")
def pause_job(here: Here, job_id: str) -> JobShown:
    """Save, free the device, and mark the job as paused."""
    with _refusing():
        return _shown(here.queue.stop(job_id, pause=True))


@router.post("/{job_id}/resume")
def resume_job(here: Here, job_id: str, body: Resume) -> JobShown:
    """Put a job that is paused, stopped, failed or finished back into the queue (retry is this, too)."""
    with _refusing():
        again = Again(_overrides(body.changes), body.from_step, body.weights_only, body.top)
        return _shown(here.queue.resume(job_id, again))


@router.post("/{job_id}/copy", status_code=201)
def copy_job(here: Here, job_id: str, body: Copy) -> JobShown:
    """Run again with changes: a new run."""
    with _refusing():
        place = Place(body.queue, body.priority, body.not_before, body.hold, body.top)
        return _shown(here.queue.copy(job_id, _overrides(body.changes), place, body.name))


@router.post("/{job_id}/save", status_code=202)
def save_job(here: Here, job_id: str) -> Asked:
    """Write a LoRA file and a checkpoint now."""
    return _ask(here, job_id, "save")


@router.post("/{job_id}/sample", status_code=202)
def sample_job(here: Here, job_id: str) -> Asked:
    """Make samples now."""
    return _ask(here, job_id, "sample")


@router.post("/{job_id}/prompts", status_code=202)
def change_prompts_of_job(here: Here, job_id: str, body: Prompts) -> Asked:
    """Use other prompts for the samples from now on."""
    return _ask(here, job_id, "prompts", body.model_dump())


def _ask(here: Here, job_id: str, kind: Literal["save", "sample", "prompts"], payload: Any = None) -> Asked:
    with _refusing():
        job = here.queue.job(job_id)
        if job.state not in ("running", "unresponsive", "starting"):
            raise WrongState(job.name, job.state, f"asked to {kind}", ("running",))
        return Asked(request=runs.request(Path(job.folder), kind, payload))


def _shown(job: Job) -> JobShown:
    own = {name: getattr(job, name) for name in JobShown.model_fields if hasattr(job, name)}
    status = progress(job) if job.state in ACTIVE else None
    if status is None:
        return JobShown(**own)
    return JobShown(**own, step=status.step, total_steps=status.total_steps, eta_seconds=status.eta_seconds,
                    phase=status.state)  # fmt: skip


def _overrides(changes: Mapping[str, Any]) -> tuple[str, ...]:
    """As `--set` has them; a JSON value reads the same as YAML."""
    return tuple(f"{path}={json.dumps(value)}" for path, value in changes.items())


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn what the queue refuses into answers with their status."""
    try:
        yield
    except NoSuchJob as error:
        raise Refused(404, error.code, str(error)) from error
    except WrongState as error:
        raise Refused(409, error.code, str(error), state=error.state) from error
    except NameIsTaken as error:
        raise Refused(409, error.code, str(error), suggestion=error.suggestion) from error
    except RunBusy as error:
        raise Refused(409, error.code, str(error)) from error
    except UserError as error:
        if error.code == "other_run":
            raise Refused(409, error.code, str(error)) from error
        raise
