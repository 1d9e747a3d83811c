"""Take an upload's bytes from a connection to the disk: one writer for each upload, the newest wins.

A connection that was cut may look alive to the server for minutes. So whoever comes later (a HEAD or PATCH of the same
upload) ends the older writer, and waits until it has closed the file, before it looks at the offset.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

from starlette.requests import ClientDisconnect

from loratory.server import uploads
from loratory.server.problems import Refused
from loratory.server.uploads import Upload

BLOCK_BYTES = 1 << 20
"""Written at once; a writer holds two of them. Larger ones take more processor time: memory comes anew for each."""
SECONDS_OF_SILENCE = 120.0
"""A connection without a byte for so long is given up; the client goes on with another."""
CHECKSUMS = ("sha1", "sha256")


Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the bytes of one request must hash to."""

    algorithm: str
    digest: bytes


@dataclass
class _Turns:
    """Those who write to one upload, or wait to."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    newest: int = 0
    waiting: int = 0
    work: asyncio.Task[Any] | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to write to one upload, until somebody newer comes."""

    turns: _Turns
    number: int

    def check(self) -> None:
        """Raises Refused where somebody newer came.

        423 is what clients of tus answer by asking for the offset again; a 409 to that very question lets them begin
        the upload anew.
        """
        if self.turns.newest != self.number:
            raise Refused(
                423, "taken_over", "A newer request goes on with this upload; ask for the offset and go on from it."
            )

    async def work(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do it, in a task of its own: a takeover ends the work and not the request, which still has an answer to
        give. Raises Refused when taken over. The work has ended when this returns, however it returns."""
        try:
            self.check()  # somebody may have come before there was anything to end
        except Refused:
            work.close()
            raise
        self.turns.work = task = asyncio.create_task(work)
        try:
            await asyncio.wait({task})
        finally:
            self.turns.work = None
            task.cancel()  # nothing happens to one that has ended
            await _ended(task)
        if task.cancelled():
            self.check()
        return task.result()


class Writers:
    """Who writes to which upload, in this server."""

    def __init__(self) -> None:
        self._turns: dict[str, _Turns] = {}

    def has(self, identifier: str) -> bool:
        """Does somebody write to this upload now?"""
        return identifier in self._turns

    @asynccontextmanager
    async def alone(self, identifier: str) -> AsyncIterator[Turn]:
        """End whoever writes to this upload, wait until its file is closed, and be the only one until the block ends.

        Raises Refused where a still newer one came in the meantime.
        """
        turns = self._turns.setdefault(identifier, _Turns())
        turns.newest += 1
        turns.waiting += 1
        mine = Turn(turns, turns.newest)
        if turns.work is not None:
            turns.work.cancel()
        try:
            async with turns.lock:
                mine.check()
                yield mine
        finally:
            turns.waiting -= 1
            if not turns.waiting:
                del self._turns[identifier]


class _Sink:
    """Writes blocks in a thread while the next one arrives."""

    def __init__(self, part: BinaryIO, upload: Upload, checksum: Checksum | None) -> None:
        self._part, self._upload = part, upload
        self.digest = hashlib.new(checksum.algorithm) if checksum else None
        self._block = bytearray()
        self._writing: asyncio.Task[None] | None = None

    def _write(self, data: bytearray) -> None:
        if self.digest:
            self.digest.update(data)
        uploads.append(self._part, data, self._upload)

    async def put(self, chunk: bytes) -> None:
        """Take a chunk; waits where the disk is slower than the connection."""
        self._block += chunk
        if len(self._block) >= BLOCK_BYTES:
            if self._writing:
                await asyncio.shield(self._writing)
            self._writing = asyncio.create_task(asyncio.to_thread(self._write, self._block))
            self._block = bytearray()

    async def flush(self) -> None:
        """Write all that was taken."""
        if self._writing:
            await self._writing
        if self._block:
            await asyncio.to_thread(self._write, self._block)
        self._block, self._writing = bytearray(), None

    async def take_back(self, start: int) -> None:
        """Leave the file as it was before."""
        self._block = bytearray()
        await self.flush()
        await asyncio.to_thread(self._part.truncate, start)


async def surely(work: Coroutine[Any, Any, Result]) -> Result:
    """Await to the end, whoever cancels: a file must not be closed under the thread that writes to it."""
    task = asyncio.create_task(work)
    await _ended(task)
    return task.result()


async def _ended(task: asyncio.Task[Any]) -> None:
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            continue


async def receive(
    turn: Turn, upload: Upload, start: int | None, body: AsyncIterator[bytes], checksum: Checksum | None = None
) -> int:
    """Append the body's bytes, and return the new offset; `start` is the offset that the client believes in.

    Whatever arrived before a cut, a takeover or a full disk stays; only a body whose checksum is wrong or unfinished,
    or that is longer than announced, is taken back. Raises Refused, DiskFull, ClientDisconnect, TimeoutError.
    """
    part = await asyncio.to_thread(uploads.open_part, upload)
    try:
        here = part.seek(0, 2)
        if start is not None and start != here:
            raise Refused(
                409, "wrong_offset", f"{here} bytes have arrived, not {start}; go on from there.", offset=here
            )
        return await turn.work(_copy(part, upload, here, body, checksum))
    finally:
        part.close()


async def _copy(
    part: BinaryIO, upload: Upload, start: int, body: AsyncIterator[bytes], checksum: Checksum | None
) -> int:
    clock = asyncio.get_running_loop().time
    sink, arrived = _Sink(part, upload, checksum), start
    if checksum:
        await asyncio.to_thread(uploads.mark_unproved, upload, start)
    try:
        async with asyncio.timeout(SECONDS_OF_SILENCE) as limit:
            async for chunk in body:
                limit.reschedule(clock() + SECONDS_OF_SILENCE)
                arrived += len(chunk)
                if arrived > upload.size:
                    raise _too_much(upload)
                await sink.put(chunk)
    except (ClientDisconnect, TimeoutError, asyncio.CancelledError):
        await surely(sink.flush())
        raise
    except Refused:
        await surely(sink.take_back(start))
        raise
    await surely(sink.flush())
    if checksum and sink.digest:
        wrong = sink.digest.digest() != checksum.digest
        if wrong:
            await surely(sink.take_back(start))
        await asyncio.to_thread(uploads.proved, upload)
        if wrong:
            raise Refused(
                460, "wrong_checksum",
                f"What arrived of {upload.name} is not what was sent, and was taken back; send it again.",
            )  # fmt: skip
    return arrived


def _too_much(upload: Upload) -> Refused:
    return Refused(
        413, "too_much",
        f"{upload.name} was announced with {upload.size} bytes, and more came; this piece was taken back.",
    )  # fmt: skip
