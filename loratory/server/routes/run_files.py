"""What lies in a run's folder: numbers, samples, checkpoints, LoRA files, the log, and every file as it is."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath
from fastapi import Query as Asked
from pydantic import BaseModel

from loratory.data.thumbnails import ThumbnailSize
from loratory.errors import UserError
from loratory.jobs import contents
from loratory.jobs.alpha_phases import AlphaPhases, alpha_phases_of
from loratory.jobs.contents import CheckpointFacts, ExportFacts, FileFacts, Samples
from loratory.jobs.history import MOST_NAMES
from loratory.jobs.logs import LogPage, Matches, read_log, read_log_after, search_log
from loratory.server.context import Here
from loratory.server.media import BYTES, FILE, send_file
from loratory.server.paths import inside
from loratory.server.problems import Refused
from loratory.server.routes.runs import Run
from loratory.trash import Trashed

router = APIRouter(prefix="/api/runs", tags=["runs"])

_SAMPLE_FILE = re.compile(r"[0-9_a-f]{1,60}\.(png|jpg|webp)")
LAST_STEP = 2**32 - 1
Cursor = Annotated[str | None, Asked(max_length=60, description="A cursor that was given with lines of this log.")]
Count = Annotated[int, Asked(ge=1, le=5000)]
Save = Annotated[bool, Asked(description="The browser is to save it, whatever it is.")]


class Metric(BaseModel):
    """A series of numbers."""

    name: str
    count: int
    first_step: int
    last_step: int
    last: float | None
    """The newest value; null where it was not finite. Of `time`: seconds since the first one."""


@router.get("/{run_id}/metrics/names")
def list_run_metrics(here: Here, run: Run) -> list[Metric]:
    """List the series of numbers that a run has recorded."""
    return [Metric(**each) for each in here.histories.of(run.metrics_path).names()]


@router.get("/{run_id}/metrics", response_class=Response, responses={200: {"description": "A frame.", **BYTES}})
def get_run_metrics(
    here: Here,
    run: Run,
    name: Annotated[list[str] | None, Asked(max_length=MOST_NAMES, description="Series; all where left out.")] = None,
    from_step: Annotated[int, Asked(ge=0, le=LAST_STEP)] = 0,
    to_step: Annotated[int, Asked(ge=0, le=LAST_STEP)] = LAST_STEP,
    points: Annotated[
        int | None, Asked(ge=2, le=1_000_000, description="Of each series about so many: the lowest and highest.")
    ] = None,
) -> Response:
    """Get series of numbers as a binary frame of float32, described in docs/reference/events.md."""
    frame = here.histories.of(run.metrics_path).frame(name or (), (from_step, to_step), points)
    return Response(frame, media_type="application/octet-stream", headers={"cache-control": "private, no-cache"})


@router.get("/{run_id}/phases")
def get_run_phases(run: Run) -> AlphaPhases:
    """Tell in which phase of alpha a run is, and criterion by criterion why it is still there."""
    return alpha_phases_of(run)


# Samples


@router.get("/{run_id}/samples")
def list_run_samples(run: Run) -> Samples:
    """List the samples of a run by step and prompt, with what made them."""
    return contents.samples_of(run)


@router.get("/{run_id}/samples/{file}", response_class=Response, responses=FILE)
def get_run_sample(
    here: Here,
    request: Request,
    run: Run,
    file: str,
    size: Annotated[ThumbnailSize | None, Asked(description="A small WebP, in pixels. Left out: as it is.")] = None,
    save: Save = False,
) -> Response:
    """Get a sample picture, or a small one of it."""
    if not _SAMPLE_FILE.fullmatch(file):
        raise Refused(404, "no_file", f"{file[:100]!r} is no sample; the list of samples says what they are called.")
    path = inside(run.samples_path, file)
    if size is None or not path.is_file():
        return send_file(request, path, save=save)
    small, content = here.thumbnails.of(path, size.value)
    return send_file(request, small, save=save, etag=content)


# Checkpoints and LoRA files


@router.get("/{run_id}/checkpoints")
def list_run_checkpoints(run: Run) -> list[CheckpointFacts]:
    """List the checkpoints of a run."""
    return contents.checkpoints_of(run)


@router.delete("/{run_id}/checkpoints/{step}")
def delete_run_checkpoint(run: Run, step: Annotated[int, InPath(ge=0, le=LAST_STEP)]) -> Trashed:
    """Move a checkpoint to the trash; refused (409) for the newest one of a run that works."""
    try:
        trashed = contents.delete_checkpoint(run, step)
    except contents.Busy as error:
        raise Refused(409, "busy", str(error)) from error
    if trashed is None:
        raise Refused(404, "no_checkpoint", f"The run {run.name!r} has no checkpoint of step {step}.")
    return trashed


@router.get("/{run_id}/exports")
def list_run_exports(run: Run) -> list[ExportFacts]:
    """List the LoRA files of a run, with what their metadata say in short."""
    return contents.exports_of(run)


@router.get("/{run_id}/lora", response_class=Response, responses=FILE)
def download_lora(request: Request, run: Run) -> Response:
    """Download the LoRA file of a run: the final one, or that of the most steps while there is none."""
    path = contents.best_export(run)
    if path is None:
        raise Refused(404, "no_export", f"The run {run.name!r} has written no LoRA file yet; ask it to save one.")
    return send_file(request, path, save=True)


@router.delete("/{run_id}/exports/{file}")
def delete_run_export(run: Run, file: str) -> Trashed:
    """Move a LoRA file to the trash."""
    trashed = contents.delete_export(run, file)
    if trashed is None:
        raise Refused(404, "no_file", f"The run {run.name!r} has no LoRA file {file[:100]!r}.")
    return trashed


# The log


@router.get("/{run_id}/log")
def read_run_log(run: Run, lines: Count = 200, before: Cursor = None, after: Cursor = None) -> LogPage:
    """Read lines of a run's log: the last ones, those above a cursor, or those below one."""
    if before is not None and after is not None:
        raise Refused(422, "two_cursors", "Give one of before and after: lines above a cursor or below it.")
    try:
        if after is not None:
            return read_log_after(run.log_path, lines, after)
        return read_log(run.log_path, lines, before=before)
    except UserError as error:
        raise Refused(409, "stale_cursor", str(error)) from error


@router.get("/{run_id}/log/search")
def search_run_log(
    run: Run, text: Annotated[str, Asked(min_length=1, max_length=200)], most: Count = 200, after: Cursor = None
) -> Matches:
    """Find lines of a run's log that hold a text, in whatever case; go on from `after` until that is null."""
    try:
        return search_log(run.log_path, text, most, after=after)
    except UserError as error:
        raise Refused(409, "stale_cursor", str(error)) from error


# Files


@router.get("/{run_id}/files")
def list_run_files(
    run: Run, folder: Annotated[str, Asked(max_length=1000, description="Below the run's folder.")] = ""
) -> list[FileFacts]:
    """List what lies in a run's folder, or in one below it."""
    try:
        return contents.files_of(inside(run.path, folder) if folder else run.path)
    except OSError as error:
        raise Refused(404, "no_folder", f"There is no folder {folder!r} in this run ({error.strerror}).") from error


@router.get("/{run_id}/files/{path:path}", response_class=Response, responses=FILE)
@router.head("/{run_id}/files/{path:path}", include_in_schema=False)
def get_run_file(request: Request, run: Run, path: str, save: Save = False) -> Response:
    """Get a file of a run, whole or in part (Range). Only pictures and plain text are shown in the browser."""
    return send_file(request, inside(run.path, path), save=save)
