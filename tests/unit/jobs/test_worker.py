"""The worker and engines of every character: states become true, and a stop ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from loratory.jobs import worker as worker_module
from loratory.jobs.engines import KINDS, OUTPUT_FILE, find, start
from loratory.jobs.queue import Again, Place, Queue
from loratory.jobs.stopping import Patience, stop_now
from loratory.jobs.tables import ACTIVE, Job
from loratory.jobs.worker import Worker, is_served
from loratory.runs import ProcessId, RunFolder, read_status
from loratory.runs.status import read_status_file
from tests.unit.jobs.conftest import ENGINE, QUICK, Played, config

Add = Callable[..., Job]


def status_of(job: Job) -> str:
    return read_status(Path(job.folder)).state


def test_the_next_one_begins_when_one_is_over(add: Add, played: Played, queue: Queue) -> None:
    first, second = add("first"), add("second")
    played.behaviour = "finish"
    played.until(first, "finished")
    assert played.until(second, "finished").cause is None
    assert [status_of(job) for job in (first, second)] == ["finished", "finished"]


def test_one_at_a_time_on_a_device(add: Add, played: Played, queue: Queue) -> None:
    jobs = [add("a"), add("b"), add("g", queue="1"), add("wide", queue="0,1"), add("h", queue="0")]
    played.until(jobs[0], "running")
    played.until(jobs[2], "running")
    assert [queue.job(job.id).state for job in jobs] == ["running", "waiting", "running", "waiting", "waiting"]


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [("obey", None), ("interrupted", "left at once"), ("deaf", "ended by force"), ("load", "ended by force")],
)
@pytest.mark.parametrize("pause", [False, True])
def test_a_stop_ends(behaviour: str, words: str | None, pause: bool, add: Add, played: Played, queue: Queue) -> None:
    """One that obeys, one that hears signals only, one that hears nothing, one that has not taken its run yet."""
    job = add()
    played.behaviour = behaviour
    if behaviour == "interrupted":  # it is given the time that it needs on a busy machine
        played.worker = played.new_worker(Patience(insist=0.6, again=15.0, end=17.0, mark=20.0))
    if behaviour == "load":
        played.worker.look()
        assert queue.job(job.id).state == "starting"
    else:
        played.until(job, "running")
        while status_of(job) != "training":  # before that, Ctrl+C finds nobody who would write anything down
            time.sleep(0.01)
    assert queue.stop(job.id, pause=pause).state == ("pausing" if pause else "stopping")
    ended = played.until(job, "paused" if pause else "stopped", seconds=25)
    assert (ended.process, ended.stop_asked, ended.cause) == (None, None, None)
    assert status_of(job) == "stopped"
    assert words is None or words in str(read_status(Path(job.folder)).message)
    assert played.started[0].poll() is not None


def test_a_halted_one_is_unresponsive_and_can_be_stopped(add: Add, played: Played, queue: Queue) -> None:
    job = add()
    pid = played.until(job, "running").process.pid  # type: ignore[union-attr]
    os.kill(pid, signal.SIGSTOP)
    played.until(job, "unresponsive", seconds=5)
    os.kill(pid, signal.SIGCONT)
    played.until(job, "running", seconds=8)
    os.kill(pid, signal.SIGSTOP)
    queue.stop(job.id)
    played.until(job, "stopped", seconds=8)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        ("die", "unknown", "ended with code 3"),
        ("crash", "crashed", "SIGSEGV"),
        ("linger", "crashed", "SIGSEGV"),
        ("memory", "out_of_memory", "CUDA out of memory."),
        ("refuse", "invalid", "model.path: there is nothing."),
    ],
)
def test_why_it_failed(behaviour: str, code: str, words: str, add: Add, played: Played) -> None:
    job = add()
    played.behaviour = behaviour
    ended = played.until(job, "failed")
    assert ended.cause is not None
    assert ended.cause["code"] == code
    assert words in ended.cause["message"]
    status = read_status_file(Path(job.folder))
    assert (status.state, status.error["code"]) == ("failed", code)  # type: ignore[index]


@pytest.mark.parametrize(("kills", "code"), [([4, 5], "out_of_ram"), ([4, 4], "killed"), ([None, None], "killed")])
def test_killed_from_outside(
    kills: list[int | None], code: str, add: Add, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The kernel counts whom it ended for want of memory: one more than at the start."""
    monkeypatch.setattr(worker_module, "oom_kills", lambda: kills[0] if not played.started else kills[1])
    job = add()
    os.kill(played.until(job, "running").process.pid, signal.SIGKILL)  # type: ignore[union-attr]
    assert played.until(job, "failed").cause["code"] == code  # type: ignore[index]


def test_the_next_server_finds_the_engine(add: Add, played: Played, queue: Queue) -> None:
    job = add()
    pid = played.until(job, "running").process.pid  # type: ignore[union-attr]
    played.worker = played.new_worker()
    for _ in range(3):
        played.worker.look()
    assert queue.job(job.id).process.pid == pid  # type: ignore[union-attr]
    assert len(played.started) == 1
    queue.stop(job.id)
    played.until(job, "stopped")


def test_a_server_that_died_before_it_wrote_the_process_down(add: Add, played: Played, queue: Queue) -> None:
    """Its engine, which is still loading, is found by its environment, and not started twice."""
    job = add()
    played.behaviour = "load"
    played.worker.look()
    queue.set(job.id, process=None)
    assert find(job.id) == played.started[0].pid
    played.worker = played.new_worker()
    played.worker.look()
    assert queue.job(job.id).process.pid == played.started[0].pid  # type: ignore[union-attr]
    assert len(played.started) == 1


def test_a_server_that_died_before_it_started_anything(add: Add, played: Played, queue: Queue) -> None:
    job = add()
    assert [each.id for each in queue.claim(worker_module.datetime.now(worker_module.UTC))] == [job.id]
    played.until(job, "running")
    assert len(played.started) == 1


def test_an_engine_that_cannot_be_started(add: Add, queue: Queue) -> None:
    """Queue and folder say the same, and it can be tried again."""

    def refuse(job: Job) -> "subprocess.Popen[bytes]":
        raise PermissionError(13, "Permission denied", sys.executable)

    job = add()
    Worker(queue, start_engine=refuse).look()
    ended = queue.job(job.id)
    assert ended.state == "failed" and ended.cause is not None and "Permission denied" in ended.cause["message"]
    status = read_status_file(Path(job.folder))
    assert status.state == "failed" and status.error is not None
    assert status.error["message"] == ended.cause["message"]
    assert (Path(job.folder) / "events.jsonl").read_text(encoding="utf-8").count('"failed"') == 1
    assert queue.resume(job.id).state == "waiting"


def test_after_a_reboot(add: Add, played: Played, queue: Queue) -> None:
    """The number may belong to another process by now: the boot's id tells."""
    job = add()
    process = played.until(job, "running").process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    played.started[0].wait()
    queue.set(job.id, process=ProcessId(os.getpid(), "1", "another-boot"))
    played.worker = played.new_worker()
    ended = played.until(job, "failed")
    assert ended.cause is not None
    assert ended.cause["code"] == "restarted"
    assert "it begins again" in ended.cause["message"]
    assert queue.resume(job.id).state == "waiting"
    played.until(job, "running")


def test_a_number_that_was_given_again_is_nobody_of_ours(add: Add, played: Played, queue: Queue) -> None:
    job = add()
    process = played.until(job, "running").process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    played.started[0].wait()
    other = start(["sleep", "30"], job)
    played.started.append(other)
    queue.set(job.id, process=ProcessId(other.pid, "not its beginning", process.boot))
    played.until(job, "failed")
    assert other.poll() is None, "a stranger must not be ended"


def test_a_run_of_the_command_line_is_shown_and_keeps_its_device(
    add: Add, played: Played, queue: Queue, tmp_path: Path
) -> None:  # fmt: skip
    """Somebody trains on this queue's device: it shows, what waits waits, and Stop works for it too."""
    run = RunFolder.create(tmp_path / "elsewhere", "theirs", "")
    run.write_config((Path(add("model").folder) / "config.yaml").read_text(encoding="utf-8"))
    queue.delete(queue.jobs()[0].id)
    other = add("other", hold=True)
    theirs = start([sys.executable, str(ENGINE), str(run.path), "obey"], other)
    played.started.append(theirs)
    deadline = time.monotonic() + 10
    while status_file_state(run) != "training":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    mine = add("mine")
    queue.hold(mine.id)
    played.worker.look()
    found = queue.job(run.id)
    assert (found.state, found.origin, found.queue) == ("running", "command line", "cpu")
    queue.release(mine.id)
    for _ in range(3):
        played.worker.look()
    assert queue.job(mine.id).state == "waiting"
    queue.stop(run.id)
    assert played.until(found, "stopped").origin == "command line"
    played.until(mine, "running")


def status_file_state(run: RunFolder) -> str:
    return read_status_file(run.path).state


def test_a_home_behind_a_link_makes_no_strangers(
    played: Played, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The registry knows true paths, the queue the one that was given."""
    monkeypatch.setattr("loratory.jobs.strangers.EVERY_SECONDS", 0.0)
    (tmp_path / "true").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "true")
    job = queue.enqueue(config("dog", saving={"output_dir": str(tmp_path / "link")}))
    played.until(job, "running")
    for _ in range(3):
        played.worker.look()
    assert queue.job(job.id).origin == "queue"


def test_a_folder_that_was_removed(add: Add, played: Played) -> None:
    import shutil

    job = add()
    shutil.rmtree(job.folder)
    ended = played.until(job, "failed")
    assert ended.cause is not None
    assert ended.cause["code"] == "missing_folder"


def test_stop_without_a_server(add: Add, played: Played, queue: Queue) -> None:
    job = add()
    played.behaviour = "deaf"
    played.until(job, "running")
    began = time.monotonic()
    assert stop_now(queue.stop(job.id), QUICK, 0.1)
    assert time.monotonic() - began < QUICK.mark
    assert played.started[0].wait() == -signal.SIGKILL


def test_patience_is_less_than_thirty_seconds() -> None:
    patience = Patience()
    assert 0 < patience.insist < patience.again < patience.end < patience.mark < 30


def test_a_thread_serves_and_ends_and_its_engines_go_on(add: Add, played: Played, queue: Queue) -> None:
    job = add()
    queue.changed = played.worker.wake
    assert not is_served()
    played.worker.start()
    try:
        deadline = time.monotonic() + 10
        while queue.job(job.id).state != "running":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert is_served()
        second = Worker(queue)
        second.start()
        time.sleep(0.3)
        second.stop()
    finally:
        played.worker.stop()
    assert not is_served()
    assert psutil.pid_exists(queue.job(job.id).process.pid)  # type: ignore[union-attr]
    assert len(played.started) == 1


def test_what_is_started(add: Add, queue: Queue) -> None:
    """The arguments are fixed in code; a job adds its folder and two switches."""
    job = queue.enqueue(config("dog", runtime={"device": "cuda:1"}), Place())
    assert job.queue == "1"
    assert KINDS["train"].arguments(job, "cuda:1") == ["train", job.folder, "--set", "runtime.device=cuda"]
    assert KINDS["train"].arguments(job, "auto") == ["train", job.folder]
    fresh = queue.enqueue(config("cat"), Place())
    queue.set(fresh.id, weights_only=True)
    assert KINDS["train"].arguments(queue.job(fresh.id), "cpu") == ["train", fresh.folder, "--weights-only"]


def test_gpus_of_an_engine_and_its_terminal(add: Add, played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees the queue's GPUs alone, counted among those that the server sees; it has no terminal, and a session."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    job = add("dog", queue="2,0")
    words = (
        "import os, sys; known = os.environ; "
        "print(known['CUDA_VISIBLE_DEVICES'], known['LORATORY_RUN'], os.getsid(0), repr(sys.stdin.read()))"
    )
    child = start([sys.executable, "-c", words], job)
    assert child.wait(20) == 0
    printed = (Path(job.folder) / OUTPUT_FILE).read_text(encoding="utf-8").split()
    assert printed == ["4,6", job.id, str(child.pid), "''"]


def test_resume_waits_in_front_where_it_was_paused(add: Add, played: Played, queue: Queue) -> None:
    first, second = add("first"), add("second")
    played.until(first, "running")
    queue.stop(first.id, pause=True)
    played.until(first, "paused")
    played.until(second, "running")
    third = add("third")
    queue.resume(first.id, Again())
    assert [job.name for job in queue.jobs(("waiting",))] == ["first", "third"]
    assert queue.job(third.id).state == "waiting"
    assert all(job.state in ACTIVE for job in queue.jobs() if job.name == "second")
