"""The newest events in memory: one writes, any number read, each at its own pace, and nobody has a queue to fill.

A `Page` is what readers get, over whichever transport: `{"events": [...], "cursor": "..."}`. An empty one is a sign of
life.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

BEAT_SECONDS = 15.0
"""So often something is sent, be it an empty page: proxies cut what is silent for longer."""
PAGE = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as it is sent. `cursor` says where a reader is who has seen it; no two of a ring are the same."""

    cursor: str
    kind: str
    text: str
    """The event as JSON: made once, however many readers there are."""


class Ring:
    """The last `size` entries, numbered from 0 on. Appending works from any thread, waiting in any event loop."""

    def __init__(self, size: int, start: str) -> None:
        """`start`: the cursor of a reader who has seen all that was before."""
        self._entries: deque[Entry] = deque(maxlen=size)
        self._numbers: dict[str, int] = {start: -1}
        self._lock = threading.Lock()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._closed = False
        self.end = 0
        """The number that the next entry will have."""

    def append(self, entry: Entry) -> None:
        """Add an entry, drop the oldest where there are too many, and wake who waits."""
        with self._lock:
            if len(self._entries) == self._entries.maxlen:
                self._numbers.pop(self._entries[0].cursor, None)
            self._entries.append(entry)
            self._numbers[entry.cursor] = self.end
            self.end += 1
        self._wake()

    def close(self) -> None:
        """Nothing will be appended any more: whoever waits goes on at once."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            waiting = list(self._waiting)
        for loop, event in waiting:
            loop.call_soon_threadsafe(event.set)

    def after(self, cursor: str) -> int | None:
        """The number that follows the entry with this cursor; None where it is not here."""
        with self._lock:
            number = self._numbers.get(cursor)
            first = self.end - len(self._entries)
        return None if number is None or number + 1 < first else number + 1

    def since(self, number: int, most: int) -> list[Entry] | None:
        """Entries from `number` on, at most so many; None where the first of them is not here any more."""
        with self._lock:
            first = self.end - len(self._entries)
            if number < first:
                return None
            return list(islice(self._entries, number - first, number - first + most))

    @property
    def closed(self) -> bool:
        """Has it ended?"""
        return self._closed

    async def wait(self, number: int, seconds: float) -> bool:
        """Wait until there is an entry `number`, or the ring is closed; False when the time is over before."""
        event = asyncio.Event()
        me = (asyncio.get_running_loop(), event)
        with self._lock:
            self._waiting.add(me)
        try:
            if self.end > number or self._closed:
                return True
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return False
        finally:
            with self._lock:
                self._waiting.discard(me)
        return True


@dataclass(frozen=True, slots=True)
class Wish:
    """What a reader wants."""

    kinds: frozenset[str] = frozenset()
    """Only these; empty: all. A resync is always sent."""
    limit: int = PAGE
    """Events of a page, at most."""
    beat_seconds: float = BEAT_SECONDS
    """After so long without an event an empty page is sent."""


@dataclass(frozen=True, slots=True)
class Page:
    """Events, and the cursor of who has seen them."""

    entries: Sequence[Entry]
    cursor: str

    def text(self) -> str:
        """As it is sent."""
        return f'{{"events":[{",".join(entry.text for entry in self.entries)}],"cursor":{json.dumps(self.cursor)}}}'


RESYNC = "resync"


def make_entry(cursor: str, event: Mapping[str, Any]) -> Entry:
    """An entry of an event, which has a `kind`. Raises ValueError for NaN and infinity, which JSON does not have."""
    text = json.dumps({"cursor": cursor, **event}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Entry(cursor, event["kind"], text)


def wanted(entries: Sequence[Entry], wish: Wish) -> list[Entry]:
    """Those that the reader asked for."""
    return [entry for entry in entries if not wish.kinds or entry.kind in wish.kinds or entry.kind == RESYNC]


async def pages(ring: Ring, number: int, cursor: str, wish: Wish) -> AsyncGenerator[Page, None]:
    """The entries from `number` on, for as long as there are any to come; `cursor` is where the reader is.

    Ends when the ring has been closed and all is read, or when the reader was too slow and the ring has gone on.
    """
    deadline = time.monotonic() + wish.beat_seconds
    while (entries := ring.since(number, wish.limit)) is not None:
        if not entries and ring.closed:
            return
        number += len(entries)
        cursor = entries[-1].cursor if entries else cursor
        found = wanted(entries, wish)
        if found or (not entries and time.monotonic() >= deadline):
            yield Page(found, cursor)
            deadline = time.monotonic() + wish.beat_seconds
        elif not entries:
            await ring.wait(number, deadline - time.monotonic())
