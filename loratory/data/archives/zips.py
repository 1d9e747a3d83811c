"""Zip archives, by the standard library: names in old encodings, and the ways in which a zip can lie."""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from loratory.data.archives.entries import Entry, EntryKind, Limits
from loratory.data.archives.kinds import ArchiveError

_ENCRYPTED, _UTF8 = 0x1 | 0x40 | 0x2000, 0x800
_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_UNIX = (3, 19)
_UNICODE_PATH = 0x7075  # an extra field of Info-ZIP's: the name in UTF-8, with a CRC of the other one
_MOST_DIRECTORY_BYTES = 256 << 20
_END_MARK, _END_BYTES = b"PK\5\6", 22
_LATIN_BESIDE = re.compile(r"[A-Za-z][^\x00-\x7f]+[A-Za-z]")
_JAPANESE = re.compile(r"[\u3000-\u30ff\u4e00-\u9fff\uff00-\uff60]{2,}")


class NotReadable(Exception):
    """Packed in a way that the standard library cannot read; an unpacker can."""


@contextmanager
def opened(path: Path, limits: Limits, encoding: str | None) -> Iterator[ZipReader]:
    """Raises ArchiveError for a damaged or encrypted archive, NotReadable."""
    _check_directory(path, limits)
    try:
        with zipfile.ZipFile(path) as archive:
            yield ZipReader(archive, encoding)
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError) as error:
        raise ArchiveError(f"The archive is damaged ({error}); pack or download it anew.") from error


def _check_directory(path: Path, limits: Limits) -> None:
    """The list of entries is read into memory whole, so its announced size is looked at first."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(max(0, size - _END_BYTES - 0xFFFF))
        tail = stream.read()
    place = tail.rfind(_END_MARK)
    if place < 0 or len(tail) - place < _END_BYTES:
        raise ArchiveError("The archive has no list of its files, so it was cut off; download or pack it anew.")
    count, length = struct.unpack_from("<HI", tail, place + 10)
    if length != 0xFFFFFFFF and length > min(_MOST_DIRECTORY_BYTES, size):
        raise ArchiveError("The archive's list of files is larger than any honest one; pack it anew.")
    if size > _MOST_DIRECTORY_BYTES and length == 0xFFFFFFFF:
        _check_zip64(tail, place)
    if count != 0xFFFF and count > limits.most_files:
        raise ArchiveError(f"The archive holds more than {limits.most_files} files; split it.", "too_many_files")


def _check_zip64(tail: bytes, place: int) -> None:
    mark = tail.rfind(b"PK\6\6", 0, place)
    if mark >= 0 and struct.unpack_from("<Q", tail, mark + 40)[0] > _MOST_DIRECTORY_BYTES:
        raise ArchiveError("The archive's list of files is larger than any honest one; pack it anew.")


class ZipReader:
    """The entries of an open zip, and their bytes."""

    def __init__(self, archive: zipfile.ZipFile, encoding: str | None) -> None:
        self._archive = archive
        self._infos = archive.infolist()
        if any(info.flag_bits & _ENCRYPTED for info in self._infos):
            raise ArchiveError("The archive is protected by a password; pack it without one.", "encrypted")
        if any(info.compress_type not in _READABLE for info in self._infos):
            raise NotReadable
        _check_overlaps(self._infos)
        names, self.notes = _names(self._infos, encoding)
        self.entries = [Entry(name, info.file_size, _kind(info)) for name, info in zip(names, self._infos, strict=True)]

    def files(self, wanted: dict[int, str]) -> Iterator[tuple[int, Callable[[], IO[bytes]]]]:
        """Each wanted entry with what opens it, in the order in which they lie in the archive."""
        for number in sorted(wanted, key=lambda number: self._infos[number].header_offset):
            info = self._infos[number]
            yield number, partial(self._archive.open, info)


def _check_overlaps(infos: list[zipfile.ZipInfo]) -> None:
    """Bombs without layers let thousands of entries share the same bytes (D. Fifield, "A better zip bomb", 2019)."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise ArchiveError("Files in the archive share bytes, as in archives made to fill disks.", "bomb")
        end = info.header_offset + 30 + info.compress_size


def _kind(info: zipfile.ZipInfo) -> EntryKind:
    mode = info.external_attr >> 16 if info.create_system in _UNIX else 0
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "special"
    return "folder" if info.orig_filename.endswith(("/", "\\")) else "file"


def _names(infos: list[zipfile.ZipInfo], encoding: str | None) -> tuple[list[str], list[str]]:
    """Names with slashes, and a note where an encoding had to be found out."""
    raw = {
        number: info.orig_filename.encode("cp437")
        for number, info in enumerate(infos)
        if not info.flag_bits & _UTF8 and not info.orig_filename.isascii()
    }
    named = {number: text for number, old in raw.items() if (text := _unicode_path(infos[number].extra, old))}
    unsaid = {number: old for number, old in raw.items() if number not in named}
    notes = []
    if unsaid:
        chosen = encoding or _guess(list(unsaid.values()))
        named |= {number: old.decode(chosen, "replace") for number, old in unsaid.items()}
        notes.append(f"{len(unsaid)} names do not say their encoding and were read as {chosen}.")
    return [named.get(number, info.orig_filename).replace("\\", "/") for number, info in enumerate(infos)], notes


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """The name in Info-ZIP's extra field; None where there is none, or it belongs to another name."""
    place = 0
    while place + 4 <= len(extra):
        identifier, length = struct.unpack_from("<HH", extra, place)
        data = extra[place + 4 : place + 4 + length]
        if identifier == _UNICODE_PATH and len(data) > 5 and data[0] == 1:
            if struct.unpack_from("<I", data, 1)[0] == zlib.crc32(raw):
                return data[5:].decode("utf-8", "replace")
            return None
        place += 4 + length
    return None


def _guess(names: list[bytes]) -> str:
    """UTF-8 where all of them are; Shift-JIS where they look Japanese; else cp437, as the format says."""
    if _all_decode(names, "utf-8"):
        return "utf-8"
    if (texts := _all_decode(names, "cp932")) is not None:
        strange = [text for text in texts if _LATIN_BESIDE.search(text) or not _JAPANESE.search(text)]
        if not strange:
            return "cp932"
    return "cp437"


def _all_decode(names: list[bytes], encoding: str) -> list[str] | None:
    try:
        return [name.decode(encoding) for name in names]
    except UnicodeDecodeError:
        return None
