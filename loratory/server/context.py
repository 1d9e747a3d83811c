"""What every route may use: how the server was started, and the parts that live as long as it does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from loratory.jobs.queue import Queue
from loratory.jobs.worker import Worker
from loratory.runs import new_ulid
from loratory.server.access import Gate
from loratory.server.machine import Machine
from loratory.settings import Access, read_settings


@dataclass(frozen=True)
class Options:
    """How the server was started."""

    host: str = "127.0.0.1"
    port: int = 8675
    root_path: str = ""
    """Behind a proxy that serves it below a path: that path, such as /loratory."""
    token: str | None = field(default=None, repr=False)
    """What must be shown by whoever is not on this machine itself; None lets nobody else in."""


@dataclass(frozen=True)
class Jobs:
    """The queue and who works it."""

    queue: Queue
    worker: Worker


@dataclass
class Context:
    """The parts of a running server."""

    options: Options
    instance: str = field(default_factory=new_ulid)
    """Another one after each start: numbers of an earlier server mean nothing to this one."""
    access: Access = field(default_factory=lambda: read_settings().settings.access)
    """As in the settings; a change there is told here."""
    gate: Gate = field(init=False)
    machine: Machine = field(default_factory=Machine)
    jobs: Jobs | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.gate = Gate(self.options.token)

    @property
    def queue(self) -> Queue:
        """The queue, while the server serves."""
        assert self.jobs is not None, "the application has begun"
        return self.jobs.queue


def context(connection: HTTPConnection) -> Context:
    """The server's parts, for a route."""
    found = connection.app.state.context
    assert isinstance(found, Context)
    return found


Here = Annotated[Context, Depends(context)]
