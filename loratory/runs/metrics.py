"""The numbers of a run: a line per logged step, cut back to the checkpoint when a run is resumed."""

import math
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, SupportsFloat

from loratory.files import APPEND_STEPS, declare_points, write_atomic
from loratory.runs import jsonl

declare_points("metrics")
declare_points("metrics", steps=APPEND_STEPS)

_RESERVED = frozenset({"step", "time", "timestamp", "nonfinite", "log_id"})


class MetricsLog:
    """The writing end. Lines are buffered: call `flush` before a checkpoint and `close` (or `with`) at the end."""

    def __init__(self, path: Path, *, flush_seconds: float = 2.0, flush_lines: int = 200) -> None:
        self.path = path
        self._flush_seconds = flush_seconds
        self._flush_lines = flush_lines
        self._lines: list[bytes] = []
        self._flushed = time.monotonic()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def append(self, step: int, **numbers: SupportsFloat | str) -> jsonl.Record:
        """Record numbers, and names such as a phase's. NaN and infinity become null and are named in `nonfinite`.

        Returns the line as it is written.
        """
        if clash := _RESERVED & numbers.keys():
            raise ValueError(f"{sorted(clash)} cannot be names of metrics: every line has its own")
        now = datetime.now(UTC)
        line: jsonl.Record = {
            "step": int(step),
            "time": round(now.timestamp(), 3),
            "timestamp": now.isoformat(timespec="milliseconds"),
        }
        values = {name: value if isinstance(value, int | str) else float(value) for name, value in numbers.items()}
        nonfinite = [name for name, value in values.items() if isinstance(value, float) and not math.isfinite(value)]
        line |= {name: None if name in nonfinite else value for name, value in values.items()}
        if nonfinite:
            line["nonfinite"] = nonfinite
        with self._lock:
            self._lines.append(jsonl.encode(line))
            late = time.monotonic() - self._flushed > self._flush_seconds
            if late or len(self._lines) >= self._flush_lines:
                self._write()
        return line

    def flush(self) -> None:
        """Write what is buffered. Raises DiskFull; the lines are kept for the next try."""
        with self._lock:
            self._write()

    def close(self) -> None:
        """Write what is buffered; there is nothing else to close."""
        self.flush()

    def _write(self) -> None:
        if self._lines:
            jsonl.append(self.path, self._lines, point="metrics")
            self._lines = []
        self._flushed = time.monotonic()

    def truncate_after(self, step: int, without: str = "") -> None:
        """Drop all lines of later steps, and a torn one, by rewriting the file whole; cursors begin again.

        `without`: lines of this very step that have a number of this name are dropped, too. Called before a resumed run
        logs anything: what is buffered is dropped as well where it is later.
        """

        def stays(line: jsonl.Record) -> bool:
            return bool(line["step"] < step or (line["step"] == step and without not in line))

        with self._lock:
            self._write()
            if not self.path.exists():
                return
            # A line that a kill left without its end may lack nothing else, and would count once the next is appended.
            if jsonl.ends_whole(self.path) and all(map(stays, jsonl.iterate(self.path))):
                return

            def copy(stream: BinaryIO) -> None:
                stream.write(jsonl.header())
                stream.writelines(jsonl.encode(line) for line in jsonl.iterate(self.path) if stays(line))

            write_atomic(self.path, copy, point="metrics")


def read_metrics(
    path: Path, cursor: str | None = None, *, block_bytes: int = jsonl.DEFAULT_BLOCK
) -> tuple[list[jsonl.Record], str]:
    """Lines after the cursor, and the cursor after them, as `read_events` does; null stands for what is `nonfinite`."""
    return jsonl.read(path, cursor, block_bytes=block_bytes)


def iterate_metrics(path: Path) -> Iterator[jsonl.Record]:
    """All lines of a metrics file in bounded memory."""
    return jsonl.iterate(path)
