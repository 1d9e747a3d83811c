"""Does an engine still live, or does its process only exist?"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from loratory.runs import SILENT_SECONDS, ProcessId, is_stopped, last_beat, work_done

LONGEST_CALL = 600.0
"""So long a process that computes or reads without a beat is believed to be in one long call of a library."""


class Pulse:
    """Signs of life of one engine: its heartbeat, and while that is silent, processor time and bytes read."""

    def __init__(
        self, lock: Path, *, silent_seconds: float = SILENT_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        self._lock, self._silent, self._clock = lock, silent_seconds, clock
        self._beat: int | None = None
        self._work: float | None = None
        self._sign = self._beaten = clock()

    def look(self, process: ProcessId | None) -> bool:
        """Is it responsive? `process`: None for one on another machine, of which only the heartbeat is seen."""
        now, beat = self._clock(), last_beat(self._lock)
        if beat != self._beat:
            self._beat, self._sign, self._beaten = beat, now, now
            return process is None or not is_stopped(process.pid)
        if process is not None:
            if is_stopped(process.pid):
                return False
            work = work_done(process.pid)
            if work != self._work and now - self._beaten < LONGEST_CALL:
                self._work, self._sign = work, now
        return now - self._sign < self._silent
