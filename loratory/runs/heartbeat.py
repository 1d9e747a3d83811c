"""A sign of life of whoever works on a run: the time of its lock file, renewed every few seconds.

A thread does it, so that loading a large model or a long step changes nothing, and a process that is halted, or whose
interpreter hangs, falls silent. Nothing is written but the file's time: a full disk does not hide a living process.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BEAT_SECONDS = 3.0
SILENT_SECONDS = 20.0
"""Without a sign for so long a process is unresponsive. Six beats: a busy machine is late, not six times."""

_log = logging.getLogger(__name__)


@contextmanager
def beating(path: Path, every_seconds: float = BEAT_SECONDS) -> Iterator[None]:
    """Renew the file's time now and until the block ends."""
    over = threading.Event()
    os.utime(path)

    def beat() -> None:
        was_refused = False
        while not over.wait(every_seconds):
            try:
                os.utime(path)
            except OSError as error:  # the folder was moved, or a network disk is away for a while: said once
                if not was_refused:
                    _log.warning("No sign of life can be given at %s (%s).", path, error.strerror)
                was_refused = True

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def last_beat(path: Path) -> int | None:
    """The time of the last sign in nanoseconds, to be compared with an earlier answer; None without a lock file."""
    try:
        return path.stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return None


def silent_seconds(path: Path) -> float | None:
    """Seconds since the last sign by this machine's clock; None without a lock file."""
    last = last_beat(path)
    return None if last is None else max(0.0, time.time() - last / 1e9)
