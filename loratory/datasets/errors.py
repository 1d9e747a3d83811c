"""What can be wrong with a wish about datasets, apart for those who answer by a code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loratory.errors import UserError


class NotThere(UserError):
    """There is no such dataset, picture or edit."""

    code = "not_there"


class Taken(UserError):
    """A name is in use already, also where only the case of letters differs."""

    code = "taken"


class StillScanning(UserError):
    """The dataset is being looked at for the first time. `done` of `total` pictures have been opened."""

    code = "scanning"

    def __init__(self, name: str, done: int, total: int) -> None:
        self.done, self.total = done, total
        super().__init__(
            f"The dataset {name!r} is being looked at for the first time ({done} of {total} pictures); ask again soon."
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """A caption that is not what somebody took it for. `pieces` lead from the expected text to the present one."""

    item: str
    expected: str | None
    now: str | None
    version: str
    pieces: Sequence[Any]


class Stale(UserError):
    """Captions have changed since they were read; nothing was written. `differences` are the first of `count`."""

    code = "stale"

    def __init__(self, message: str, differences: Sequence[Difference], count: int) -> None:
        self.differences, self.count = differences, count
        super().__init__(message)


class QueryError(UserError):
    """A query that cannot be understood, from letter `start` to before letter `end`."""

    code = "query"

    def __init__(self, message: str, start: int, end: int) -> None:
        self.start, self.end = start, end
        super().__init__(message)
