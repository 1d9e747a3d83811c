"""The worker: starts what is due, follows what runs, and sees to it that a stop ends. One thread of the server.

Engines are followed through their run folders and their processes, never through a pipe: they outlive this process, and
the next one finds them again. There is one worker for a home; a second server waits until it can be it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from loratory.errors import UserError
from loratory.jobs.endings import Ending, Evidence, give_up, never_began, oom_kills, settle
from loratory.jobs.engines import Launch, find, launch
from loratory.jobs.pulse import Pulse
from loratory.jobs.queue import Queue
from loratory.jobs.stopping import Ladder, Patience, process_of
from loratory.jobs.strangers import Strangers
from loratory.jobs.tables import ACTIVE, LEAVING, Job
from loratory.runs import LockHeld, ProcessId, RunBusy, boot_id, exclusive, home_folder, identify, is_held
from loratory.runs.status import LOCK_FILE

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
_WORKER_LOCK = "worker.lock"


def worker_lock() -> Path:
    """Held by the process whose worker serves this home's queue."""
    return home_folder("state") / _WORKER_LOCK


def is_served() -> bool:
    """Is there a server that starts what waits?"""
    return is_held(worker_lock())


class Worker:
    """Begin with `start`, end with `stop`: that ends no engine."""

    def __init__(
        self, queue: Queue, *, start_engine: Launch = launch, patience: Patience | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:  # fmt: skip
        self.queue = queue
        self._launch, self._patience, self._look_seconds = start_engine, patience or Patience(), look_seconds
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._codes: dict[str, int] = {}
        self._pulses: dict[str, Pulse] = {}
        self._ladders: dict[str, tuple[float, Ladder]] = {}
        self._strangers = Strangers(queue)
        self._over, self._wake = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look after the queue from now on, as soon as no other process does."""
        self._thread = threading.Thread(target=self._serve, name="worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave the queue alone; engines go on."""
        self._over.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        for child in self._children.values():
            child.returncode = child.returncode or 0  # it is nobody's child now, and that is no mistake

    def wake(self) -> None:
        """Look now: something was changed."""
        self._wake.set()

    def _serve(self) -> None:
        said = False
        while not self._over.is_set():
            try:
                with exclusive(worker_lock(), wait_seconds=0.1):
                    while not self._over.is_set():
                        self.look()
                        self._wake.wait(self._look_seconds)
                        self._wake.clear()
            except LockHeld as error:
                if not said:
                    log.warning("Another server looks after the queue, and this one only shows it: %s", error)
                said = True
                self._over.wait(self._look_seconds)
            except Exception:
                log.exception("The worker stumbled and goes on")
                self._over.wait(self._look_seconds)

    # One look

    def look(self) -> None:
        """Look once at every engine, and start what is due."""
        for job in self.queue.jobs(ACTIVE):
            self._each(job)
        self._strangers.look()
        for job in self.queue.claim(datetime.now(UTC)):
            self._begin(job)

    def _each(self, job: Job) -> None:
        try:
            self._follow(job)
        except Exception:  # one that cannot be followed must not keep the others from it
            log.exception("The job %s could not be looked at", job.id)

    def _begin(self, job: Job) -> None:
        self._forget(job.id)
        kills = oom_kills()
        try:
            child = self._launch(job)
        except (OSError, UserError) as error:
            code = "missing_folder" if not Path(job.folder).is_dir() else getattr(error, "code", "unknown")
            self._rest(job, never_began(Path(job.folder), code, f"The engine could not be started: {error}"))
            return
        self._children[job.id] = child
        self.queue.set(job.id, process=identify(child.pid), oom_kills=kills)
        log.info("Started %s (%s) as process %d", job.name, job.id, child.pid)

    def _follow(self, job: Job) -> None:
        self._reap(job.id)
        process = self._process(job)
        holds = is_held(Path(job.folder) / LOCK_FILE)
        dies = process is None and not holds
        if dies and job.id not in self._children:
            self._end(job)
            return
        if job.state in LEAVING:
            self._leave(job, process)
            return
        if dies:
            return  # our own, not yet waited for: a thread of it still ends, and how it ended is known only then
        responsive = self._pulses.setdefault(job.id, Pulse(Path(job.folder) / LOCK_FILE)).look(process)
        state = "unresponsive" if not responsive else "running" if holds else "starting"
        if state != job.state:
            self.queue.set(job.id, ("starting", "running", "unresponsive"), state=state)

    def _reap(self, job_id: str) -> None:
        child = self._children.get(job_id)
        if child is not None and child.poll() is not None:
            self._codes[job_id] = child.returncode
            del self._children[job_id]

    def _process(self, job: Job) -> ProcessId | None:
        """The engine's process. Another one may have taken the run over, or a server died before it wrote it down."""
        found = process_of(job)
        if found is None and job.process is None and job.state == "starting" and job.id not in self._codes:
            pid = find(job.id)
            found = None if pid is None else identify(pid)
        if found is not None and found.pid == os.getpid():
            return None  # this very server has the run for an instant
        if found is not None and found != job.process:
            self.queue.set(job.id, process=found)
        return found

    def _leave(self, job: Job, process: ProcessId | None) -> None:
        began, ladder = self._ladders.setdefault(job.id, (time.monotonic(), Ladder(job, self._patience)))
        if not ladder.climb(time.monotonic() - began, process):
            log.error("The process of %s (%s) cannot be ended; it is marked as stopped.", job.name, job.id)
            self._rest(job, Ending("paused" if job.state == "pausing" else "stopped"))
            give_up(Path(job.folder))

    def _end(self, job: Job) -> None:
        code = self._codes.get(job.id)
        if job.state == "starting" and job.process is None and code is None:
            # Claimed by a server that died before it started anything.
            self.queue.set(job.id, ("starting",), state="waiting")
            return
        rebooted = job.process is not None and job.process.boot != boot_id()
        kills = oom_kills()
        ran_out = kills is not None and job.oom_kills is not None and kills > job.oom_kills
        leaving = job.state if job.state in LEAVING else None
        try:
            self._rest(job, settle(Path(job.folder), leaving, Evidence(code, rebooted, ran_out and not rebooted)))
        except RunBusy:
            log.info("The run %s has been taken over by another process", job.folder)
        except UserError as error:  # a full disk: the queue at least says what is true
            log.error("%s", error)
            cause = {"code": error.code, "message": str(error)}
            self._rest(job, Ending({"stopping": "stopped", "pausing": "paused"}.get(job.state, "failed"), cause))

    def _rest(self, job: Job, ending: Ending) -> None:
        self.queue.set(job.id, state=ending.state, cause=ending.cause, process=None, stop_asked=None)
        self.queue.changed()
        self._forget(job.id)
        log.info("%s (%s) is %s", job.name, job.id, ending.state)

    def _forget(self, job_id: str) -> None:
        for known in (self._children, self._codes, self._pulses, self._ladders):
            known.pop(job_id, None)
