"""Logs of one JSON object per line, which one process writes and any number read while it does.

The first line names the log (`{"log_id": "<ulid>"}`), and a reader's cursor is `<file id>:<byte offset>`, the file id
being a hash of that line: a copied log keeps its cursors, a rewritten one gets new ones. A line that a killed writer
left unfinished is closed by the next append and skipped by readers.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from loratory.files import fault_armed, naming_full_disk, patiently, reached, write_atomic
from loratory.runs.names import new_ulid

Record = dict[str, Any]

NO_FILE = "-:0"
DEFAULT_BLOCK = 4 << 20

_CURSOR = re.compile(r"([0-9a-f]{16}):([0-9]{1,15})")
_TAIL_BLOCK = 64 << 10
_LONGEST_HEADER = 4096


def encode(record: Record) -> bytes:
    """One line. Raises ValueError for NaN and infinity, which JSON does not have."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8") + b"\n"


def parse(line: bytes) -> Record | None:
    """The object in a line; None for the header and for a line that a kill left unfinished."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "log_id" not in record else None


def header() -> bytes:
    """The first line of a new log."""
    return encode({"log_id": new_ulid()})


def append(path: Path, lines: Sequence[bytes], *, point: str) -> None:
    """Append whole lines, after closing one that was left unfinished; makes the log when it does not exist.

    The lines are safe from a kill of this process when this returns. `point` is the family of write points, for
    renaming (a new log) and appending. Raises DiskFull, and then nothing is appended.
    """
    if not path.exists():
        write_atomic(path, header(), point=point)
    with naming_full_disk(path):
        reached(f"{point}.before_append")
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0))
        try:
            _append_or_undo(descriptor, b"".join(lines), point)
        finally:
            os.close(descriptor)


def _append_or_undo(descriptor: int, content: bytes, point: str) -> None:
    torn_point = f"{point}.torn_append"
    size = os.lseek(descriptor, 0, os.SEEK_END)
    try:
        if size > 0:
            os.lseek(descriptor, -1, os.SEEK_END)
            if os.read(descriptor, 1) != b"\n":
                content = b"\n" + content
        if fault_armed(torn_point):
            _write_all(descriptor, content[: len(content) // 2])
            reached(torn_point)
            content = content[len(content) // 2 :]
        _write_all(descriptor, content)
        reached(f"{point}.after_append")  # in here, since whatever fails before the return is undone
    except BaseException:
        # The caller will write these lines again, and readers of whole lines cannot tell: the bytes will be the same.
        os.ftruncate(descriptor, size)
        raise


def ends_whole(path: Path) -> bool:
    """Does the log end with the end of a line, as it does unless a process was killed while it appended?"""
    with path.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) == 0:
            return True
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


class Lines(NamedTuple):
    """Whole lines of a log, without their ends; the cursor after them; and whether the cursor that was handed in could
    not be honoured, so that these are from the start."""

    lines: list[bytes]
    cursor: str
    began_again: bool


def read(path: Path, cursor: str | None = None, *, block_bytes: int = DEFAULT_BLOCK) -> tuple[list[Record], str]:
    """The whole lines after `cursor` and the cursor after them; call again until the list is empty.

    About `block_bytes` are read at most. With no cursor, one that is no cursor, or one of another file or of a file
    that has been rewritten, reading begins at the start. A log that does not exist yet has no lines.
    """
    while True:
        found = read_lines(path, cursor, block_bytes=block_bytes)
        records = [record for line in found.lines if (record := parse(line)) is not None]
        if records or not found.lines:  # an empty list means that the end is reached, not that a header was read
            return records, found.cursor
        cursor = found.cursor


def read_lines(
    path: Path, cursor: str | None = None, *, block_bytes: int = DEFAULT_BLOCK, until: int | None = None
) -> Lines:
    """As `read`, for any file of lines to which is only appended; the header is a line, too.

    `until`: the offset of a cursor of this file behind which nothing is read.
    """
    named = cursor is not None and cursor != NO_FILE
    try:
        stream = patiently(lambda: path.open("rb"))
    except FileNotFoundError:
        return Lines([], NO_FILE, named)
    with stream:
        file_id = _file_id(stream)
        if file_id is None:
            return Lines([], NO_FILE, named)
        size = stream.seek(0, os.SEEK_END)
        offset = _offset(cursor, file_id, size)
        began_again = named and cursor != f"{file_id}:{offset}"
        stream.seek(offset)
        room = block_bytes if until is None else min(block_bytes, until - offset)
        block = _whole_lines(stream, room) if room > 0 else b""
        return Lines(block.split(b"\n")[:-1], f"{file_id}:{offset + len(block)}", began_again)


def end(path: Path) -> str:
    """The cursor behind the last whole line."""
    try:
        stream = patiently(lambda: path.open("rb"))
    except FileNotFoundError:
        return NO_FILE
    with stream:
        file_id = _file_id(stream)
        if file_id is None:
            return NO_FILE
        start = stream.seek(0, os.SEEK_END)
        while start > 0:
            size = min(_TAIL_BLOCK, start)
            start -= size
            stream.seek(start)
            if (place := stream.read(size).rfind(b"\n")) >= 0:
                return f"{file_id}:{start + place + 1}"
    return NO_FILE


def place(cursor: str) -> tuple[str, int]:
    """The file id and the offset of a cursor. Raises ValueError for what is none."""
    if cursor == NO_FILE:
        return "-", 0
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise ValueError(cursor)
    return match[1], int(match[2])


def _file_id(stream: BinaryIO) -> str | None:
    """Of an open file; None as long as its first line is not whole."""
    first = stream.readline(_LONGEST_HEADER)
    return hashlib.blake2s(first, digest_size=8).hexdigest() if first.endswith(b"\n") else None


def _offset(cursor: str | None, file_id: str, size: int) -> int:
    match = _CURSOR.fullmatch(cursor or "")
    if match is None or match[1] != file_id or int(match[2]) > size:
        return 0
    return int(match[2])


def _whole_lines(stream: BinaryIO, block_bytes: int) -> bytes:
    block = stream.read(block_bytes)
    if b"\n" not in block:
        block += stream.readline()
    return block[: block.rfind(b"\n") + 1]


def iterate(path: Path) -> Iterator[Record]:
    """All records of a log, one after the other, in bounded memory; none when it does not exist."""
    try:
        stream = patiently(lambda: path.open("rb"))
    except FileNotFoundError:
        return
    with stream:
        for line in stream:
            record = parse(line) if line.endswith(b"\n") else None
            if record is not None:
                yield record


def backwards(path: Path) -> Iterator[Record]:
    """All whole records from the last one on to the first; none when the log does not exist."""
    try:
        stream = patiently(lambda: path.open("rb"))
    except FileNotFoundError:
        return
    with stream:
        start = stream.seek(0, os.SEEK_END)
        rest = b""
        while start > 0:
            size = min(_TAIL_BLOCK, start)
            start -= size
            stream.seek(start)
            lines = (stream.read(size) + rest).split(b"\n")
            rest = lines[0]
            for line in reversed(lines[1:]):
                if (record := parse(line)) is not None:
                    yield record
        if (record := parse(rest)) is not None:
            yield record


def last(path: Path) -> Record | None:
    """The last whole record, found from the end of the file; None when there is none."""
    return next(backwards(path), None)


def first_since(path: Path, name: str, value: float) -> Record | None:
    """The first record whose number `name` is at least `value`, where such numbers only grow along the log.

    Looks at about twenty places of a log of a million lines. Records without the number are passed over.
    """
    try:
        stream = patiently(lambda: path.open("rb"))
    except FileNotFoundError:
        return None
    with stream:
        low, high = 0, stream.seek(0, os.SEEK_END)
        while high - low > _TAIL_BLOCK:  # the line that is looked for begins behind `low` and at `high` at the latest
            middle = (low + high) // 2
            record, _ = _next_with(stream, middle, name)
            if record is not None and record[name] < value:
                low = middle
            else:
                high = middle
        record, after = _next_with(stream, low, name, whole=low == 0)
        while record is not None and record[name] < value:
            record, after = _next_with(stream, after, name, whole=True)
        return record


def _next_with(stream: BinaryIO, offset: int, name: str, *, whole: bool = False) -> tuple[Record | None, int]:
    """The first record with a number `name` of the lines that begin after `offset` (`whole`: at it), and the offset
    behind it."""
    stream.seek(offset)
    if not whole:
        stream.readline()
    for line in stream:
        record = parse(line) if line.endswith(b"\n") else None
        if record is not None and isinstance(record.get(name), int | float):
            return record, stream.tell()
    return None, stream.tell()
