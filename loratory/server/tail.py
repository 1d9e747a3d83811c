"""What a run's folder tells, as events: its event log, metrics and log as they grow, and its status as it changes.

A cursor holds a place in each: `<events>~<metrics>~<log>~<status>`; the first three are cursors of `runs.jsonl`. It
means the same to every server, before and after a restart, and needs nothing remembered. Functions here only read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from loratory.errors import UserError
from loratory.jobs.facts import newest_numbers, speed_since, started_at
from loratory.runs import RunFolder, Status, jsonl, read_status, utc_now
from loratory.runs.status import STATUS_FILE
from loratory.server.ring import RESYNC, Entry, make_entry

BLOCK_BYTES = 128 << 10
LINES = 100
"""Of metrics or of the log in one event, at most."""
LONGEST_LINE = 10_000
"""Characters of a line of the log that are sent."""
FILES = ("events", "metrics", "log")
NO_STATUS = "-"
GONE = "gone"


class Position(NamedTuple):
    """A place in everything that is followed."""

    events: str = jsonl.NO_FILE
    metrics: str = jsonl.NO_FILE
    log: str = jsonl.NO_FILE
    status: str = NO_STATUS
    """`<state>.<hash>` of the status that was told last."""

    def cursor(self) -> str:
        """As readers have it."""
        return "~".join(self)


def read_cursor(text: str) -> Position | None:
    """The place that a cursor names; None for what is no cursor."""
    parts = text.split("~")
    if len(parts) != len(Position._fields) or len(text) > 300:
        return None
    try:
        for part in parts[: len(FILES)]:
            jsonl.place(part)
    except ValueError:
        return None
    return Position(*parts)


@dataclass(frozen=True, slots=True)
class Told:
    """A status, and the numbers that belong to it."""

    token: str
    data: dict[str, Any]

    def entry(self, position: Position) -> Entry:
        """The event for a reader at `position`: of a new state, or of how far it is."""
        before = position.status.partition(".")[0]
        state = self.data["state"]
        kind = "progress" if before == state else "state"
        data = self.data if kind == "progress" else {**self.data, "previous": None if before == "-" else before}
        event = {"kind": kind, "source": "status", "time": self.data["updated"], "data": data}
        return make_entry(position._replace(status=self.token).cursor(), event)


class Source:
    """One run's files, and the numbers of its metrics that a status is told with. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        run = RunFolder.open(path)
        self._files = {"events": run.events_path, "metrics": run.metrics_path, "log": run.log_path}
        self._numbers: dict[str, float] = {}
        self._first: tuple[str, jsonl.Record] | None = None
        self._read_numbers()

    def file(self, name: str) -> Path:
        """The file behind one part of a position."""
        return self._files[name]

    def now(self) -> tuple[Position, Told]:
        """The end of everything, and the status."""
        ends = {name: jsonl.end(path) for name, path in self._files.items()}
        told = self.status()
        return Position(**ends, status=told.token), told

    def look(self, seen: Position) -> tuple[list[Entry], Position, Told]:
        """What has come since. Raises UserError where the run is gone."""
        entries: list[Entry] = []
        for name in FILES:
            lines = jsonl.read_lines(self._files[name], getattr(seen, name), block_bytes=BLOCK_BYTES)
            if lines.began_again:
                seen = seen._replace(**{name: jsonl.end(self._files[name])})
                entries.append(resync(seen, [name]))
                if name == "metrics":
                    self._read_numbers()
            elif lines.lines:
                entries += as_entries(name, lines, seen)
                seen = seen._replace(**{name: lines.cursor})
                if name == "metrics":
                    self._take_numbers(lines.lines)
        told = self.status()
        if told.token != seen.status:
            entries.append(told.entry(seen))
            seen = seen._replace(status=told.token)
        return entries, seen, told

    # Status

    def status(self) -> Told:
        """The status with what the metrics add. Raises UserError where the folder is no run any more."""
        try:
            status = read_status(self.path)
        except UserError as error:
            if not (self.path / STATUS_FILE).is_file():
                raise
            return _told({"state": "damaged", "message": str(error), "updated": utc_now()}, str(error))
        data = {name: getattr(status, name) for name in _STATUS_FIELDS} | {
            "error": None if status.error is None else dict(status.error),
            "loss": self._numbers.get("loss"),
            "learning_rate": self._numbers.get("learning_rate", self._numbers.get("lr_0")),
            "average_iterations_per_second": self._average(status),
            "memory_mib": {
                name.removeprefix("memory/").removesuffix("_mib"): value
                for name, value in self._numbers.items() if name.startswith("memory/")
            },
        }  # fmt: skip
        return _told(data, json.dumps([status.state, status.updated, status.step]))

    def _average(self, status: Status) -> float | None:
        if status.started is None or "time" not in self._numbers:
            return None
        if self._first is None or self._first[0] != status.started:
            record = jsonl.first_since(self._files["metrics"], "time", started_at(status.started))
            self._first = None if record is None else (status.started, record)
        return None if self._first is None else speed_since(self._first[1], self._numbers)

    def _read_numbers(self) -> None:
        self._numbers, self._first = newest_numbers(self._files["metrics"]), None

    def _take_numbers(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            record = jsonl.parse(line) or {}
            self._numbers.update(
                (name, value) for name, value in record.items() if isinstance(value, int | float)
            )  # fmt: skip


_STATUS_FIELDS = (
    "state", "message", "step", "total_steps", "epoch", "eta_seconds", "iterations_per_second", "validation_loss",
    "best_validation_loss", "best_step", "started", "updated",
)  # fmt: skip


def _told(data: dict[str, Any], mark: str) -> Told:
    digest = hashlib.blake2s(mark.encode(), digest_size=4).hexdigest()
    return Told(f"{data['state']}.{digest}", data)


def gone(position: Position, message: str) -> Entry:
    """The last event of a run that was deleted."""
    event = {"kind": GONE, "source": "server", "time": utc_now(), "data": {"message": message}}
    return make_entry(position._replace(status=GONE).cursor(), event)


def resync(position: Position, sources: Sequence[str]) -> Entry:
    """What a reader has of these sources is to be thrown away and asked for anew."""
    event = {"kind": RESYNC, "source": "server", "time": utc_now(), "data": {"sources": list(sources)}}
    return make_entry(position.cursor(), event)


# Files as events


def as_entries(name: str, lines: jsonl.Lines, seen: Position) -> Iterator[Entry]:
    """The lines of one file as events, each with the cursor behind it."""
    file_id, offset = jsonl.place(lines.cursor)
    offset -= sum(len(line) + 1 for line in lines.lines)
    size = 1 if name == "events" else LINES
    for begin in range(0, len(lines.lines), size):
        some = lines.lines[begin : begin + size]
        offset += sum(len(line) + 1 for line in some)
        event = _EVENTS[name](some)
        if event is not None:
            yield make_entry(seen._replace(**{name: f"{file_id}:{offset}"}).cursor(), event)


def _of_run(lines: Sequence[bytes]) -> dict[str, Any] | None:
    record = _finite(lines[0])
    if record is None or not record.keys() >= {"seq", "time", "kind", "data"}:
        return None
    return {
        "kind": record["kind"],
        "source": "run",
        "time": record["time"],
        "seq": record["seq"],
        "data": record["data"],
    }


def _of_metrics(lines: Sequence[bytes]) -> dict[str, Any] | None:
    records = [record for line in lines if (record := _finite(line)) is not None]
    time = records[-1].get("timestamp") if records else None
    return {"kind": "metrics", "source": "metrics", "time": time, "data": {"lines": records}} if records else None


def _of_log(lines: Sequence[bytes]) -> dict[str, Any]:
    texts = [line.decode("utf-8", "replace").rstrip("\r")[:LONGEST_LINE] for line in lines]
    return {"kind": "log", "source": "log", "time": None, "data": {"lines": texts}}


def _finite(line: bytes) -> jsonl.Record | None:
    """A record, unless it holds what JSON does not have and no engine writes."""
    record = jsonl.parse(line)
    try:
        json.dumps(record, allow_nan=False)
    except ValueError:
        return None
    return record


_EVENTS = {"events": _of_run, "metrics": _of_metrics, "log": _of_log}


# From the files, for readers who come from further back than the ring


def replay(source: Source, seen: Position, head: Position, told: Told) -> tuple[list[Entry], Position]:
    """Some of what lies between two positions, and how far that goes; call again until it is `head`.

    Begins with a resync for files of which `seen` names no place: of another file, or behind the end.
    """
    lost = [name for name in FILES if not _leads_to(getattr(seen, name), getattr(head, name))]
    if lost:
        seen = seen._replace(**{name: getattr(head, name) for name in lost})
        return [resync(seen, lost)], seen
    entries: list[Entry] = []
    for name in FILES:  # a block of each: who asks now and then must not get the first one only, again and again
        before, after = getattr(seen, name), getattr(head, name)
        if before == after:
            continue
        lines = jsonl.read_lines(source.file(name), before, block_bytes=BLOCK_BYTES, until=jsonl.place(after)[1])
        if lines.cursor.partition(":")[0] != after.partition(":")[0] or not lines.lines:
            lines = jsonl.Lines([], after, True)  # rewritten at this instant: whoever tails it will say so next
        else:
            entries += as_entries(name, lines, seen)
        seen = seen._replace(**{name: lines.cursor})
    if seen != head and seen._replace(status=head.status) == head:
        entries.append(told.entry(seen))
        seen = head
    return entries, seen


def _leads_to(seen: str, head: str) -> bool:
    if seen == jsonl.NO_FILE:
        return True
    (file, offset), (other, end) = jsonl.place(seen), jsonl.place(head)
    return file == other and offset <= end
