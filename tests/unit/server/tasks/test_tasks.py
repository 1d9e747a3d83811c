"""Work in the server's own threads: progress, results, errors, cancel, and the end of the server."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pydantic import BaseModel

from loratory.errors import UserError
from loratory.files import DiskFull
from loratory.server import tasks as module
from loratory.server.problems import Refused
from loratory.server.tasks import Task, Tasks


class Sum(BaseModel):
    sum: int


@pytest.fixture
def tasks():
    found = Tasks(threads=1)
    yield found
    found.close()


def test_a_task_tells_its_progress_and_its_result(client):
    seen, go = threading.Event(), threading.Event()

    def add(task: Task) -> Sum:
        task.progress(1, 2, "one of two")
        seen.set()
        assert go.wait(10)
        return Sum(sum=3)

    task = client.app.state.context.tasks.start("add", add)
    assert seen.wait(10)
    found = client.get(f"/api/tasks/{task.id}").json()
    assert (found["state"], found["done"], found["total"], found["message"]) == ("running", 1, 2, "one of two")
    go.set()
    assert task.wait(10)
    found = client.get("/api/tasks").json()["tasks"]
    assert [(each["state"], each["result"], each["error"]) for each in found] == [("finished", {"sum": 3}, None)]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (Refused(409, "taken", "That name is taken."), "taken", "That name is taken."),
        (UserError("There is no such folder."), "invalid", "There is no such folder."),
        (DiskFull(Path("x"), 5), "disk_full", "full"),
        (ZeroDivisionError("1/0"), "unforeseen", "its log says more"),
    ],
)
def test_an_error_is_a_code_and_a_sentence(tasks, error, code, words):
    def fail(task: Task) -> Sum:
        raise error

    task = tasks.start("fail", fail)
    assert task.wait(10)
    report = task.report()
    assert report.state == "failed"
    assert report.error.code == code
    assert words in report.error.message


def test_a_cancel_ends_a_task_at_its_next_step_and_one_that_waits_at_once(client):
    begun, go, cleaned = threading.Event(), threading.Event(), threading.Event()

    def work(task: Task) -> Sum:
        try:
            begun.set()
            assert go.wait(10)
            task.progress(1)
            return Sum(sum=0)
        finally:
            cleaned.set()

    here = client.app.state.context
    here.tasks = Tasks(threads=1)
    first = here.tasks.start("work", work)
    second = here.tasks.start("work", work)
    assert begun.wait(10)
    for task in (first, second):
        assert client.post(f"/api/tasks/{task.id}/cancel").json()["cancelling"]
    go.set()
    assert first.wait(10)
    assert second.wait(10)
    assert cleaned.is_set()
    assert [task.report().state for task in (first, second)] == ["cancelled", "cancelled"]
    assert not first.report().cancelling


def test_an_unknown_task_is_a_404(client):
    for found in (client.get("/api/tasks/none"), client.post("/api/tasks/none/cancel")):
        assert (found.status_code, found.json()["code"]) == (404, "no_task")


def test_what_waits_and_what_is_kept_is_bounded(tasks, monkeypatch):
    monkeypatch.setattr(module, "MOST_OPEN", 2)
    monkeypatch.setattr(module, "MOST_KEPT", 1)
    go = threading.Event()

    def work(task: Task) -> Sum:
        assert go.wait(10)
        return Sum(sum=0)

    started = [tasks.start("work", work) for _ in range(2)]
    with pytest.raises(Refused, match="wait already"):
        tasks.start("work", work)
    go.set()
    for task in started:
        assert task.wait(10)
    last = tasks.start("work", work)
    assert [task.id for task in tasks.all()] == [last.id, started[1].id]


def test_the_end_of_the_server_cancels_what_runs(tasks):
    begun = threading.Event()

    def work(task: Task) -> Sum:
        begun.set()
        while True:
            task.check()

    task = tasks.start("work", work)
    assert begun.wait(10)
    tasks.close()
    assert task.state == "cancelled"
