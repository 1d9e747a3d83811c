"""What a tracker is: it gets each line of the metrics and the samples, and shows them in its own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from loratory.runs import RunFolder

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Beginning:
    """What a tracker starts with."""

    run: RunFolder
    """Its metrics file holds the lines up to `step` already."""
    step: int
    """Optimizer steps done."""
    config: Mapping[str, Any]
    """The recipe of the run, with secrets masked and without this machine's paths."""


class Tracker(Protocol):
    """One run in one program. Every method may raise; the recorder then does without this tracker."""

    name: str

    def write(self, line: Line) -> None:
        """A line of the metrics file."""

    def pictures(self, step: int, files: Sequence[Path]) -> None:
        """Samples after so many steps; only files that are pictures."""

    def flush(self) -> None:
        """Let others see what was written; called where a checkpoint is made."""

    def close(self) -> None:
        """Write all that is left."""


def numbers(line: Line) -> dict[str, float]:
    """The numbers of a line by their names, without the clock and what was not a number."""
    return {
        name: value
        for name, value in line.items()
        if isinstance(value, int | float) and name not in ("step", "time")
    }  # fmt: skip
