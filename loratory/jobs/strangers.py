"""Runs that others started, on the command line: the queue shows them, and waits for the devices that they use."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from loratory.errors import UserError
from loratory.jobs.queue import Queue
from loratory.jobs.tables import ACTIVE
from loratory.runs import is_held, known_runs, read_holder, silent_seconds
from loratory.runs.status import ACTIVE_STATES, LOCK_FILE, read_status_file

log = logging.getLogger(__name__)

EVERY_SECONDS = 5.0
_FRESH_SECONDS = 60.0


class Strangers:
    """Looks for runs that work and that the queue does not know as working."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._last: float | None = None

    def look(self) -> None:
        """Enter those that are new, every few seconds; the first time also those that have been silent for long."""
        first, now = self._last is None, time.monotonic()
        if self._last is not None and now - self._last < EVERY_SECONDS:
            return
        self._last = now
        known = {str(Path(job.folder).resolve()) for job in self._queue.jobs(ACTIVE)}
        for folder in known_runs():
            if str(folder) in known:
                continue
            silent = silent_seconds(folder / LOCK_FILE)
            if silent is not None and (first or silent < _FRESH_SECONDS) and is_held(folder / LOCK_FILE):
                self._enter(folder)

    def _enter(self, folder: Path) -> None:
        try:
            holder = read_holder(folder / LOCK_FILE)
            process = None if holder is None else holder.process()
            if process is not None and process.pid == os.getpid():
                return
            if read_status_file(folder).state in ACTIVE_STATES:
                job = self._queue.adopt(folder, process, state="running")
                log.info("%s (%s) was started by somebody else and is shown", job.name, job.id)
        except UserError as error:
            log.warning("A run cannot be shown: %s", error)
