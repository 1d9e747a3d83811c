"""A process gives signs of life as long as it has a run; one that is halted does not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from loratory.runs import RunFolder, is_alive, is_stopped, last_beat, read_holder, silent_seconds, this_process
from loratory.runs.heartbeat import beating
from loratory.runs.processes import began, identify


def test_beats_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    seen = set()
    with beating(path, 0.01):
        deadline = time.monotonic() + 5
        while len(seen) < 4:
            seen.add(last_beat(path))
            assert time.monotonic() < deadline
            time.sleep(0.005)
    last = last_beat(path)
    time.sleep(0.05)
    assert last_beat(path) == last
    assert last_beat(tmp_path / "none") is silent_seconds(tmp_path / "none") is None


def test_a_folder_that_goes_away_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "lock"
    path.touch()
    with beating(path, 0.01):
        path.unlink()
        time.sleep(0.1)
        path.touch()
        os.utime(path, (5, 5))
        deadline = time.monotonic() + 5
        while last_beat(path) == 5_000_000_000:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert caplog.text.count("No sign of life") == 1


def test_a_run_that_is_locked_beats_at_once(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "run")
    with run.lock():
        os.utime(run.lock_path, (5, 5))
    with run.lock():
        assert silent_seconds(run.lock_path) < 5  # type: ignore[operator]
        holder = read_holder(run.lock_path)
        assert holder is not None
        assert holder.process() == this_process()


def test_processes_are_told_apart(python: Callable[..., "subprocess.Popen[str]"]) -> None:
    """By number and beginning; a dead one that nobody has waited for is dead."""
    child = python("-c", "input()")
    found = identify(child.pid)
    assert found is not None
    assert is_alive(found)
    assert found.began != this_process().began or found.pid != os.getpid()
    if sys.platform != "win32":
        os.kill(child.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 5
        while not is_stopped(child.pid):
            assert time.monotonic() < deadline
        os.kill(child.pid, signal.SIGCONT)
    child.kill()
    deadline = time.monotonic() + 5
    while is_alive(found):
        assert time.monotonic() < deadline
    assert began(child.pid) is None
    assert not is_alive(type(found)(os.getpid(), this_process().began, "another boot"))
