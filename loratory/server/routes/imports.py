"""Bring archives and folders of the server into datasets, as tasks; their result is an ImportReport."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from loratory import trash
from loratory.data.archives import ArchiveError
from loratory.data.imports import Clash, Discard, ImportReport, import_archive, import_folder
from loratory.server import uploads
from loratory.server.context import Context, Here
from loratory.server.problems import Refused
from loratory.server.roots import find_root
from loratory.server.tasks import Task, TaskReport

router = APIRouter(prefix="/api/imports", tags=["imports"])


class FromUpload(BaseModel):
    """An archive that was uploaded with the purpose "archive"; it is gone when it was imported."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["upload"]
    upload_id: str
    names_encoding: Literal["utf-8", "cp932", "cp437", "gb18030", "big5", "euc_kr", "cp1251"] | None = None
    """Of names in a zip that do not say theirs; none: found out."""


class FromArchive(BaseModel):
    """An archive that lies in a root; it stays there."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["archive"]
    root: str
    path: str


class FromFolder(BaseModel):
    """A folder in a root, copied, or linked so that it takes no room."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["folder"]
    root: str
    path: str
    how: Literal["copy", "link"] = "copy"


class ImportRequest(BaseModel):
    """What comes into which dataset."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[FromUpload | FromArchive | FromFolder, Field(discriminator="kind")]
    dataset_id: str | None = Field(None, pattern="^[0-9a-f]{12}$")
    """A dataset that is there. Left out: `dataset` says where."""
    dataset: str | None = None
    """The dataset's folder, relative to `dataset_root`; made where it is not there."""
    dataset_root: str = "datasets"
    clash: Clash = "refuse"
    """What happens to files of a name that the dataset has."""


@router.post("", status_code=202)
def start_import(here: Here, wanted: ImportRequest) -> TaskReport:
    """Import an uploaded archive, or an archive or folder in a root of the server, into a new or existing dataset."""
    dataset, identifier = _target(here, wanted)
    if dataset.exists() and not dataset.is_dir():
        raise Refused(409, "exists", f"{wanted.dataset!r} is a file; give the folder of a dataset.")
    match wanted.source:
        case FromUpload():
            archive, upload = uploads.archive_part(wanted.source.upload_id)
            work = partial(_archive, archive, dataset, wanted.clash, wanted.source.names_encoding, upload)
        case FromArchive():
            found = find_root(wanted.source.root, here.extra_roots).find(wanted.source.path)
            work = partial(_archive, found, dataset, wanted.clash, None, None)
        case FromFolder():
            found = find_root(wanted.source.root, here.extra_roots).find(wanted.source.path)
            if not found.is_dir():
                raise Refused(409, "no_folder", f"{wanted.source.path!r} is no folder; give one, or an archive.")
            work = partial(_folder, found, dataset, wanted.clash, wanted.source.how)

    def told(task: Task) -> ImportReport:
        try:
            return work(task)
        finally:
            here.arrivals.came(dataset)

    return here.tasks.start("import", told, dataset=identifier).report()


def _target(here: Context, wanted: ImportRequest) -> tuple[Path, str | None]:
    """The folder, and the id of the dataset that it is already, if it is one. Raises Refused, NotThere."""
    if (wanted.dataset is None) == (wanted.dataset_id is None):
        raise Refused(422, "invalid_request", "Give either dataset_id, or dataset: the path of a folder.")
    if wanted.dataset_id is not None:
        return here.datasets.library.find(wanted.dataset_id).path, wanted.dataset_id
    folder = find_root(wanted.dataset_root, here.extra_roots).new(wanted.dataset or "")
    return folder, next((each.id for each in here.datasets.library.all() if each.path == folder), None)


def _archive(
    archive: Path, dataset: Path, clash: Clash, encoding: str | None, upload: uploads.Upload | None, task: Task
) -> ImportReport:
    try:
        report = import_archive(
            archive, dataset, clash=clash, discard=_to_trash(dataset), ask=task.progress, encoding=encoding
        )
    except ArchiveError as error:
        raise Refused(422, error.code, str(error)) from error
    if upload is not None:
        uploads.remove(upload)
    return report


def _folder(source: Path, dataset: Path, clash: Clash, how: Literal["copy", "link"], task: Task) -> ImportReport:
    return import_folder(source, dataset, how=how, clash=clash, discard=_to_trash(dataset), ask=task.progress)


def _to_trash(dataset: Path) -> Discard:
    def discard(paths: list[Path]) -> None:
        trash.to_trash(paths, "replaced", below=dataset)

    return discard
