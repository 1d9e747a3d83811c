"""Runs: their list, what is known of one, its notes and config, and how it is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Query as Asked
from pydantic import BaseModel, ConfigDict, Field

from loratory.errors import UserError
from loratory.jobs import contents
from loratory.jobs.deleting import delete_run_and_job
from loratory.jobs.facts import Facts, facts_of
from loratory.jobs.index import Query, SortKey
from loratory.runs import RunFolder
from loratory.runs.notes import LONGEST_NOTES, MOST_TAGS, Notes, StaleNotes, read_notes, write_notes
from loratory.server.context import Here
from loratory.server.problems import Refused
from loratory.server.refusing import refusing
from loratory.server.tail import Source
from loratory.trash import Trashed

if TYPE_CHECKING:
    from loratory.config.diff import Side

router = APIRouter(prefix="/api/runs", tags=["runs"])

MOST_RUNS = 1000


def run_of(here: Here, run_id: str) -> RunFolder:
    """The run that a path names. Raises Refused (404)."""
    with refusing():
        return RunFolder.open(here.index.find(run_id))


Run = Annotated[RunFolder, Depends(run_of)]


class RunList(BaseModel):
    """A page of the list, and what can be chosen from."""

    runs: list[Facts]
    total: int
    """On all pages."""
    states: dict[str, int]
    """How many of all runs are in each state."""
    tags: dict[str, int]
    """How many of all runs have each tag."""


class RunNotes(BaseModel):
    """A person's words about a run."""

    notes: str
    tags: list[str]
    version: str
    """To be handed in with a change."""


class RunDetail(BaseModel):
    """Everything that is known of a run but its numbers, files and config."""

    facts: Facts
    notes: RunNotes
    status: dict[str, Any]
    """What the events `state` and `progress` hold."""
    cursor: str
    """Follow the run's events after this one."""


class NotesChange(BaseModel):
    """New notes and tags, in the place of those of `version`."""

    model_config = ConfigDict(extra="forbid")

    notes: str = Field(max_length=LONGEST_NOTES)
    tags: list[str] = Field(max_length=MOST_TAGS)
    version: str = Field(max_length=64)


class RunConfig(BaseModel):
    """The config of a run, as it was when it was last started."""

    text: str
    """YAML."""
    config: Any


class ConfigDifference(BaseModel):
    """A parameter that is not the same. `a` or `b` is left out where that run has no such parameter."""

    path: str
    a: Any = None
    b: Any = None


class RunSize(BaseModel):
    """What deleting a run would move to the trash."""

    bytes: int
    files: int
    bytes_free: int
    """On its disk."""


@router.get("")
def list_runs(
    here: Here,
    state: Annotated[list[str] | None, Asked(description="Only runs in one of these states.")] = None,
    search: Annotated[str, Asked(max_length=200, description="Words that occur in name, model, notes or tags.")] = "",
    tag: Annotated[list[str] | None, Asked(description="Only runs with all of these tags.")] = None,
    sort: SortKey = "created",
    descending: bool = True,
    offset: Annotated[int, Asked(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Asked(ge=1, le=MOST_RUNS)] = 100,
) -> RunList:
    """List runs, those of the command line included."""
    here.index.refresh()
    runs, total = here.index.list(Query(state or (), search, tag or (), sort, descending, offset, limit))
    return RunList(runs=runs, total=total, states=here.index.states(), tags=here.index.tags())


@router.get("/{run_id}")
def get_run(run: Run) -> RunDetail:
    """Tell what is known of a run."""
    position, told = Source(run.path).now()
    return RunDetail(
        facts=facts_of(run.path), notes=_notes(read_notes(run.path)), status=told.data, cursor=position.cursor()
    )


@router.put("/{run_id}/notes")
def write_run_notes(here: Here, run: Run, change: NotesChange) -> RunNotes:
    """Replace the notes and tags of a run; refused (409) where they were changed since `version`."""
    try:
        notes = write_notes(run.path, change.notes, change.tags, change.version)
    except StaleNotes as error:
        raise Refused(409, "stale", str(error), now=_notes(error.now).model_dump()) from error
    here.index.refresh()
    return _notes(notes)


def _notes(notes: Notes) -> RunNotes:
    return RunNotes(notes=notes.text, tags=list(notes.tags), version=notes.version)


@router.get("/{run_id}/config")
def get_run_config(run: Run) -> RunConfig:
    """The config of a run as it is stored."""
    from loratory.config.plain import read_text, read_yaml

    if not run.config_path.is_file():
        raise Refused(404, "no_config", f"The run {run.name!r} has no config yet; it gets one when it is started.")
    text = read_text(run.config_path)
    return RunConfig(text=text, config=read_yaml(text, run.config_path.name))


@router.get("/{run_id}/diff/{other_id}", response_model_exclude_unset=True)
def compare_run_configs(here: Here, run: Run, other_id: str) -> list[ConfigDifference]:
    """List every parameter in which the configs of two runs differ: `a` is this run's, `b` the other one's."""
    from loratory.config.diff import as_json, differences

    other = run_of(here, other_id)
    found = differences(_side(run), _side(other))
    return [ConfigDifference(**each) for each in as_json(found)]


def _side(run: RunFolder) -> Side:
    from loratory.drafts.comparing import run_side

    if not run.config_path.is_file():
        raise Refused(409, "no_config", f"The run {run.name!r} has no config yet; it gets one when it is started.")
    try:
        return run_side(run.path)
    except UserError as error:
        raise Refused(409, "bad_config", f"The config of {run.name!r} cannot be read: {error}") from error


@router.get("/{run_id}/size")
def measure_run(run: Run) -> RunSize:
    """Tell how large a run is, before it is deleted."""
    return RunSize(**contents.disk_of(run.path))


@router.delete("/{run_id}")
def delete_run(here: Here, run_id: str) -> Trashed | None:
    """Move a run with everything in it to the trash, and take it out of the queue; refused (409) while it works.

    null where its folder was gone already."""
    with refusing():
        return delete_run_and_job(here.queue, here.index, run_id)
