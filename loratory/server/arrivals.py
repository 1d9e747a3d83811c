"""Datasets whose files were changed from outside of them: they are looked at again, and whoever shows them is told."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from loratory.datasets.workbench import Workbench
from loratory.errors import UserError

log = logging.getLogger(__name__)

SECONDS = 0.5
"""Of several files that come one after the other, not each one is worth a look."""
SHARE_OF_TIME = 8
"""Looks take no more than one part in this many of the time, however large the dataset."""


class Arrivals:
    """Remembers what came, and looks a moment later, in a thread of its own."""

    def __init__(self, datasets: Workbench, tell: Callable[[str], None]) -> None:
        """tell: is given the id of each dataset, after the look."""
        self._datasets, self._tell = datasets, tell
        self._lock = threading.Lock()
        self._paths: set[Path] = set()
        self._timer: threading.Timer | None = None
        self._wait = SECONDS
        self._closed = False

    def came(self, *paths: Path) -> None:
        """Files or folders were put there, changed or taken away. They need not lie in a dataset."""
        folders = {path.parent for path in paths}
        self._datasets.shelf.outdate([*folders, *paths])
        with self._lock:
            self._paths |= folders | {path for path in paths if path.is_dir()}
            self._begin()

    def _begin(self) -> None:
        if self._paths and self._timer is None and not self._closed:
            self._timer = threading.Timer(self._wait, self._look)
            self._timer.daemon = True
            self._timer.start()

    def _look(self) -> None:
        begun = time.monotonic()
        with self._lock:
            paths, self._paths = self._paths, set()
        try:
            for dataset in self._datasets.library.all():
                if any(path.is_relative_to(dataset.path) for path in paths):
                    self._look_at(dataset.id)
        except Exception:
            log.exception("Datasets could not be looked at again; the next request does so.")
        with self._lock:
            self._wait = max(SECONDS, SHARE_OF_TIME * (time.monotonic() - begun))
            self._timer = None
            self._begin()

    def _look_at(self, identifier: str) -> None:
        try:
            self._datasets.open(identifier, look=True)
        except UserError as error:
            log.info("%s", error)  # deleted meanwhile; whoever shows it learns that when he asks
        self._tell(identifier)

    def close(self) -> None:
        """Look no more."""
        with self._lock:
            self._closed = True
            timer = self._timer
        if timer is not None:
            timer.cancel()
