"""The queue's tables, as `migrations/` made them, and a job as a value."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import Boolean, Column, Integer, MetaData, Row, String, Table

from loratory.runs import ProcessId

JobState = Literal[
    "waiting", "held", "starting", "running", "unresponsive", "stopping", "pausing", "paused", "finished", "stopped",
    "failed",
]  # fmt: skip
"""`stopping` and `pausing` are left within 30 seconds, whatever the engine does."""
JOB_STATES: tuple[str, ...] = get_args(JobState)
WAITING = ("waiting", "held")
ACTIVE = ("starting", "running", "unresponsive", "stopping", "pausing")
LEAVING = ("stopping", "pausing")
RESTING = ("paused", "finished", "stopped", "failed")

metadata = MetaData()

queues = Table("queues", metadata, Column("name", String, primary_key=True), Column("paused", Boolean))

jobs = Table(
    "jobs", metadata,
    Column("id", String, primary_key=True),
    Column("kind", String), Column("name", String), Column("folder", String), Column("queue", String),
    Column("origin", String), Column("state", String), Column("priority", Integer), Column("position", Integer),
    Column("not_before", String), Column("weights_only", Boolean), Column("created", String),
    Column("changed", String), Column("launched", String), Column("pid", Integer), Column("began", String),
    Column("boot", String), Column("oom_kills", Integer), Column("stop_asked", String), Column("cause", String),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """One job of the queue. Times are UTC texts."""

    id: str
    """The id of its run."""
    kind: str
    name: str
    folder: str
    queue: str
    origin: str
    """`queue`, or `command line`: somebody else started it, and the queue only knows of it."""
    state: str
    priority: int
    """Higher ones come first."""
    position: int
    not_before: str | None
    weights_only: bool
    created: str
    changed: str
    launched: str | None
    process: ProcessId | None
    oom_kills: int | None
    """How many processes the kernel had killed for want of memory when this one was started."""
    stop_asked: str | None
    cause: dict[str, str] | None
    """`code` and `message` of why it failed."""

    @classmethod
    def of(cls, row: Row[Any]) -> Job:
        """From a row of the table."""
        values = dict(row._mapping)
        pid, began, boot = (values.pop(name) for name in ("pid", "began", "boot"))
        values["process"] = None if pid is None else ProcessId(pid, began, boot)
        values["cause"] = None if values["cause"] is None else json.loads(values["cause"])
        values["weights_only"] = bool(values["weights_only"])
        return cls(**values)

    @property
    def is_active(self) -> bool:
        """Does an engine work on it, or is one about to?"""
        return self.state in ACTIVE
