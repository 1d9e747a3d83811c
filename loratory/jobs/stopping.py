"""Stop an engine: ask, then insist, then end it. It takes 30 seconds at most, whatever the engine does."""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loratory.errors import UserError
from loratory.files import WINDOWS
from loratory.jobs.tables import Job
from loratory.runs import ProcessId, is_alive, is_held, read_holder, request
from loratory.runs.control import CONTROL_FOLDER, request_files
from loratory.runs.status import LOCK_FILE, read_status_file

log = logging.getLogger(__name__)

_WHILE_LOADING = 0.25
"""Patience with an engine that has nothing to save, and that cannot hear a request before its model is loaded."""


@dataclass(frozen=True)
class Patience:
    """Seconds after the first word: when to send SIGINT (finish the step), when again (leave at once), when to end the
    process group, and when to give up waiting for a process that the system cannot end."""

    insist: float = 15.0
    again: float = 20.0
    end: float = 25.0
    mark: float = 29.0


class Ladder:
    """The steps for one engine; `climb` is to be called about once a second until the engine has ended."""

    def __init__(self, job: Job, patience: Patience) -> None:
        self._folder, self._patience, self._is_ours = Path(job.folder), patience, job.origin == "queue"
        self._steps = 0
        self._asked_the_holder = False
        self.ended_by_force = False

    def climb(self, seconds: float, process: ProcessId | None) -> bool:
        """Do what is due so many seconds after the first word. False: there is nothing left but to mark it."""
        self._ask()
        hurry = _WHILE_LOADING if self._has_nothing_to_save() else 1.0
        due = [each * hurry for each in (self._patience.insist, self._patience.again, self._patience.end)]
        while self._steps < len(due) and seconds >= due[self._steps]:
            self._steps += 1
            if process is not None and is_alive(process):
                self._insist(process, self._steps == len(due))
        return seconds < self._patience.mark

    def _ask(self) -> None:
        """Ask by a request; once more when the engine has taken its run, since it answers older ones by no."""
        holds = is_held(self._folder / LOCK_FILE)
        if self._asked_the_holder or (not holds and self._steps == 0 and self._has_asked()):
            return
        self._asked_the_holder = holds
        if not self._has_asked():
            try:
                request(self._folder, "stop")
            except (UserError, OSError) as error:  # a full disk, say: signals need none
                log.warning("The run %s cannot be asked to stop: %s", self._folder, error)

    def _has_nothing_to_save(self) -> bool:
        """It loads, or has not come so far: no step is lost, and no cache."""
        try:
            return read_status_file(self._folder).state in ("queued", "starting")
        except UserError:
            return True

    def _has_asked(self) -> bool:
        return any(path.stem.endswith("-stop") for path in request_files(self._folder / CONTROL_FOLDER))

    def _insist(self, process: ProcessId, by_force: bool) -> None:
        self.ended_by_force = self.ended_by_force or by_force
        if by_force:
            end_tree(process.pid, group=self._is_ours)
        elif not WINDOWS:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)


def end_tree(pid: int, *, group: bool) -> None:
    """End a process and all that it started, without asking; `group`: it leads a process group of its own."""
    import psutil

    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        children = []
    if group and not WINDOWS:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    for each in (pid, *(child.pid for child in children)):
        with suppress(psutil.Error):
            psutil.Process(each).kill()


def process_of(job: Job) -> ProcessId | None:
    """The engine's process: the one that was started, else the one that holds the run's lock on this machine."""
    if job.process is not None and is_alive(job.process):
        return job.process
    lock = Path(job.folder) / LOCK_FILE
    holder = read_holder(lock) if is_held(lock) else None
    return None if holder is None else holder.process()


def stop_now(job: Job, patience: Patience, look_seconds: float = 0.5) -> bool:
    """Stop an engine from here, where no server does it. Returns when it has ended; False if it cannot be ended."""
    ladder, began = Ladder(job, patience), time.monotonic()
    while True:
        process = process_of(job)
        if process is None and not is_held(Path(job.folder) / LOCK_FILE):
            return True
        if not ladder.climb(time.monotonic() - began, process):
            return False
        time.sleep(look_seconds)
