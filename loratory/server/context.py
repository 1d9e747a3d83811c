"""What every route may use: how the server was started, and the parts that live as long as it does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from loratory.drafts.desk import Desk
from loratory.hub.inventory import Inventory
from loratory.runs import new_ulid


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
    desk: Desk = field(default_factory=Desk)
    """For jobs that are being written."""
    models: Inventory = field(default_factory=Inventory)


def context(connection: HTTPConnection) -> Context:
    """The server's parts, for a route."""
    found = connection.app.state.context
    assert isinstance(found, Context)
    return found


Here = Annotated[Context, Depends(context)]
