"""Locks between processes that the operating system releases when their holder dies, however it dies."""

import errno
import importlib
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loratory.errors import UserError
from loratory.files import WINDOWS
from loratory.runs.names import utc_now
from loratory.runs.processes import ProcessId, this_process

# A reader that asks whether a lock is held takes it for an instant; whoever wants it for long outwaits that.
_PATIENCE_SECONDS = 0.5
_PAUSE_SECONDS = 0.02
# Windows keeps others from reading a locked region. A byte far behind the end of the file may be locked too.
_WINDOWS_LOCKED_BYTE = 1 << 30
_WINDOWS_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_NOTE_BYTES = 1024  # always the same, so that one write replaces the note of the last holder

_held_descriptors: set[int] = set()


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a lock: the process, its machine, that machine's boot (empty where unknown) and since when (UTC).

    `began` tells the process from a later one with the same number (`ProcessId.began`)."""

    pid: int
    host: str
    boot_id: str
    started: str
    began: str = ""

    def process(self) -> ProcessId | None:
        """The process, where it is one of this machine."""
        return ProcessId(self.pid, self.began, self.boot_id) if self.host == socket.gethostname() else None


class LockHeld(UserError):
    """Another process (or another part of this one) holds the lock. `holder` is None when it left no readable note."""

    def __init__(self, message: str, holder: LockHolder | None) -> None:
        self.holder = holder
        super().__init__(message)


def _try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the operating system's lock at once or say False. The one place that knows how each system locks."""
    if WINDOWS:
        msvcrt: Any = importlib.import_module("msvcrt")
        os.lseek(descriptor, _WINDOWS_LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno not in _WINDOWS_HELD:
                raise
            return False
        return True
    fcntl: Any = importlib.import_module("fcntl")
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(descriptor: int) -> None:
    if WINDOWS:
        msvcrt: Any = importlib.import_module("msvcrt")
        os.lseek(descriptor, _WINDOWS_LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
    else:
        fcntl: Any = importlib.import_module("fcntl")
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _drop_inherited() -> None:
    # A forked child shares its parent's locks and would keep them held after the parent's death.
    for descriptor in _held_descriptors:
        os.close(descriptor)
    _held_descriptors.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_inherited)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise UserError(
            f"{path} cannot be opened for writing ({error.strerror}); check that the folder exists and is yours."
        ) from error


def _acquire(descriptor: int, path: Path, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    try:
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                holder = read_holder(path)
                raise LockHeld(f"{path} is locked by {describe_holder(holder)}.", holder)
            time.sleep(_PAUSE_SECONDS)
    except OSError as error:
        raise UserError(
            f"The file system of {path.parent} cannot lock files ({error.strerror}); use a folder on another disk."
        ) from error


@contextmanager
def exclusive(path: Path, *, wait_seconds: float = _PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the lock file at `path`, with a note of who holds it, until the block ends.

    The file is never removed. Raises LockHeld when another holds the lock for longer than `wait_seconds`, UserError
    when the file system has no locks.
    """
    descriptor = _open(path)
    try:
        _acquire(descriptor, path, wait_seconds)
        _held_descriptors.add(descriptor)
        try:
            here = this_process()
            holder = LockHolder(here.pid, socket.gethostname(), here.boot, utc_now(), here.began)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, json.dumps(asdict(holder)).encode("utf-8").ljust(_NOTE_BYTES))
            yield
        finally:
            _held_descriptors.discard(descriptor)
            _unlock(descriptor)
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """True while some process, this one included, holds the lock file at `path`."""
    try:
        descriptor = os.open(path, os.O_RDWR if WINDOWS else os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        if not _try_lock(descriptor, shared=True):
            return True
        _unlock(descriptor)
        return False
    finally:
        os.close(descriptor)


def read_holder(path: Path) -> LockHolder | None:
    """The note in a lock file, of the present or the last holder; None when there is none that can be read."""
    try:
        return LockHolder(**json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def describe_holder(holder: LockHolder | None) -> str:
    """Words for an error message: process, machine and time."""
    if holder is None:
        return "another process"
    here = " (this machine)" if holder.host == socket.gethostname() else ""
    return f"process {holder.pid} on {holder.host}{here} since {holder.started}"
