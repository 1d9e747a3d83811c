"""A table: `metrics_<name>.csv`, a column for each number and a row for each line, for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO

from loratory.config.runtime import LoggingConfig
from loratory.files import declare_points, naming_full_disk, write_atomic
from loratory.runs.metrics import iterate_metrics
from loratory.training.trackers.base import Beginning, Line

declare_points("csv")

NAME = "csv"
PACKAGE = ""
FLUSH_SECONDS = 5.0


def is_wanted(config: LoggingConfig) -> bool:
    return config.csv


def check(config: LoggingConfig) -> None:
    """Nothing can be missing."""


def start(config: LoggingConfig, beginning: Beginning) -> Table:
    """The table made anew from the metrics file, which is cut back on a resume."""
    return Table(
        beginning.run.path / f"metrics_{beginning.run.name}.csv", lambda: iterate_metrics(beginning.run.metrics_path)
    )


class Table:
    """Rows are appended; a number that has no column yet gets one, and the file is then written anew."""

    name = NAME

    def __init__(self, path: Path, lines: Callable[[], Iterable[Line]]) -> None:
        """`lines()` gives the rows that are there from the start; it is asked twice."""
        self.path = path
        self._rows: list[Line] = []
        self._flushed = monotonic()
        self._columns = list(dict.fromkeys(name for line in lines() for name in line))
        self._write_anew(map(self._encoded, lines()))

    def _write_anew(self, rows: Iterable[bytes]) -> None:
        def copy(stream: BinaryIO) -> None:
            stream.write(self._encoded({name: name for name in self._columns}))
            stream.writelines(rows)

        write_atomic(self.path, copy, point="csv")

    def _encoded(self, row: Line) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerow(_cell(row.get(name)) for name in self._columns)
        return text.getvalue().encode()

    def write(self, line: Line) -> None:
        """The row is kept for a few seconds."""
        self._rows.append(line)
        if monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def pictures(self, step: int, files: Sequence[Path]) -> None:
        """A table has no place for them."""

    def flush(self) -> None:
        """Append the rows."""
        rows, self._rows, self._flushed = self._rows, [], monotonic()
        new = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in self._columns]
        if not new:
            with naming_full_disk(self.path), self.path.open("ab") as stream:
                stream.writelines(map(self._encoded, rows))
            return
        self._columns += new
        before = self.path.read_bytes().splitlines()[1:]
        self._write_anew([*(row + b"," * len(new) + b"\n" for row in before), *map(self._encoded, rows)])

    def close(self) -> None:
        self.flush()


def _cell(value: Any) -> Any:
    return " ".join(value) if isinstance(value, list) else value
