"""Tar archives, packed or not, by the standard library, read forwards only: once for the list, once for the files."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, cast

from loratory.data.archives.entries import Ask, Entry, EntryKind, Limits, check_cost
from loratory.data.archives.kinds import ArchiveError

_MOST_AT_ONCE = 4 << 20
"""tarfile reads headers of any announced length into memory; none is longer than this."""
_MOST_DICTIONARY_BYTES = 512 << 20
_PIECE = 1 << 16
_ASK_EVERY = 4 << 20


@contextmanager
def opened(path: Path, limits: Limits, ask: Ask) -> Iterator[TarReader]:
    """Raises ArchiveError for a damaged archive."""
    try:
        yield TarReader(path, limits, ask)
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile) as error:
        raise ArchiveError(f"The archive is damaged ({error}); pack or download it anew.") from error
    except OSError as error:
        if error.errno is None:  # bz2 says so of bytes that it cannot read
            raise ArchiveError(f"The archive is damaged ({error}); pack or download it anew.") from error
        raise


class TarReader:
    """The entries of a tar, and their bytes."""

    def __init__(self, path: Path, limits: Limits, ask: Ask) -> None:
        self._path, self._limits, self._ask = path, limits, ask
        self.notes: list[str] = []
        self.entries = [Entry(member.name, member.size, _kind(member)) for member, _ in self._members(ask)]

    def _members(self, ask: Ask) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
        packed, total, count = self._path.stat().st_size, 0, 0
        with self._path.open("rb") as raw:
            stream = cast(IO[bytes], _Forward(_unpacked(raw), lambda: ask(min(raw.tell(), packed), packed)))
            with tarfile.open(fileobj=stream, mode="r:", errors="surrogateescape") as archive:
                for member in archive:
                    archive.members = []  # type: ignore[attr-defined]  # it would keep all of them
                    total, count = total + member.size, count + 1
                    # Before the next header, on the way to which all of this is unpacked.
                    check_cost(count, total, packed, self._limits, self._limits.most_bytes)
                    yield member, archive

    def files(self, wanted: dict[int, str]) -> Iterator[tuple[int, Callable[[], IO[bytes]]]]:
        """Each wanted entry with what opens it, in the order in which they lie in the archive."""
        for number, (member, archive) in enumerate(self._members(lambda done, total: None)):
            if number in wanted:
                yield number, partial(_open, archive, member)


def _open(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    found = archive.extractfile(member)
    assert found is not None, "only files are asked for"
    return found


def _kind(member: tarfile.TarInfo) -> EntryKind:
    if member.isdir():
        return "folder"
    if member.issym() or member.islnk():
        return "link"
    return "file" if member.isreg() and not member.issparse() else "special"


def _unpacked(raw: BinaryIO) -> BinaryIO:
    start = raw.read(6)
    raw.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if start.startswith(b"BZh"):
        return cast(BinaryIO, bz2.BZ2File(raw))
    if start.startswith(b"\xfd7zXZ"):
        return cast(BinaryIO, io.BufferedReader(_Xz(raw)))
    return raw


class _Xz(io.RawIOBase):
    """lzma.open() with a limit to the memory that the archive may ask for."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw, self._unpacker = raw, lzma.LZMADecompressor(lzma.FORMAT_XZ, _MOST_DICTIONARY_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        while True:
            data = b""
            if self._unpacker.eof:
                data = (self._unpacker.unused_data or self._raw.read(_PIECE)).lstrip(b"\0")
                if not data:
                    return 0
                self._unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, _MOST_DICTIONARY_BYTES)
            elif self._unpacker.needs_input and not (data := self._raw.read(_PIECE)):
                raise EOFError("it was cut off")
            if piece := self._unpacker.decompress(data, len(buffer)):
                buffer[: len(piece)] = piece
                return len(piece)


class _Forward:
    """What tarfile needs of a file, without going back, and without reading more than a few MiB at once."""

    def __init__(self, stream: BinaryIO, ask: Callable[[], None]) -> None:
        self._stream, self._ask = stream, ask
        self._place = self._asked = 0

    def tell(self) -> int:
        return self._place

    def read(self, size: int) -> bytes:
        if size > _MOST_AT_ONCE:
            raise ArchiveError("The archive has a header of many MB, as no honest one has; pack it anew.")
        data = self._stream.read(size)
        self._place += len(data)
        if self._place - self._asked > _ASK_EVERY:
            self._asked = self._place
            self._ask()
        return data

    def seek(self, place: int) -> int:
        if place < self._place:
            raise ArchiveError("The archive's headers lead back, as no honest one's do; pack it anew.")
        while self._place < place and self.read(min(_PIECE, place - self._place)):
            pass
        return self._place
