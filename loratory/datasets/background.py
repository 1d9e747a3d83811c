"""Work on datasets that takes long: it answers with an id at once, tells how far it is, and can be stopped."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Literal

from loratory.datasets.errors import NotThere
from loratory.errors import UserError
from loratory.runs import new_ulid, utc_now

TaskState = Literal["waiting", "running", "done", "failed", "stopped"]
_WORKERS = 2
_REMEMBERED = 200

_log = logging.getLogger(__name__)


class Stopped(Exception):
    """The task was asked to stop."""


@dataclass
class Task:
    """One piece of work. `done` of `total` are in its own units; `error` is a sentence."""

    id: str
    dataset: str
    kind: str
    time: str
    state: TaskState = "waiting"
    done: int = 0
    total: int = 0
    error: str = ""
    result: Any = None
    problem: BaseException | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def progress(self, done: int, total: int) -> None:
        """Say how far it is; called by the work, which ends here when it is asked to stop."""
        self.done, self.total = done, total
        if self._stop.is_set():
            raise Stopped

    def stop(self) -> None:
        """Ask it to stop."""
        self._stop.set()


class Tasks:
    """What is being done, and what was done lately."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_WORKERS, "dataset-tasks")
        self._lock = threading.Lock()
        self._tasks: OrderedDict[str, tuple[Task, Future[None]]] = OrderedDict()

    def start(self, dataset: str, kind: str, work: Callable[[Task], Any], *, once: bool = False) -> Task:
        """Begin. `once`: where the same kind is under way for this dataset, that one is returned."""
        with self._lock:
            if once:
                for task, future in self._tasks.values():
                    if (task.dataset, task.kind) == (dataset, kind) and not future.done():
                        return task
            task = Task(new_ulid(), dataset, kind, utc_now())
            self._tasks[task.id] = (task, self._pool.submit(self._run, task, work))
            ended = [key for key, (_, future) in self._tasks.items() if future.done()]
            for key in ended[: max(0, len(self._tasks) - _REMEMBERED)]:
                del self._tasks[key]
        return task

    def find(self, identifier: str) -> Task:
        """One task. Raises NotThere."""
        with self._lock:
            if identifier not in self._tasks:
                raise NotThere(f"There is no task {identifier}; a restart of the server forgets them.")
            return self._tasks[identifier][0]

    def of(self, dataset: str) -> list[Task]:
        """A dataset's tasks, newest first."""
        with self._lock:
            return [task for task, _ in reversed(self._tasks.values()) if task.dataset == dataset]

    def wait(self, task: Task, seconds: float) -> Task:
        """Wait for its end, but not longer than this. A UserError in it is raised here."""
        with self._lock:
            future = self._tasks[task.id][1]
        wait([future], seconds)
        if task.problem is not None:
            raise task.problem
        return task

    def end(self) -> None:
        """Ask all to stop; what can be gone on with is gone on with at the next start."""
        with self._lock:
            for task, _ in self._tasks.values():
                task.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, task: Task, work: Callable[[Task], Any]) -> None:
        task.state = "running"
        try:
            task.result = work(task)
            task.state = "done"
        except Stopped:
            task.state = "stopped"
        except UserError as error:
            task.error, task.problem, task.state = str(error), error, "failed"
        except Exception as error:
            _log.exception("A task %s of the dataset %s failed", task.kind, task.dataset)
            task.error, task.problem, task.state = f"Nobody foresaw this: {error}; the log says more.", error, "failed"
