"""The server's own news: jobs, the queue, runs, the machine. Whoever knows some publishes it here, from any thread."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any

from loratory.runs import utc_now
from loratory.secrets import redact_values
from loratory.server.ring import RESYNC, Entry, Page, Ring, Wish, make_entry, pages

KEPT = 2000


class Bus:
    """Publish and follow. Cursors are `<instance>-<number>`: those of an earlier server are answered with a resync."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._ring = Ring(KEPT, f"{instance}-0")
        self._lock = threading.Lock()
        self.readers = 0
        """How many follow it now."""

    def publish(self, kind: str, data: Mapping[str, Any]) -> None:
        """Tell everybody who follows. `data` is plain JSON; secrets in it are masked."""
        event = {"kind": kind, "source": "server", "time": utc_now(), "data": redact_values(dict(data))}
        with self._lock:  # so that the numbers are those of the ring
            self._ring.append(make_entry(f"{self._instance}-{self._ring.end + 1}", event))

    def close(self) -> None:
        """Everybody who follows has come to the end."""
        self._ring.close()

    async def follow(self, after: str | None, wish: Wish) -> AsyncGenerator[Page, None]:
        """What is published after the cursor; without one, from now on.

        Begins with a `resync` where the cursor is of another server or too old: what is shown is to be asked for anew.
        """
        self.readers += 1
        try:
            number = self._ring.end if after is None else self._number(after)
            while not self._ring.closed:
                if number is None or number > self._ring.end:
                    number = self._ring.end
                    yield Page([self._resync()], self._cursor(number))
                async for page in pages(self._ring, number, self._cursor(number), wish):
                    yield page
                number = None
        finally:
            self.readers -= 1

    def _number(self, cursor: str) -> int | None:
        instance, _, number = cursor.rpartition("-")
        with suppress(ValueError):
            return int(number) if instance == self._instance else None
        return None

    def _cursor(self, number: int) -> str:
        return f"{self._instance}-{number}"

    def _resync(self) -> Entry:
        event = {"kind": RESYNC, "source": "server", "time": utc_now(), "data": {"sources": ["server"]}}
        return make_entry(self._cursor(self._ring.end), event)
