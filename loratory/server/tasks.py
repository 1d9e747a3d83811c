"""Work of the server itself that takes longer than a request: it answers with an id and goes on in a few threads.

    task = here.tasks.start("import", lambda task: import_archive(path, task))   # returns a pydantic model

The function calls `task.progress(done, total)` now and then, which is also where a cancel takes effect. Tasks live as
long as the server: one that was interrupted by its end leaves only temporary files, which are swept, and is asked for
again. Runs are not tasks: they are processes with a queue (jobs).
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Literal, get_args

from pydantic import BaseModel

from loratory.errors import UserError
from loratory.files import DiskFull
from loratory.runs import new_ulid, utc_now
from loratory.secrets import redact, redact_values
from loratory.server.problems import Refused

log = logging.getLogger(__name__)

TaskState = Literal["waiting", "running", "finished", "failed", "cancelled"]
_OPEN: tuple[TaskState, ...] = ("waiting", "running")
assert set(_OPEN) < set(get_args(TaskState))

THREADS = 3
MOST_OPEN = 200
MOST_KEPT = 200
SECONDS_TO_LEAVE = 5.0


class Cancelled(Exception):
    """Somebody asked the task to end: its function lets this through, and removes what it had begun."""


class TaskError(BaseModel):
    """Why a task failed: a code for programs, a sentence for people."""

    code: str
    message: str


class TaskReport(BaseModel):
    """How far a task is, and what became of it."""

    id: str
    kind: str
    state: TaskState
    done: int
    """Of `total`: items, or bytes, as the kind of task says."""
    total: int | None
    """None as long as it is not known."""
    message: str | None
    cancelling: bool
    """A cancel was asked for; the task ends at its next step."""
    created: str
    ended: str | None
    result: dict[str, Any] | None
    """What it found or made, when it is finished; its form depends on the kind."""
    error: TaskError | None


class TaskList(BaseModel):
    """Tasks since the server's start, newest first; finished ones are forgotten after a while."""

    tasks: list[TaskReport]


class Task:
    """One piece of work. Its function is given this."""

    def __init__(self, kind: str, function: Callable[[Task], BaseModel]) -> None:
        self.id = new_ulid()
        self.kind = kind
        self.state: TaskState = "waiting"
        self.created = utc_now()
        self.ended: str | None = None
        self.result: BaseModel | None = None
        self.error: TaskError | None = None
        self._function = function
        self._progress: tuple[int, int | None, str | None] = (0, None, None)
        self._cancel = threading.Event()
        self._over = threading.Event()

    def progress(self, done: int, total: int | None = None, message: str | None = None) -> None:
        """Say how far it is. Raises Cancelled where somebody asked for the end."""
        self._progress = (done, total, message)
        self.check()

    def check(self) -> None:
        """Raises Cancelled where somebody asked for the end."""
        if self._cancel.is_set():
            raise Cancelled

    def cancel(self) -> None:
        """Ask for the end; a task that waits is never begun."""
        self._cancel.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the end. False where it lasts longer."""
        return self._over.wait(seconds)

    def run(self) -> None:
        """Do it, in this thread. Raises nothing."""
        try:
            self.check()
            self.state = "running"
            self.result = self._function(self)
            state: TaskState = "finished"
        except Cancelled:
            state = "cancelled"
        except Exception as error:
            state, self.error = "failed", _told(error, self.kind)
        self.ended = utc_now()
        self.state = state  # last: who sees the end sees the result, too
        self._over.set()

    def report(self) -> TaskReport:
        """How it stands now."""
        state = self.state
        done, total, message = self._progress
        return TaskReport(
            id=self.id, kind=self.kind, state=state, done=done, total=total,
            message=redact(message) if message else None, cancelling=state in _OPEN and self._cancel.is_set(),
            created=self.created, ended=self.ended, error=self.error,
            result=redact_values(self.result.model_dump(mode="json")) if self.result else None,
        )  # fmt: skip


def _told(error: Exception, kind: str) -> TaskError:
    match error:
        case Refused():
            return TaskError(code=error.code, message=redact(error.message))
        case DiskFull():
            return TaskError(code="disk_full", message=redact(str(error)))
        case UserError():
            return TaskError(code=error.code, message=redact(str(error)))
    log.error("a task %s failed", kind, exc_info=error)
    return TaskError(
        code="unforeseen", message="Something went wrong in the server that nobody foresaw; its log says more."
    )


class Tasks:
    """All tasks of this server, done by a few threads in the order in which they were started."""

    def __init__(self, threads: int = THREADS) -> None:
        self._waiting: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._tasks: dict[str, Task] = {}
        self._lock = threading.Lock()
        self._most_threads = threads
        self._threads: list[threading.Thread] = []

    def start(self, kind: str, function: Callable[[Task], BaseModel]) -> Task:
        """Queue the work and return at once. Raises Refused where too much waits already."""
        task = Task(kind, function)
        with self._lock:
            ended = [each for each in self._tasks.values() if each.state not in _OPEN]
            if len(self._tasks) - len(ended) >= MOST_OPEN:
                raise Refused(503, "busy", f"{MOST_OPEN} tasks wait already; wait for some, or cancel them.")
            for each in ended[: max(0, len(ended) - MOST_KEPT)]:
                del self._tasks[each.id]
            self._tasks[task.id] = task
            if len(self._threads) < self._most_threads:
                # A daemon: a task that hangs must not keep a stopped server alive; what it writes is temporary.
                thread = threading.Thread(target=self._work, name=f"task-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._waiting.put(task)
        return task

    def _work(self) -> None:
        while (task := self._waiting.get()) is not None:
            task.run()

    def get(self, identifier: str) -> Task:
        """One of them. Raises Refused."""
        with self._lock:
            task = self._tasks.get(identifier)
        if task is None:
            raise Refused(
                404, "no_task", f"There is no task {identifier}; it ended long ago, or the server was started anew."
            )
        return task

    def all(self) -> list[Task]:
        """All of them, newest first."""
        with self._lock:
            return list(reversed(self._tasks.values()))

    def close(self) -> None:
        """Cancel all and give them a few seconds to clean up."""
        for task in self.all():
            task.cancel()
        for _ in self._threads:
            self._waiting.put(None)
        deadline = time.monotonic() + SECONDS_TO_LEAVE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
