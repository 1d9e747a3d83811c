"""Captions of single pictures, and their history."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from loratory.datasets.caption_files import read
from loratory.datasets.catalogue import look_again
from loratory.datasets.diff import diff
from loratory.datasets.edits import restore_caption, write_caption
from loratory.datasets.journal import Journal
from loratory.server.context import Here
from loratory.server.dataset_parts import (
    WHO,
    Asked,
    ItemPath,
    ItemQuery,
    Limit,
    PieceOut,
    StepOut,
    ThisDataset,
    Version,
    pieces_out,
    step_out,
)  # fmt: skip
from loratory.server.paths import inside

router = APIRouter(prefix="/api/datasets/{dataset_id}/captions", tags=["captions"])


class CaptionOut(BaseModel):
    """A picture's caption. text: null where there is none, or it cannot be read (`problem` says why)."""

    item: str
    file: str | None
    text: str | None
    version: str
    problem: str
    tags: list[str]


class CaptionWrite(Asked):
    """A new text, and the version of the caption that it was made from."""

    item: ItemPath
    text: str = Field(max_length=1_000_000)
    based_on: Version


class CaptionRestore(Asked):
    """An edit of the history, and the version of the caption that is there now."""

    item: ItemPath
    step: str = Field(max_length=40)
    based_on: Version


class HistoryEntry(BaseModel):
    """One edit of one caption, newest first. Texts are null where there was no file."""

    step: StepOut
    before: str | None
    after: str | None
    pieces: list[PieceOut]


@router.get("")
def read_caption(dataset: ThisDataset, item: ItemQuery) -> CaptionOut:
    """Read one caption, from its file."""
    return _out(dataset, item)


@router.put("")
def save_caption(dataset: ThisDataset, body: CaptionWrite, here: Here) -> CaptionOut:
    """Write one caption. A caption that has changed since `based_on` is not written over: 409 with the difference."""
    inside(dataset.dataset.path, body.item)
    write_caption(dataset, body.item, body.text, body.based_on, WHO)
    here.tell_dataset(dataset.dataset.id)
    return _out(dataset, body.item)


@router.get("/history")
def get_caption_history(dataset: ThisDataset, item: ItemQuery, limit: Limit = 100) -> list[HistoryEntry]:
    """List what was done to one caption, newest first, with differences."""
    dataset.number(item)
    found = []
    for step, change in Journal(dataset.dataset).of_item(item, limit):
        suffix = "." + change.caption.rpartition(".")[2]
        before, after = read(change.before, suffix).text, read(change.after, suffix).text
        found.append(
            HistoryEntry(step=step_out(step), before=before, after=after, pieces=pieces_out(diff(before, after)))
        )
    return found


@router.post("/restore")
def restore_old_caption(dataset: ThisDataset, body: CaptionRestore, here: Here) -> CaptionOut:
    """Make a caption what it was after an edit of its history."""
    inside(dataset.dataset.path, body.item)
    restore_caption(dataset, body.item, body.step, body.based_on, WHO)
    here.tell_dataset(dataset.dataset.id)
    return _out(dataset, body.item)


@router.get("/steps")
def list_caption_edits(dataset: ThisDataset, limit: Limit = 100,
                       before: Annotated[str | None, Query(max_length=40)] = None) -> list[StepOut]:  # fmt: skip
    """List all edits of a dataset's captions, newest first; `before` is the id of the last one seen."""
    return [step_out(step) for step in Journal(dataset.dataset).steps(limit, before)]


def _out(dataset: ThisDataset, item: str) -> CaptionOut:
    number = dataset.number(item)
    known = dataset.catalogue.captions[number]
    now = look_again(dataset.dataset.path, known.path)
    if now != known:
        dataset.set_caption(item, now)
    return CaptionOut(
        item=item, file=now.path, text=now.reading.text, version=now.reading.version, problem=now.reading.problem,
        tags=dataset.catalogue.tags(number),
    )  # fmt: skip
