"""The datasets that somebody works with, kept in memory and kept up to date."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np

from loratory.datasets.catalogue import Caption, Catalogue, make_catalogue, most_common
from loratory.datasets.errors import NotThere, StillScanning
from loratory.datasets.library import Dataset
from loratory.datasets.query import find
from loratory.datasets.settings import DatasetSettings, load_settings
from loratory.errors import UserError

_MEMORY_BYTES = 512 * 1024**2
_LOOKERS = 2
_QUICK_SECONDS = 0.3
"""A look at a folder that took no longer is waited for, as is one at a folder of which a change is known,"""
_PATIENCE_SECONDS = 1.0
"""up to this long."""
_SHARE_OF_TIME = 8
"""A folder is looked at again after so many times as long as the last look took."""
_AT_LEAST_SECONDS = 0.2


class Opened:
    """One dataset in memory."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.settings: DatasetSettings = load_settings(dataset)
        self.editing = threading.Lock()
        self.progress: tuple[int, int] = (0, 0)
        self.looked_at = 0.0
        self.took = 0.0
        self.changes = 0
        """How many are known, and in `_seen` how many of them the last look that ended knew when it began."""
        self._seen = 0
        self._lock = threading.Lock()
        self._catalogue: Catalogue | None = None
        self._looking: Future[None] | None = None
        self._edited: dict[str, Caption] = {}
        self._counts: tuple[Catalogue, int, Mapping[str, int]] | None = None

    @property
    def catalogue(self) -> Catalogue:
        """What is known. Raises StillScanning before the first look has ended."""
        if self._catalogue is None:
            raise StillScanning(self.dataset.name, *self.progress)
        return self._catalogue

    @property
    def is_looking(self) -> bool:
        """Is the folder being looked at?"""
        return self._looking is not None and not self._looking.done()

    def number(self, item: str) -> int:
        """The place of a picture. Raises NotThere."""
        found = self.catalogue.number.get(item)
        if found is None:
            raise NotThere(f"There is no picture {item!r} in the dataset {self.dataset.name!r}.")
        return found

    def numbers(self, items: list[str]) -> list[int]:
        """The places of pictures. Raises NotThere."""
        return [self.number(item) for item in items]

    def set_caption(self, item: str, caption: Caption) -> None:
        """Enter an edit; also where a look at the folder is under way that may have read the caption before."""
        with self._lock:
            if self.is_looking:
                self._edited[item] = caption
            catalogue = self.catalogue
            if item in catalogue.number:
                catalogue.set_caption(catalogue.number[item], caption)

    def tag_counts(self) -> Mapping[str, int]:
        """Tag -> how many pictures have it, most frequent first."""
        catalogue = self.catalogue
        if self._counts is None or self._counts[0] is not catalogue or self._counts[1] != catalogue.revision:
            revision = catalogue.revision
            self._counts = (catalogue, revision, dict(most_common(catalogue).most_common()))
        return self._counts[2]

    def look(self, pool: ThreadPoolExecutor) -> Future[None]:
        """Look at the folder, unless that is under way."""
        with self._lock:
            if self._looking is None or self._looking.done():
                self._edited = {}
                self._looking = pool.submit(self._look)
            return self._looking

    def wait(self, seconds: float) -> None:
        """Wait for the end of a look that is under way."""
        if self._looking is not None:
            wait([self._looking], seconds)

    @property
    def is_outdated(self) -> bool:
        """Is a change known that no look has seen to its end?"""
        return self.changes != self._seen

    def is_old(self) -> bool:
        """Is it time to look again?"""
        age = time.monotonic() - self.looked_at
        return self._catalogue is None or self.is_outdated or age > max(_AT_LEAST_SECONDS, _SHARE_OF_TIME * self.took)

    def is_known(self) -> bool:
        """Has the folder been looked at?"""
        return self._catalogue is not None

    def _look(self) -> None:
        begun = time.monotonic()

        def progress(done: int, total: int) -> None:
            self.progress = (done, total)

        changes = self.changes  # what changes from here on may be passed by
        self.settings = load_settings(self.dataset)
        found = make_catalogue(self.dataset, self.settings.extensions, self._catalogue, progress)
        with self._lock:
            for item, caption in self._edited.items():
                if item in found.number:
                    found.set_caption(found.number[item], caption)
            self._edited = {}
            if self._catalogue is not None and found is not self._catalogue:
                found.revision = max(found.revision, self._catalogue.revision + 1)
            self._catalogue, self._seen = found, changes
        self.looked_at, self.took = time.monotonic(), time.monotonic() - begun


class Shelf:
    """The datasets in memory; those not used for longest leave when they become too large together."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_LOOKERS, "datasets")
        self._lock = threading.Lock()
        self._opened: OrderedDict[str, Opened] = OrderedDict()

    def open(self, dataset: Dataset, seconds: float = 10.0, *, look: bool = False) -> Opened:
        """A dataset as it is now, or, where it is large, as it was a short time ago.

        The first look is waited for up to `seconds`; `catalogue` says StillScanning where it takes longer. `look`: look
        at the folder in any case, and wait for it. Raises UserError if the folder is not there.
        """
        with self._lock:
            opened = self._opened.get(dataset.id)
            if opened is None:
                opened = self._opened[dataset.id] = Opened(dataset)
            self._opened.move_to_end(dataset.id)
        is_changed = opened.is_outdated
        patience = _patience(opened, seconds, look=look, is_changed=is_changed)
        if look or is_changed:
            opened.wait(patience)  # one that is under way may have passed by what has changed since
        if look or opened.is_old():
            future = opened.look(self._pool)
            wait([future], patience)
            if future.done() and (error := future.exception()) is not None:
                self.close(dataset)
                if isinstance(error, UserError):
                    raise NotThere(str(error)) from error
                raise error
        self._make_room(dataset.id)
        return opened

    def outdate(self, paths: Iterable[Path]) -> None:
        """Something changed there: a dataset that holds one of these is looked at when it is opened next."""
        changed = list(paths)
        with self._lock:
            for opened in self._opened.values():
                if any(path.is_relative_to(opened.dataset.path) for path in changed):
                    opened.changes += 1

    def has_room(self, dataset: Dataset) -> bool:
        """Is this one in memory, or room for more, without sending away what is worked with?"""
        with self._lock:
            weight = sum(each.catalogue.weight for each in self._opened.values() if each.is_known())
            return dataset.id in self._opened or weight < _MEMORY_BYTES // 2

    def close(self, dataset: Dataset) -> None:
        """Forget a dataset."""
        with self._lock:
            self._opened.pop(dataset.id, None)

    def end(self) -> None:
        """Stop looking."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _make_room(self, keep: str) -> None:
        with self._lock:
            sizes = {key: each.catalogue.weight for key, each in self._opened.items()
                     if each.is_known()} if len(self._opened) > 1 else {}  # fmt: skip
            total = sum(sizes.values())
            for key in list(sizes):
                if total <= _MEMORY_BYTES or key == keep:
                    continue
                total -= sizes[key]
                del self._opened[key]


def _patience(opened: Opened, seconds: float, *, look: bool, is_changed: bool) -> float:
    """How long a look is waited for. Whoever knows of a change should see it, also where looks take a little longer;
    one that would take longer than the patience is not waited for at all."""
    if look or not opened.is_known():
        return seconds
    return _PATIENCE_SECONDS if opened.took < (_PATIENCE_SECONDS if is_changed else _QUICK_SECONDS) else 0.0


def selection(opened: Opened, items: list[str] | None, query: str) -> list[int]:
    """The pictures of a list, or those that a query finds, as places in the catalogue. Raises NotThere, QueryError."""
    if items is not None:
        return opened.numbers(items)
    return [int(number) for number in np.flatnonzero(find(opened.catalogue, query))]
