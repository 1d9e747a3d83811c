"""The files in the server's roots: look, make folders, copy, move, rename, delete, edit texts, download.

A root's id and a path relative to it name everything. Uploads go through /api/uploads.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from loratory import trash
from loratory.files import bytes_free
from loratory.server import tree
from loratory.server.context import Context, Here
from loratory.server.media import FILE, send_file
from loratory.server.paths import new_name
from loratory.server.problems import Refused
from loratory.server.roots import Root, all_roots, find_root
from loratory.server.tasks import Task, TaskReport

router = APIRouter(prefix="/api/files", tags=["files"])

_MOST_PATHS = 1000
Paths = Annotated[list[str], Field(min_length=1, max_length=_MOST_PATHS)]


class Forbidding(BaseModel):
    """A body that may hold nothing else."""

    model_config = ConfigDict(extra="forbid")


class RootReport(BaseModel):
    """A folder that everything lies in."""

    id: str
    name: str
    path: str
    """On the server's machine, as a job file names it."""
    free_bytes: int


class RootList(BaseModel):
    """All roots."""

    roots: list[RootReport]


class FileReport(BaseModel):
    """A file or folder."""

    name: str
    path: str
    kind: Literal["file", "folder", "link", "other"]
    size_bytes: int | None
    """None for a folder."""
    modified: str


class FolderPage(BaseModel):
    """A part of a folder's content."""

    entries: list[FileReport]
    total: int


class Place(Forbidding):
    """One path."""

    root: str
    path: str


class Several(Forbidding):
    """Files and folders of one root."""

    root: str
    paths: Paths


class Transfer(Several):
    """Files and folders, and where they go."""

    to_root: str
    to_folder: str = ""
    """An existing folder, relative to `to_root`."""
    clash: tree.Clash = "refuse"


class Rename(Place):
    """A new name in the same folder."""

    name: str


class PathsReport(BaseModel):
    """Where things lie now, relative to their root."""

    root: str
    paths: list[str]


class CopyReport(PathsReport):
    """What was copied."""

    bytes: int


class TextReport(BaseModel):
    """A text, and the version on which an edit is based."""

    text: str
    version: str


class TextEdit(Place):
    """A text to save."""

    text: str
    version: str | None = None
    """The one that was edited; none for a new file."""


class TextSaved(BaseModel):
    """The version that a next edit is based on."""

    version: str


class TrashedReport(BaseModel):
    """What was moved to the trash."""

    ids: list[str]
    bytes: int


def _root(here: Context, identifier: str) -> Root:
    return find_root(identifier, here.extra_roots)


def _report(root: Root, path: Path) -> FileReport:
    found = tree.look(path)
    return FileReport(
        name=found.name, path=root.name(path), kind=found.kind, size_bytes=found.size, modified=found.modified
    )


def _to_change(root: Root, relative: str) -> Path:
    path = root.entry(relative)
    tree.check_free(root.path, path)
    return path


@router.get("/roots")
def list_roots(here: Here) -> RootList:
    """The folders that files can be looked at in, and how much room their disks have."""
    return RootList(
        roots=[
            RootReport(id=root.id, name=root.path.name, path=str(root.path), free_bytes=bytes_free(root.path))
            for root in all_roots(here.extra_roots)
        ]
    )


@router.get("")
def list_files(
    here: Here, root: str, path: str = "", start: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200, sort: tree.Sort = "name", descending: bool = False,
    hidden: bool = False,
) -> FolderPage:  # fmt: skip
    """A page of a folder's content, folders first."""
    place = _root(here, root)
    folder = place.find(path)
    found, total = tree.list_folder(folder, start, limit, sort, descending=descending, hidden=hidden)
    above = f"{place.name(folder)}/" if place.name(folder) else ""
    entries = [
        FileReport(name=each.name, path=above + each.name, kind=each.kind, size_bytes=each.size, modified=each.modified)
        for each in found
    ]
    return FolderPage(entries=entries, total=total)


@router.get("/stat")
def stat_file(here: Here, root: str, path: str) -> FileReport:
    """One file or folder."""
    place = _root(here, root)
    return _report(place, place.find(path))


@router.post("/mkdir", status_code=201)
def make_folder(here: Here, wanted: Place) -> FileReport:
    """Make a folder, and those above it."""
    root = _root(here, wanted.root)
    path = root.new(wanted.path)
    tree.check_free(root.path, path)
    tree.make_folder(path)
    here.arrivals.came(path)
    return _report(root, path)


@router.post("/copy", status_code=202)
def copy_files(here: Here, wanted: Transfer) -> TaskReport:
    """Copy files and folders, as a task; its result says where they lie."""
    source, target = _root(here, wanted.root), _root(here, wanted.to_root)
    paths, folder = [source.find(path) for path in wanted.paths], target.find(wanted.to_folder)
    tree.check_free_above(target.path, folder)

    def work(task: Task) -> CopyReport:
        done, copied = 0, []
        for path in paths:
            final, size = tree.copy(path, folder / path.name, wanted.clash, partial(_tell, task, done))
            done += size
            copied.append(target.name(final))
        here.arrivals.came(*(folder / path.name for path in paths))
        return CopyReport(root=target.id, paths=copied, bytes=done)

    return here.tasks.start("copy", work).report()


def _tell(task: Task, before: int, part: int) -> None:
    task.progress(before + part)


@router.post("/move")
def move_files(here: Here, wanted: Transfer) -> PathsReport:
    """Move files and folders into another folder of the same disk."""
    source, target = _root(here, wanted.root), _root(here, wanted.to_root)
    folder = target.find(wanted.to_folder)
    paths = [_to_change(source, path) for path in wanted.paths]
    moved = [target.name(tree.move(path, folder / path.name, wanted.clash)) for path in paths]
    here.arrivals.came(*paths, *(folder / path.name for path in paths))
    return PathsReport(root=target.id, paths=moved)


@router.post("/rename")
def rename_file(here: Here, wanted: Rename) -> FileReport:
    """Give a file or folder another name."""
    root = _root(here, wanted.root)
    path = _to_change(root, wanted.path)
    final = tree.move(path, path.with_name(new_name(wanted.name)))
    here.arrivals.came(path, final)
    return _report(root, final)


@router.post("/delete")
def delete_files(here: Here, wanted: Several) -> TrashedReport:
    """Move files and folders to the trash."""
    root = _root(here, wanted.root)
    paths = [_to_change(root, path) for path in dict.fromkeys(wanted.paths)]
    entries = [trash.to_trash(path, "folder" if path.is_dir() else "file") for path in paths]
    here.arrivals.came(*paths)
    return TrashedReport(ids=[each.id for each in entries], bytes=sum(each.bytes for each in entries))


@router.get("/text")
def read_text_file(here: Here, root: str, path: str) -> TextReport:
    """A text file, with the version that an edit is based on."""
    text, version = tree.read_text(_root(here, root).find(path))
    return TextReport(text=text, version=version)


@router.put("/text")
def write_text_file(here: Here, wanted: TextEdit) -> TextSaved:
    """Save a text; where it was changed in the meantime, a 409 holds what it is now."""
    root = _root(here, wanted.root)
    path = root.new(wanted.path)
    tree.check_free(root.path, path)
    if path.is_dir() or not path.parent.is_dir():
        raise Refused(409, "no_folder", f"{wanted.path!r} is a folder, or lies in none; make the folder first.")
    version = tree.write_text(path, wanted.text, wanted.version)
    here.arrivals.came(path)
    return TextSaved(version=version)


@router.get("/content", response_class=Response, responses=FILE)
def download_file(here: Here, request: Request, root: str, path: str, download: bool = False) -> Response:
    """A file's bytes, or a range of them. Only plain pictures, films, sounds and texts are shown in the browser."""
    found = _root(here, root).find(path)
    if not found.is_file():
        raise Refused(409, "no_file", f"{path!r} is no file; download a folder as a zip.")
    return send_file(request, found, save=download)


@router.get(
    "/zip",
    response_class=StreamingResponse,
    responses={200: {"description": "The zip.", "content": {"application/zip": {}}}},
)
def download_zip(
    here: Here, root: str, path: Annotated[list[str], Query(min_length=1, max_length=_MOST_PATHS)]
) -> StreamingResponse:
    """Files and folders as one zip, made while it is sent."""
    place = _root(here, root)
    paths = [place.find(each) for each in dict.fromkeys(path)]
    if len({each.name for each in paths}) < len(paths):
        raise Refused(409, "exists", "Two of the files have the same name; download the folders that they lie in.")
    name = f"{paths[0].stem if len(paths) == 1 else place.id}.zip"
    return StreamingResponse(
        tree.zip_stream(paths), media_type="application/zip",
        headers={"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"},
    )  # fmt: skip
