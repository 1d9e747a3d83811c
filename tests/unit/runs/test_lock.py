"""One process at a time works on a run; the system frees the lock when it dies."""

import errno
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from loratory.errors import UserError
from loratory.runs import LockHeld, RunBusy, RunFolder, lock, read_status

HOLDER = """
import sys
from pathlib import Path
from loratory.runs import RunFolder

run = RunFolder.open(Path(sys.argv[1]))
with run.lock():
    run.write_status("training", step=7)
    print("held", flush=True)
    sys.stdin.readline()
    run.write_status("stopped")
print("free", flush=True)
sys.stdin.readline()
"""

FORKER = """
import os, sys, time
from pathlib import Path
from loratory.runs import RunFolder

run = RunFolder.open(Path(sys.argv[1]))
with run.lock():
    child = os.fork()
    if child == 0:
        print(os.getpid(), flush=True)
        time.sleep(60)
        os._exit(0)
    sys.stdin.readline()
"""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, "dog")


def test_two_processes(run: RunFolder, python: Callable) -> None:
    process = python("-c", HOLDER, str(run.path))
    assert process.stdout.readline() == "held\n"
    assert read_status(run.path).state == "training"
    with pytest.raises(RunBusy, match=rf"'dog'.*process {process.pid} on .*another name") as caught, run.lock():
        pass
    assert caught.value.holder is not None
    assert caught.value.holder.pid == process.pid

    process.kill()
    process.wait()
    assert read_status(run.path).state == "died"
    with run.lock():
        assert run.write_status("starting").step == 7, "the lock's holder goes on from what the last one wrote"
        assert read_status(run.path).state == "starting"
        assert json.loads(run.lock_path.read_text())["pid"] == os.getpid()
    assert read_status(run.path).state == "died"


def test_orderly_end(run: RunFolder, python: Callable) -> None:
    process = python("-c", HOLDER, str(run.path))
    assert process.stdout.readline() == "held\n"
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "free\n"
    assert read_status(run.path).state == "stopped"
    with run.lock():
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="platform: has no fork")
def test_forked_child_does_not_keep_the_lock(run: RunFolder, python: Callable) -> None:
    process = python("-c", FORKER, str(run.path))
    child = int(process.stdout.readline())
    assert lock.is_held(run.lock_path)
    process.kill()
    process.wait()
    try:
        os.kill(child, 0)  # it lives, and would hold an inherited lock
        assert not lock.is_held(run.lock_path)
    finally:
        os.kill(child, 9)


def test_within_one_process(run: RunFolder) -> None:
    with run.lock():
        with pytest.raises(RuntimeError, match="already"), run.lock():
            pass
        with pytest.raises(RunBusy, match=f"process {os.getpid()} "), RunFolder.open(run.path).lock():
            pass
        assert lock.is_held(run.lock_path)
    assert not lock.is_held(run.lock_path)
    with pytest.raises(KeyError), run.lock():
        raise KeyError
    assert not lock.is_held(run.lock_path)


def test_a_look_does_not_disturb(run: RunFolder) -> None:
    """A reader that asks whether the lock is held holds it for an instant; whoever wants it outwaits that."""
    descriptor = os.open(run.lock_path, os.O_RDWR | os.O_CREAT)
    assert lock._try_lock(descriptor, shared=True)
    closing = threading.Timer(0.1, os.close, [descriptor])
    closing.start()
    with run.lock():
        pass
    closing.join()


def test_unreadable_note(run: RunFolder) -> None:
    with lock.exclusive(run.lock_path):
        run.lock_path.write_text("{not json")
        with pytest.raises(RunBusy, match="another process") as caught, run.lock():
            pass
        assert caught.value.holder is None


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="check that the folder exists"), lock.exclusive(tmp_path / "no" / "lock"):
        pass
    assert not lock.is_held(tmp_path / "no" / "lock")


@pytest.mark.skipif(sys.platform == "win32", reason="platform: this is how other systems say it")
def test_file_system_without_locks(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuse(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match=r"cannot lock files .No locks available.*another disk"), run.lock():
        pass


class FakeMsvcrt(SimpleNamespace):
    """Locks of bytes between descriptors, as Windows keeps them; the position of the file says which byte."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def __init__(self) -> None:
        super().__init__(locked={}, error=errno.EACCES)

    def locking(self, descriptor: int, mode: int, count: int) -> None:
        place = (os.fstat(descriptor).st_ino, os.lseek(descriptor, 0, os.SEEK_CUR), count)
        if mode == self.LK_UNLCK:
            if self.locked.pop(place, None) != descriptor:
                raise OSError(errno.EINVAL, "not locked by this descriptor")
        elif place in self.locked:
            raise OSError(self.error, "locked by another")
        else:
            self.locked[place] = descriptor


def test_windows(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    system = FakeMsvcrt()
    monkeypatch.setitem(sys.modules, "msvcrt", system)
    monkeypatch.setattr(lock, "WINDOWS", True)
    with run.lock():
        ((_, position, count),) = system.locked
        content = run.lock_path.read_bytes()
        assert position > len(content), "Windows would keep readers from the note"
        assert count == 1
        assert json.loads(content)["pid"] == os.getpid()
        assert lock.is_held(run.lock_path)
        with pytest.raises(RunBusy, match=f"process {os.getpid()} "), RunFolder.open(run.path).lock():
            pass
        system.error = errno.EIO
        with pytest.raises(UserError, match="cannot lock files"), lock.exclusive(run.lock_path):
            pass
    assert system.locked == {}
    assert not lock.is_held(run.lock_path)


def test_lock_held_is_a_user_error() -> None:
    assert issubclass(LockHeld, UserError)
    assert issubclass(RunBusy, UserError)
