"""Datasets: the folders of pictures, what is known of each, and work on them in the background."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from loratory.datasets.counts import caption_style
from loratory.datasets.library import HOME_ROOT, ITSELF, Dataset
from loratory.datasets.settings import DatasetSettings, Extension, Style, load_settings, save_settings
from loratory.datasets.workbench import Summary
from loratory.server.context import Context, Here
from loratory.server.dataset_parts import Asked, DatasetId, ThisDataset
from loratory.server.roots import all_roots
from loratory.server.tasks import TaskList

router = APIRouter(prefix="/api/datasets", tags=["datasets"])

Name = Annotated[str, Field(max_length=5000, description="A folder's name.")]


class RootOut(BaseModel):
    """A folder that datasets lie in."""

    id: str
    name: str


class DatasetOut(BaseModel):
    """A dataset as its card shows it."""

    id: str
    name: str
    root: str
    path: str
    """In its root; a dot for the root itself."""
    files_root: str
    """The same place as uploads, imports and files name it: the root, and `files_path` in it."""
    files_path: str
    summary: Summary | None
    """Counts; null as long as the folder is looked at for the first time."""


class DatasetList(BaseModel):
    """All datasets, and the roots they lie in."""

    roots: list[RootOut]
    datasets: list[DatasetOut]


class DatasetDetail(DatasetOut):
    """A dataset, with what was chosen for it, and how far a look at its folder is (pictures that had to be opened)."""

    settings: DatasetSettings
    caption_style: Literal["tags", "prose"]
    """What the captions are, also where the settings leave it to a look at them."""
    looking: bool
    looked_at: int
    to_look_at: int


class NewDataset(Asked):
    """A dataset to be made."""

    name: Name
    root: str = Field(HOME_ROOT, max_length=100)


class DatasetChange(Asked):
    """What is to change; what is left out stays. A new name gives it a new id."""

    name: Name | None = None
    cover: Annotated[str, Field(max_length=4096)] | None = None
    """A picture's path; empty for the first one."""
    caption_extension: Extension | None = None
    style: Style | None = None


class TrashedOut(BaseModel):
    """Something in the trash. bytes: its size."""

    id: str
    bytes: int


@router.get("")
def list_datasets(here: Here) -> DatasetList:
    """List all datasets with their counts."""
    bench = here.datasets
    return DatasetList(
        roots=[RootOut(id=root.id, name=root.path.name) for root in bench.library.roots()],
        datasets=[_out(here, dataset, summary) for dataset, summary in bench.summaries()],
    )


@router.post("", status_code=201)
def create_dataset(body: NewDataset, here: Here) -> DatasetOut:
    """Make an empty dataset."""
    made = here.datasets.library.create(body.name, body.root)
    here.tell_dataset(made.id)
    return _out(here, made, None)


@router.get("/{dataset_id}")
def get_dataset(dataset_id: DatasetId, here: Here) -> DatasetDetail:
    """Tell about one dataset."""
    return _detail(here, dataset_id)


@router.patch("/{dataset_id}")
def change_dataset(dataset_id: DatasetId, body: DatasetChange, here: Here) -> DatasetDetail:
    """Rename a dataset, or change its cover, the ending of its captions, or how they are meant."""
    library = here.datasets.library
    dataset = library.find(dataset_id)
    wanted = body.model_dump(exclude_none=True, exclude={"name"})
    if wanted.get("cover") == "":
        wanted["cover"] = None
    elif "cover" in wanted:
        here.datasets.open(dataset_id).number(wanted["cover"])
    if wanted:
        save_settings(dataset, load_settings(dataset).model_copy(update=wanted))
        here.datasets.open(dataset_id, look=True)
    if body.name is not None:
        here.datasets.forget(dataset)
        dataset = library.rename(dataset, body.name)
        here.tell_dataset(dataset_id)
    here.tell_dataset(dataset.id)
    return _detail(here, dataset.id)


@router.delete("/{dataset_id}")
def delete_dataset(dataset_id: DatasetId, here: Here) -> TrashedOut:
    """Move a dataset to the trash."""
    library = here.datasets.library
    dataset = library.find(dataset_id)
    here.datasets.forget(dataset)
    gone = library.delete(dataset)
    here.tell_dataset(dataset_id)
    return TrashedOut(id=gone.id, bytes=gone.bytes)


@router.post("/{dataset_id}/scan")
def scan_dataset(dataset_id: DatasetId, here: Here) -> DatasetDetail:
    """Look at the folder again, now."""
    here.datasets.open(dataset_id, look=True)
    here.tell_dataset(dataset_id)
    return _detail(here, dataset_id)


@router.get("/{dataset_id}/tasks")
def list_dataset_tasks(dataset: ThisDataset, here: Here) -> TaskList:
    """List the work on a dataset that is under way or was done lately, newest first."""
    return TaskList(tasks=[task.report() for task in here.tasks.all(dataset.dataset.id)])


def _out(here: Context, dataset: Dataset, summary: Summary | None) -> DatasetOut:
    own = dataset.root.path.resolve()
    root = next((each.id for each in all_roots(here.extra_roots) if each.path.resolve() == own), "datasets")
    return DatasetOut(
        id=dataset.id, name=dataset.name, root=dataset.root.id, path=dataset.relative, files_root=root,
        files_path="" if dataset.relative == ITSELF else dataset.relative, summary=summary,
    )  # fmt: skip


def _detail(here: Here, dataset_id: str) -> DatasetDetail:
    bench = here.datasets
    dataset = bench.library.find(dataset_id)
    summary = bench.summary(dataset, 1.0)
    opened = bench.shelf.open(dataset, 0.0)
    return DatasetDetail(
        **_out(here, dataset, summary).model_dump(), settings=opened.settings,
        caption_style=caption_style(opened) if opened.is_known() else "tags",
        looking=opened.is_looking, looked_at=opened.progress[0], to_look_at=opened.progress[1],
    )  # fmt: skip
