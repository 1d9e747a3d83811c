"""The pictures of a dataset: lists, thumbnails, files, the trash, changed copies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from loratory.data.thumbnails import ThumbnailSize
from loratory.datasets.catalogue import Catalogue
from loratory.datasets.pictures import CopyPlan, copy_pictures, trash_pictures
from loratory.datasets.query import find
from loratory.datasets.shelf import selection
from loratory.server.context import Here
from loratory.server.dataset_parts import (
    SECONDS,
    Chosen,
    DatasetId,
    ItemPath,
    ItemQuery,
    Limit,
    Offset,
    Order,
    QueryText,
    ThisDataset,
)  # fmt: skip
from loratory.server.media import FILE, send_file
from loratory.server.paths import inside
from loratory.server.routes.datasets import TrashedOut
from loratory.server.tasks import Task, TaskReport

router = APIRouter(prefix="/api/datasets/{dataset_id}/pictures", tags=["pictures"])

Sort = Literal["path", "name", "changed", "bytes", "pixels", "caption", "tags"]


class PictureOut(BaseModel):
    """One picture. width, height: pixels, upright. caption: null where there is no readable caption file."""

    path: str
    width: int
    height: int
    bytes: int
    changed_ns: int
    """Nanoseconds since 1970."""
    repeats: int
    caption: str | None
    caption_file: str | None
    caption_version: str
    """What an edit of the caption is based on."""
    caption_problem: str
    tags: list[str]
    mask: str | None
    stamp: str
    """Another one when the file changes; part of the addresses of its pictures, which may then be kept for ever."""


class PictureList(BaseModel):
    """Some of the pictures that a query finds. revision: another one after each change."""

    total: int
    revision: int
    looking: bool
    pictures: list[PictureOut]


class CopyAsked(Chosen):
    """Which pictures become which new dataset."""

    copy_plan: CopyPlan


class CopyMade(BaseModel):
    """The result of the task."""

    dataset: str
    """The id of the new one."""


class TrashAsked(Chosen):
    """Which pictures; an empty query with no items is refused, so that nothing goes by mistake."""

    items: Annotated[list[ItemPath], Field(min_length=1, max_length=200_000)]


_KEYS: dict[str, Callable[[Catalogue, int], Any]] = {
    "path": lambda catalogue, number: number,
    "name": lambda catalogue, number: catalogue.paths[number].rpartition("/")[2].casefold(),
    "changed": lambda catalogue, number: catalogue.mtimes[number],
    "bytes": lambda catalogue, number: catalogue.bytes[number],
    "pixels": lambda catalogue, number: catalogue.sizes[number].prod(),
    "caption": lambda catalogue, number: catalogue.text(number).casefold(),
    "tags": lambda catalogue, number: len(catalogue.tags(number)),
}


@router.get("")
def list_pictures(
    dataset: ThisDataset, query: QueryText = "", sort: Sort = "path", order: Order = "up", offset: Offset = 0,
    limit: Limit = 100,
) -> PictureList:  # fmt: skip
    """List the pictures that a query finds, a page at a time."""
    catalogue = dataset.catalogue
    numbers = _sorted(catalogue, np.flatnonzero(find(catalogue, query)).tolist(), sort, order)
    return PictureList(
        total=len(numbers), revision=catalogue.revision, looking=dataset.is_looking,
        pictures=[picture_out(catalogue, number) for number in numbers[offset : offset + limit]],
    )  # fmt: skip


@router.get("/paths")
def list_picture_paths(dataset: ThisDataset, query: QueryText = "", sort: Sort = "path",
                       order: Order = "up") -> list[str]:  # fmt: skip
    """List the paths of all pictures that a query finds, to select them."""
    catalogue = dataset.catalogue
    numbers = _sorted(catalogue, np.flatnonzero(find(catalogue, query)).tolist(), sort, order)
    return [catalogue.paths[number] for number in numbers]


@router.get("/one")
def get_picture(dataset: ThisDataset, item: ItemQuery) -> PictureOut:
    """Tell about one picture."""
    return picture_out(dataset.catalogue, dataset.number(item))


@router.get("/file", response_class=Response, responses=FILE)
def get_picture_file(dataset: ThisDataset, item: ItemQuery, request: Request,
                     stamp: Annotated[str, Query(max_length=40)] = "") -> Response:  # fmt: skip
    """Send a picture as it is, whole or in part (Range)."""
    number = dataset.number(item)
    path = inside(dataset.dataset.path, item)
    return send_file(request, path, unchanging=stamp == stamp_of(dataset.catalogue, number))


@router.get("/thumbnail", response_class=Response, responses=FILE)
def get_thumbnail(
    dataset: ThisDataset,
    item: ItemQuery,
    here: Here,
    request: Request,
    size: ThumbnailSize = ThumbnailSize.CARD,
    stamp: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Send a small picture (WebP), no side longer than `size`; it is made where it is not there."""
    number = dataset.number(item)
    inside(dataset.dataset.path, item)
    path, content = here.datasets.thumbnail(dataset, item, size.value)
    return send_file(request, path, unchanging=stamp == stamp_of(dataset.catalogue, number), etag=content)


@router.post("/trash")
def trash_dataset_pictures(dataset_id: DatasetId, dataset: ThisDataset, body: TrashAsked,
                           here: Here) -> list[TrashedOut]:  # fmt: skip
    """Move pictures with their captions and masks to the trash; an entry for each folder."""
    gone = trash_pictures(dataset, body.items)
    here.datasets.open(dataset_id, look=True)
    here.tell_dataset(dataset_id)
    return [TrashedOut(id=each.id, bytes=each.bytes) for each in gone]


@router.post("/copy", status_code=202)
def copy_dataset_pictures(dataset: ThisDataset, body: CopyAsked, here: Here) -> TaskReport:
    """Crop, turn, mirror, shrink or convert pictures into a new dataset, in the background."""
    library = here.datasets.library
    numbers = selection(dataset, body.items, body.query)

    def work(task: Task) -> CopyMade:
        made = copy_pictures(library, dataset, numbers, body.copy_plan, task.progress)
        identifier = next(each.id for each in library.all() if each.path == made)
        here.tell_dataset(identifier)
        return CopyMade(dataset=identifier)

    task = here.tasks.start("copy_pictures", work, dataset=dataset.dataset.id)
    task.outcome(SECONDS)
    return task.report()


def _sorted(catalogue: Catalogue, numbers: list[int], sort: Sort, order: Order) -> list[int]:
    if sort != "path":
        key = _KEYS[sort]
        numbers = sorted(numbers, key=lambda number: key(catalogue, number))
    return numbers[::-1] if order == "down" else numbers


def stamp_of(catalogue: Catalogue, number: int) -> str:
    """Names one state of a picture's file."""
    text = f"{catalogue.paths[number]}\0{catalogue.bytes[number]}\0{catalogue.mtimes[number]}"
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def picture_out(catalogue: Catalogue, number: int) -> PictureOut:
    """What the browser is told of a picture."""
    caption, path = catalogue.captions[number], catalogue.paths[number]
    width, height = catalogue.sizes[number].tolist()
    return PictureOut(
        path=path, width=width, height=height, bytes=catalogue.bytes[number], changed_ns=catalogue.mtimes[number],
        repeats=catalogue.repeats[number], caption=caption.reading.text, caption_file=caption.path,
        caption_version=caption.reading.version, caption_problem=caption.reading.problem,
        tags=catalogue.tags(number), mask=catalogue.masks.get(path), stamp=stamp_of(catalogue, number),
    )  # fmt: skip
