"""The event log of a run: append-only, numbered, free of secrets."""

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from loratory.files import APPEND_STEPS, declare_points
from loratory.runs import jsonl
from loratory.runs.names import utc_now
from loratory.secrets import redact_values

declare_points("events")
declare_points("events", steps=APPEND_STEPS)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log: its number from 1 on, the time in UTC, what happened, and what belongs to it."""

    seq: int
    time: str
    kind: str
    data: dict[str, Any] = field(default_factory=dict)


class EventLog:
    """The writing end. One process at a time writes, from any of its threads: the one that holds the run's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seq: int | None = None
        self._lock = threading.Lock()

    def emit(self, kind: str, data: dict[str, Any]) -> Event:
        """Append an event; it survives a kill of this process. Raises ValueError for data that is not JSON."""
        with self._lock:
            if self._seq is None:
                self._seq = int((jsonl.last(self.path) or {}).get("seq", 0))
            event = Event(self._seq + 1, utc_now(), kind, redact_values(data))
            jsonl.append(self.path, [jsonl.encode(asdict(event))], point="events")
            self._seq = event.seq
            return event


def read_events(
    path: Path, cursor: str | None = None, *, block_bytes: int = jsonl.DEFAULT_BLOCK
) -> tuple[list[Event], str]:
    """Events after the cursor, and the cursor after them, to be handed in next time.

    Call again until the list is empty: about `block_bytes` are read at once. A cursor of another or a changed file
    begins again at the start, which the first event's `seq` shows.
    """
    records, position = jsonl.read(path, cursor, block_bytes=block_bytes)
    return _events(records), position


def _events(records: Sequence[jsonl.Record]) -> list[Event]:
    return [
        Event(record["seq"], record["time"], record["kind"], record["data"])
        for record in records
        if record.keys() >= {"seq", "time", "kind", "data"}
    ]
