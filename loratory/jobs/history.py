"""A run's numbers as columns, for charts: kept in memory as they grow, thinned where asked, framed as binary.

The frame: a little-endian uint32 N; N bytes of JSON (with spaces at its end, so that 4 + N is a multiple of 4); then
for each series of the JSON's `series`, at 4 + N + its `offset`: `count` steps as uint32 and after them `count` values
as float32, all little-endian. NaN stands for a number that was not finite.
"""

from __future__ import annotations

import json
import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loratory.runs import jsonl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_NAMES = 100
MOST_VALUES = 4_000_000
"""In one frame, of all series together: 32 MB."""
KEPT_VALUES = 16_000_000
"""In memory, of all runs together: 128 MB. The run that is looked at is always kept whole."""

_OWN = frozenset({"step", "timestamp", "nonfinite", "log_id"})
TIME = "time"
"""A series, too: seconds since `time_origin`, since float32 has no room for a date."""


@dataclass
class Column:
    """One series. A number that was not finite is NaN."""

    steps: array[int] = field(default_factory=lambda: array("I"))
    values: array[float] = field(default_factory=lambda: array("f"))


class History:
    """The numbers of one metrics file, read as far as it went the last time. Any thread may call it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._columns: dict[str, Column] = {}
        self._cursor: str | None = None
        self._origin: float | None = None
        self.values = 0

    def _update(self) -> None:
        while True:
            found = jsonl.read_lines(self._path, self._cursor)
            if found.began_again:
                self._forget()  # the run was resumed from an earlier step, and its later lines are dropped
            self._cursor = found.cursor
            for line in found.lines:
                record = jsonl.parse(line)
                if record is not None and isinstance(record.get("step"), int) and 0 <= record["step"] < 2**32:
                    self._take(record)
            if not found.lines:
                return

    def _take(self, record: jsonl.Record) -> None:
        step = record["step"]
        for name, value in record.items():
            if name in _OWN or not (value is None or isinstance(value, int | float)):
                continue
            if name == TIME:
                if value is None:
                    continue
                self._origin = value if self._origin is None else self._origin
                value -= self._origin
            column = self._columns.get(name)
            if column is None:
                column = self._columns[name] = Column()
            column.steps.append(step)
            column.values.append(float("nan") if value is None else value)
            self.values += 1

    def names(self) -> list[dict[str, Any]]:
        """Every series: name, count, first and last step, last value."""
        with self._lock:
            self._update()
            return [
                {"name": name, "count": len(column.steps), "first_step": column.steps[0], "last_step": column.steps[-1],
                 "last": None if column.values[-1] != column.values[-1] else column.values[-1]}
                for name, column in self._columns.items()
            ]  # fmt: skip

    def frame(self, names: Sequence[str], steps: tuple[int, int], points: int | None) -> bytes:
        """The series of these names (none: all) between two steps, both included; of each about `points` values at most
        where that is given. A name that does not occur has no values."""
        import numpy as np

        with self._lock:
            self._update()
            wanted = list(dict.fromkeys(names)) or list(self._columns)
            empty = Column()
            taken = {
                name: (np.array(column.steps, np.uint32), np.array(column.values, np.float32))
                for name in wanted for column in [self._columns.get(name, empty)]
            }  # fmt: skip
            head = {"version": 1, "cursor": self._cursor or jsonl.NO_FILE, "time_origin": self._origin}
        most = MOST_VALUES // max(len(taken), 1)
        return _frame(head, taken, steps, most if points is None else min(points, most))


def _frame(
    head: dict[str, Any], taken: dict[str, tuple[NDArray[Any], NDArray[Any]]], limits: tuple[int, int], points: int
) -> bytes:
    import numpy as np

    series, parts, offset = [], [], 0
    for name, (steps, values) in taken.items():
        inside = np.flatnonzero((steps >= limits[0]) & (steps <= limits[1]))
        kept = inside[thinned(values[inside], points)]
        parts += [steps[kept].astype("<u4").tobytes(), values[kept].astype("<f4").tobytes()]
        series.append({"name": name, "count": len(kept), "total": len(inside), "offset": offset})
        offset += 8 * len(kept)
    header = json.dumps({**head, "series": series}, ensure_ascii=False).encode("utf-8")
    header += b" " * (-(4 + len(header)) % 4)
    return b"".join([len(header).to_bytes(4, "little"), header, *parts])


def thinned(values: NDArray[np.float32], points: int) -> NDArray[np.intp]:
    """Indices of about `points` values at most that show the same curve: of each of equal pieces the lowest, the
    highest and, where there is one, the first that is not finite. All indices where there are not more."""
    import numpy as np

    count = len(values)
    if count <= points:
        return np.arange(count)
    finite = np.isfinite(values)
    pieces = max(points // (2 if finite.all() else 3), 1)
    width = -(-count // pieces)
    missing = pieces * width - count

    def by_piece(numbers: NDArray[Any], filling: Any) -> NDArray[Any]:
        return np.append(numbers, np.full(missing, filling, numbers.dtype)).reshape(pieces, width)

    low = by_piece(np.where(finite, values, np.inf), np.inf).argmin(1)
    high = by_piece(np.where(finite, values, -np.inf), -np.inf).argmax(1)
    broken = by_piece(~finite, False)
    begins = np.arange(pieces) * width
    found = [begins + low, begins + high, (begins + broken.argmax(1))[broken.any(1)]]
    indices: NDArray[np.intp] = np.unique(np.concatenate(found))
    return indices[indices < count]


class Histories:
    """Of the runs that were looked at last."""

    def __init__(self, kept_values: int = KEPT_VALUES) -> None:
        self._kept_values = kept_values
        self._lock = threading.Lock()
        self._known: OrderedDict[Path, History] = OrderedDict()

    def of(self, metrics: Path) -> History:
        """The history of a metrics file."""
        with self._lock:
            found = self._known.setdefault(metrics, History(metrics))
            self._known.move_to_end(metrics)
            total = sum(each.values for each in self._known.values())
            while total > self._kept_values and len(self._known) > 1:
                total -= self._known.popitem(last=False)[1].values
            return found
