"""What every route may use: how the server was started, and the parts that live as long as it does."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends
from sqlalchemy import Engine
from starlette.requests import HTTPConnection

from loratory.data.thumbnails import Thumbnails
from loratory.datasets.errors import NotThere
from loratory.datasets.workbench import Workbench, thumbnails_folder
from loratory.errors import UserError
from loratory.hub.inventory import Inventory
from loratory.jobs.history import Histories
from loratory.jobs.index import Index
from loratory.jobs.queue import Queue
from loratory.jobs.worker import Worker
from loratory.runs import RunFolder, known_runs, new_ulid
from loratory.server.access import Gate
from loratory.server.arrivals import Arrivals
from loratory.server.bus import Bus
from loratory.server.live import Live
from loratory.server.machine import Machine
from loratory.server.receiving import Writers
from loratory.server.tasks import Task, Tasks
from loratory.settings import Access, Settings, read_settings

if TYPE_CHECKING:
    from loratory.drafts.desk import Desk


@dataclass(frozen=True)
class Options:
    """How the server was started."""

    host: str = "127.0.0.1"
    port: int = 8675
    root_path: str = ""
    """Behind a proxy that serves it below a path: that path, such as /loratory."""
    token: str | None = field(default=None, repr=False)
    """What must be shown by whoever is not on this machine itself; None lets nobody else in."""


@dataclass
class Context:
    """The parts of a running server."""

    options: Options
    instance: str = field(default_factory=new_ulid)
    """Another one after each start: numbers of an earlier server mean nothing to this one."""
    settings: Settings = field(default_factory=lambda: read_settings().settings)
    """As they are kept; who changes them tells it here."""
    gate: Gate = field(init=False)
    machine: Machine = field(default_factory=Machine)
    bus: Bus = field(init=False)
    """News of the server, for whoever follows; any part may publish."""
    database: Engine = field(init=False)
    queue: Queue = field(init=False)
    worker: Worker = field(init=False)
    index: Index = field(init=False)
    """All runs; where one's folder is."""
    live: Live = field(init=False)
    """Runs that somebody follows."""
    histories: Histories = field(default_factory=Histories)
    """Numbers of the runs that were looked at last."""
    tasks: Tasks = field(init=False)
    """Everything that the server does for longer than a request."""
    thumbnails: Thumbnails = field(default_factory=lambda: Thumbnails(thumbnails_folder()))
    datasets: Workbench = field(init=False)
    arrivals: Arrivals = field(init=False)
    """Tell it of files that were changed where datasets may lie."""
    models: Inventory = field(init=False)
    writers: Writers = field(default_factory=Writers)
    """Who writes to which upload."""

    def __post_init__(self) -> None:
        self.gate = Gate(self.options.token)
        self.bus = Bus(self.instance)
        self.tasks = Tasks(moved=self._tell_task)
        self.datasets = Workbench(lambda: tuple(map(Path, self.settings.paths.datasets)), self.thumbnails)
        self.arrivals = Arrivals(self.datasets, self.tell_dataset)
        self.models = Inventory(lambda: tuple(map(Path, self.settings.paths.models)), exports)

    @cached_property
    def desk(self) -> Desk:
        """For jobs that are being written. Much belongs to it, and a server that only starts needs none of it."""
        from loratory.drafts.desk import Desk

        return Desk(find_dataset=self.dataset_folder)

    def dataset_folder(self, identifier: str) -> Path | None:
        """Where a dataset lies; None where there is none of this id."""
        try:
            return self.datasets.library.find(identifier).path
        except NotThere:
            return None

    def _tell_task(self, task: Task) -> None:
        report = task.report()
        self.bus.publish("task", report.model_dump(include={"id", "kind", "dataset", "state", "done", "total"}))

    def tell_dataset(self, identifier: str) -> None:
        """What is shown of a dataset is not so any more."""
        self.bus.publish("dataset", {"id": identifier})

    @property
    def access(self) -> Access:
        """Who must show the token."""
        return self.settings.access

    @property
    def extra_roots(self) -> tuple[Path, ...]:
        """Folders outside of the home that clients may look into, change, and import from."""
        paths = self.settings.paths
        return tuple(Path(path) for path in dict.fromkeys((*paths.datasets, *paths.models)))


def exports() -> dict[Path, list[str]]:
    """Folders of runs of this machine, and the files of weights that each exported."""
    found = {}
    for path in known_runs():
        try:
            made = RunFolder.open(path).exports()
        except (UserError, OSError):
            continue  # the index of runs says of it what is wrong
        found[path] = [each.path.name for each in made if each.path.suffix == ".safetensors"]
    return found


def context(connection: HTTPConnection) -> Context:
    """The server's parts, for a route."""
    found = connection.app.state.context
    assert isinstance(found, Context)
    return found


Here = Annotated[Context, Depends(context)]
