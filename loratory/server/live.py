"""Follow runs while they work: one task for each run that somebody follows, however many do, and none for the others.

The task looks at the run's folder a few times a second (in a thread) and puts what it finds into a ring. Readers take
from the ring at their own pace; one who comes from further back, or was too slow, reads the files until he is there.
So nobody has a queue, and a cursor works after any cut and after a restart of the server.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from loratory.errors import UserError
from loratory.runs import ACTIVE_STATES
from loratory.server import tail
from loratory.server.ring import Entry, Page, Ring, Wish, pages, wanted
from loratory.server.tail import Position, Source

log = logging.getLogger(__name__)

KEPT = 4000
"""Events of a run in memory."""
LOOK_SECONDS = 0.25
"""The most that an event of a working run is late, but for what the engine buffers."""
QUIET_SECONDS = 1.0
"""So often a run is looked at that does not work."""
LINGER_SECONDS = 5.0
"""A run is followed for so long after its last reader: one who asks again and again needs no new start each time."""
THREADS = 4
NOW = "now"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Tail:
    """One run that is followed."""

    def __init__(self, path: Path, find: Callable[[], Path], threads: ThreadPoolExecutor) -> None:
        self._path, self._find, self._threads = path, find, threads
        self.readers = 0
        self.left_at = time.monotonic()
        self.head = Position()
        self.ring = Ring(0, "")
        self._ready = asyncio.Event()
        self._error: BaseException | None = None
        self._task = asyncio.create_task(self._run(), name=f"follow {path.name}")

    # Life

    @property
    def ended(self) -> bool:
        """A task that has ended, for whatever reason, tells nothing new."""
        return self._task.done()

    async def _run(self) -> None:
        try:
            self._source = await self._in_thread(Source, self._path)
            self.head, self.told = await self._in_thread(self._source.now)
            self.ring = Ring(KEPT, self.head.cursor())
            self._ready.set()
            while self.readers or time.monotonic() - self.left_at < LINGER_SECONDS:
                await asyncio.sleep(LOOK_SECONDS if self.told.data["state"] in ACTIVE_STATES else QUIET_SECONDS)
                if not await self._look():
                    break
        except Exception as error:
            self._error = error
            log.exception("Following %s failed.", self._path)
        finally:
            self.ring.close()
            self._ready.set()

    async def _look(self) -> bool:
        """Take what is new; False where the run is gone."""
        try:
            entries, head, self.told = await self._in_thread(self._source.look, self.head)
        except UserError:
            return await self._look_elsewhere()
        for entry in entries:  # without a pause, so that ring and head always fit
            self.ring.append(entry)
        self.head = head
        return True

    async def _look_elsewhere(self) -> bool:
        """The folder was moved, and everything in it goes on; or it is gone."""
        try:
            self._path = await self._in_thread(self._find)
            self._source = await self._in_thread(Source, self._path)
        except UserError as error:
            self.ring.append(tail.gone(self.head, str(error)))
            return False
        return True

    def on_end(self, call: Callable[[], None]) -> None:
        """Call this when it has ended."""
        self._task.add_done_callback(lambda _: call())

    def cancel(self) -> None:
        """End it now, and let its readers come to their end."""
        self.ring.close()
        self._task.cancel()

    def _in_thread(
        self, work: Callable[Arguments, Result], *arguments: Arguments.args, **names: Arguments.kwargs
    ) -> asyncio.Future[Result]:
        call = functools.partial(work, *arguments, **names)
        return asyncio.get_running_loop().run_in_executor(self._threads, call)

    # Readers

    async def follow(self, after: str | None, wish: Wish) -> AsyncGenerator[Page, None]:
        """Everything after the cursor. Raises what ended the task, unless that was its run's end."""
        await self._ready.wait()
        self._raise()
        if self.ring.closed:
            return
        start = self._start(after)
        seen = start or self.head._replace(status=tail.NO_STATUS)
        if start is None:
            yield Page([tail.resync(seen, [*tail.FILES, "status"])], seen.cursor())
        while True:
            number = self.ring.end if seen == self.head else self.ring.after(seen.cursor())
            if number is None and not self.ring.closed:
                entries, seen = await self._in_thread(tail.replay, self._source, seen, self.head, self.told)
                for page in in_pages(wanted(entries, wish), seen.cursor(), wish.limit):
                    yield page
                continue
            if number is not None:
                async for page in pages(self.ring, number, seen.cursor(), wish):
                    yield page
                    seen = tail.read_cursor(page.cursor) or seen
            if self.ring.closed:
                break
        self._raise()

    def _start(self, after: str | None) -> Position | None:
        if after is None:
            return Position()
        return self.head._replace(status=tail.NO_STATUS) if after == NOW else tail.read_cursor(after)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


def in_pages(entries: Sequence[Entry], cursor: str, limit: int) -> Iterator[Page]:
    """Entries in pages of at most `limit`; `cursor` is where a reader of all of them is."""
    for begin in range(0, len(entries), limit):
        some = entries[begin : begin + limit]
        yield Page(some, some[-1].cursor if begin + limit < len(entries) else cursor)


class Live:
    """All runs that are followed."""

    def __init__(self, find: Callable[[str], Path]) -> None:
        """`find`: the folder of a run, by its id; raises UnknownRun."""
        self._find = find
        self._tails: dict[str, Tail] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="live")
        self._closed = False

    async def follow(self, run_id: str, after: str | None, wish: Wish) -> AsyncGenerator[Page, None]:
        """The events of a run after a cursor, in pages, for as long as they come: for every transport.

        No cursor: from the beginning. `now`: from now on, the present state first. Raises UnknownRun.
        """
        if self._closed:
            return
        run = self._tails.get(run_id)
        if run is None or run.ended:
            path = await asyncio.get_running_loop().run_in_executor(self._threads, self._find, run_id)
            if self._closed:
                return
            run = self._tails.get(run_id)  # another reader may have come in the meantime
            if run is None or run.ended:
                run = self._tails[run_id] = Tail(path, functools.partial(self._find, run_id), self._threads)
                run.on_end(lambda: self._forget(run_id))
        run.readers += 1
        try:
            async for page in run.follow(after, wish):
                yield page
        finally:
            run.readers -= 1
            run.left_at = time.monotonic()

    def _forget(self, run_id: str) -> None:
        run = self._tails.get(run_id)
        if run is not None and run.ended:
            del self._tails[run_id]

    @property
    def followed(self) -> list[str]:
        """Ids of the runs that have a task now."""
        return list(self._tails)

    def close(self) -> None:
        """End everything; readers come to their end."""
        self._closed = True
        for run in self._tails.values():
            run.cancel()
        self._threads.shutdown(wait=False)
