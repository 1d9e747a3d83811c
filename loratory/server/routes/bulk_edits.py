"""Edits of many captions: a preview of every change, carrying it out, undoing it, doing it again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from loratory.datasets.caption_files import read
from loratory.datasets.diff import diff
from loratory.datasets.edits import apply_edit, plan_edit, undo
from loratory.datasets.journal import Journal, Step
from loratory.datasets.operations import Operation
from loratory.datasets.shelf import Opened, selection
from loratory.server.context import Here
from loratory.server.dataset_parts import (
    SECONDS,
    WHO,
    Asked,
    Chosen,
    Limit,
    Offset,
    PieceOut,
    StepOut,
    ThisDataset,
    pieces_out,
    step_out,
)  # fmt: skip
from loratory.server.tasks import Task, TaskReport

router = APIRouter(prefix="/api/datasets/{dataset_id}/edits", tags=["captions"])

StepId = Annotated[str, Path(max_length=40)]


class EditAsked(Chosen):
    """Operations, one after the other, on the captions of pictures."""

    operations: Annotated[list[Operation], Field(min_length=1, max_length=50)]


class CarryOut(Asked):
    """skip_changed: leave captions that were changed in the meantime as they are, instead of refusing the whole."""

    skip_changed: bool = False


class EditOut(BaseModel):
    """An edit, once it is known, and the work on it, whose `result` is the edit, too."""

    task: TaskReport
    edit: StepOut | None


class ChangeOut(BaseModel):
    """What becomes of one caption; texts are null where there is no file."""

    item: str
    before: str | None
    after: str | None
    pieces: list[PieceOut]


class LeftOut(BaseModel):
    """A picture whose caption stays as it is, and why."""

    item: str
    reason: str


class ChangeList(BaseModel):
    """Some of the changes of an edit."""

    edit: StepOut
    left_out_count: int
    left_out: list[LeftOut]
    """The first of them."""
    changes: list[ChangeOut]


@router.post("", status_code=202)
def preview_edit(dataset: ThisDataset, body: EditAsked, here: Here) -> EditOut:
    """Work out every change of an edit; nothing is written. Its `id` pins the versions of the captions."""
    numbers = selection(dataset, body.items, body.query)
    return _started(here, dataset, "preview",
                    lambda task: plan_edit(dataset, numbers, body.operations, WHO, task.progress))  # fmt: skip


@router.get("/{step_id}")
def list_edit_changes(dataset: ThisDataset, step_id: StepId, offset: Offset = 0, limit: Limit = 100) -> ChangeList:
    """List the changes of an edit, a page at a time."""
    journal = Journal(dataset.dataset)
    step = journal.step(step_id)
    count, left_out = journal.left_out(step_id)
    changes = []
    for each in journal.changes(step_id, offset, limit):
        suffix = "." + each.caption.rpartition(".")[2]
        before, after = read(each.before, suffix).text, read(each.after, suffix).text
        changes.append(ChangeOut(item=each.item, before=before, after=after, pieces=pieces_out(diff(before, after))))
    return ChangeList(
        edit=step_out(step), left_out_count=count, changes=changes,
        left_out=[LeftOut(item=item, reason=reason) for item, reason in left_out],
    )  # fmt: skip


@router.post("/{step_id}/apply", status_code=202)
def apply_previewed_edit(dataset: ThisDataset, step_id: StepId, body: CarryOut, here: Here) -> EditOut:
    """Carry out an edit that was previewed. Captions that have changed since: 409 with the differences."""
    Journal(dataset.dataset).step(step_id)
    return _started(here, dataset, "edit", lambda task: apply_edit(
        dataset, step_id, skip_changed=body.skip_changed, progress=task.progress))  # fmt: skip


@router.post("/{step_id}/undo", status_code=202)
def undo_edit(dataset: ThisDataset, step_id: StepId, body: CarryOut, here: Here) -> EditOut:
    """Undo an edit; undoing an undoing does it again. Captions that have changed since: 409 with the differences."""
    Journal(dataset.dataset).step(step_id)
    return _started(here, dataset, "undo", lambda task: undo(
        dataset, step_id, WHO, skip_changed=body.skip_changed, progress=task.progress))  # fmt: skip


def _started(here: Here, dataset: Opened, kind: str, work: Callable[[Task], Step]) -> EditOut:
    identifier = dataset.dataset.id

    def told(task: Task) -> StepOut:
        try:
            return step_out(work(task))
        finally:
            if kind != "preview":  # also where it failed or was cancelled: what is shown is looked at again
                here.tell_dataset(identifier)

    task = here.tasks.start(kind, told, dataset=identifier)
    step = task.outcome(SECONDS)
    return EditOut(task=task.report(), edit=step if isinstance(step, StepOut) else None)
