"""Looks at folders of pictures that are remembered as long as nothing in them has changed: a form asks at every key."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from loratory.data.indexes import index_path
from loratory.data.scan import ContentHashes, Scan, scan
from loratory.errors import UserError

MOST = 24
"""Folders that are remembered."""
STALE_SECONDS = 30.0
"""A picture that is overwritten in place changes no folder; after so long all are looked at."""

MOST_FOLDERS = 5_000
MOST_SECONDS = 3.0
"""A form asks while a path is still being typed: a whole disk is not looked through."""

State = tuple[tuple[str, int], ...]
"""Every folder below, and when it was changed (nanoseconds)."""


@dataclass(frozen=True)
class _Known:
    state: State
    scan: Scan
    time: float


class Scans:
    """May be used by several threads."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._known: OrderedDict[tuple[str, tuple[str, ...]], _Known] = OrderedDict()
        self._lock = threading.Lock()

    def look(self, root: Path, extensions: Sequence[str]) -> Scan:
        """As `data.scan.scan`, with the index that trainings use. Raises UserError."""
        key = (str(root), tuple(extensions))
        state = _state(root)
        with self._lock:
            known = self._known.get(key)
        if known is not None and known.state == state and self._now() - known.time < STALE_SECONDS:
            return known.scan
        found = scan(root, extensions, index_path(root, extensions))
        with self._lock:
            self._known[key] = _Known(state, found, self._now())
            self._known.move_to_end(key)
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        return found

    def forget(self) -> None:
        """Look at everything anew."""
        with self._lock:
            self._known.clear()


def hashes_of(extensions: Sequence[str]) -> Callable[[Scan], ContentHashes]:
    """The remembered hashes of a scan's pictures, beside its index."""
    return lambda found: ContentHashes.beside(index_path(found.root, extensions), found.root)


def _state(root: Path) -> State:
    """Read before the pictures are looked at: a change in the meantime makes the next look a new one."""
    found: list[tuple[str, int]] = []
    visited: set[tuple[int, int]] = set()
    waiting = [str(root)]
    end = time.monotonic() + MOST_SECONDS
    while waiting:
        if len(found) > MOST_FOLDERS or time.monotonic() > end:
            raise UserError(
                f"The dataset folder {root} has too many folders in it to look through; give the one with the pictures."
            )
        folder = waiting.pop()
        try:
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            found.append((folder, status.st_mtime_ns))
            with os.scandir(folder) as entries:
                waiting += [each.path for each in entries if not each.name.startswith(".") and each.is_dir()]
        except (OSError, ValueError) as error:
            if folder == str(root) and not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise UserError(f"The dataset folder {root} cannot be looked into ({error}); check it.") from error
    return tuple(found)
