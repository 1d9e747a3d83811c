"""What was deleted: how much it is, take it back, or delete it for good."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from loratory import trash
from loratory.errors import UserError
from loratory.jobs.deleting import run_came_back
from loratory.server.context import Here
from loratory.server.problems import Refused

router = APIRouter(prefix="/api/trash", tags=["trash"])


class TrashEntry(BaseModel):
    """Something that was deleted."""

    id: str
    path: str
    """Where it was."""
    kind: str
    time: str
    bytes: int
    below: bool
    """It is files of several folders below `path`."""


class TrashPage(BaseModel):
    """What is in the trash, newest first."""

    entries: list[TrashEntry]
    total: int
    total_bytes: int


class Restored(BaseModel):
    """Where it is again."""

    path: str


class EmptyRequest(BaseModel):
    """What is deleted for good."""

    model_config = ConfigDict(extra="forbid")

    ids: list[str] | None = None
    """None: everything."""


class Emptied(BaseModel):
    """What that made free."""

    freed_bytes: int


@router.get("")
def list_trash(start: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> TrashPage:
    """What is in the trash, newest first, and how much that is."""
    found = list(trash.contents())
    return TrashPage(
        entries=[TrashEntry(**asdict(each)) for each in found[start : start + limit]],
        total=len(found), total_bytes=sum(each.bytes for each in found),
    )  # fmt: skip


@router.post("/{trash_id}/restore")
def restore_trash(here: Here, trash_id: str) -> Restored:
    """Put something back where it was."""
    try:
        trash.find(trash_id)
    except UserError as error:
        raise Refused(404, "not_in_trash", str(error)) from error
    try:
        path = trash.restore(trash_id)
    except UserError as error:
        raise Refused(409, "exists", str(error)) from error
    here.arrivals.came(path)
    run_came_back(here.queue, here.index, path)
    return Restored(path=str(path))


@router.post("/empty")
def empty_trash(wanted: EmptyRequest) -> Emptied:
    """Delete for good what is named, or everything."""
    return Emptied(freed_bytes=trash.empty(wanted.ids))
