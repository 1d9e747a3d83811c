"""Work of the server that goes on after the answer: how far it is, its result, cancel."""

from __future__ import annotations

from fastapi import APIRouter

from loratory.server.context import Here
from loratory.server.tasks import TaskList, TaskReport

router = APIRouter(prefix="/api/tasks", tags=["tasks"])


@router.get("")
def list_tasks(here: Here) -> TaskList:
    """All tasks since the server's start, newest first."""
    return TaskList(tasks=[task.report() for task in here.tasks.all()])


@router.get("/{task_id}")
def get_task(here: Here, task_id: str) -> TaskReport:
    """How far a task is, and its result or error when it ended."""
    return here.tasks.get(task_id).report()


@router.post("/{task_id}/cancel")
def cancel_task(here: Here, task_id: str) -> TaskReport:
    """Ask a task to end; it removes what it had begun. One that ended stays as it is."""
    task = here.tasks.get(task_id)
    task.cancel()
    return task.report()
