"""What every route may use: how the server was started, and the parts that live as long as it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from sqlalchemy import Engine
from starlette.requests import HTTPConnection

from loratory.jobs.history import Histories
from loratory.jobs.index import Index
from loratory.runs import new_ulid
from loratory.server.bus import Bus
from loratory.server.live import Live


@dataclass(frozen=True)
class Options:
    """How the server was started."""

    host: str = "127.0.0.1"
    port: int = 8675
    root_path: str = ""
    """Behind a proxy that serves it below a path: that path, such as /loratory."""
    token: str | None = field(default=None, repr=False)
    """What must be shown to be let in; None where everybody who reaches this address is let in."""


@dataclass
class Context:
    """The parts of a running server."""

    options: Options
    instance: str = field(default_factory=new_ulid)
    """Another one after each start: numbers of an earlier server mean nothing to this one."""
    bus: Bus = field(init=False)
    """News of the server, for whoever follows; any part may publish."""
    database: Engine = field(init=False)
    index: Index = field(init=False)
    """All runs; where one's folder is."""
    live: Live = field(init=False)
    """Runs that somebody follows."""
    histories: Histories = field(default_factory=Histories)
    """Numbers of the runs that were looked at last."""
    in_queue: Callable[[str], bool] = field(default=lambda run_id: False)
    """Does this run wait in the queue?"""

    def __post_init__(self) -> None:
        self.bus = Bus(self.instance)


def context(connection: HTTPConnection) -> Context:
    """The server's parts, for a route."""
    found = connection.app.state.context
    assert isinstance(found, Context)
    return found


Here = Annotated[Context, Depends(context)]
