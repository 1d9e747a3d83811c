"""A run's log, a piece at a time: from its end backwards, from a cursor on, and the lines that hold a text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loratory.errors import UserError
from loratory.runs import jsonl

BLOCK_BYTES = 256 << 10
SEARCHED_BYTES = 16 << 20
"""In one call; the next one goes on from its cursor."""
LONGEST_LINE = 10_000
"""Characters; the rest of a longer one is cut off."""


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines in their order. `before` is the cursor of what stands above them, None at the beginning of the file;
    `after` of what stands below them."""

    lines: list[str]
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class Match:
    """A line that holds the text; `cursor` is where it begins."""

    line: str
    cursor: str


@dataclass(frozen=True, slots=True)
class Matches:
    """Lines that hold the text. `after` is where the next call goes on; None: all is searched."""

    found: list[Match]
    after: str | None


def read_log(path: Path, count: int, *, before: str | None = None) -> LogPage:
    """The last `count` lines above a cursor, or of the log. Raises UserError for a cursor of another file."""
    end = _checked(path, before)
    if end == jsonl.NO_FILE:
        return LogPage([], None, end)
    file_id, offset = jsonl.place(end)
    block = b""
    with path.open("rb") as stream:
        start = offset
        while start > 0 and block.count(b"\n") <= count:
            size = min(BLOCK_BYTES, start)
            start -= size
            stream.seek(start)
            block = stream.read(size) + block
    lines = block.split(b"\n")[:-1]
    lines = lines[max(len(lines) - count, 0) :] if start == 0 else lines[1:][-count:]
    begin = offset - sum(len(line) + 1 for line in lines)
    return LogPage([_text(line) for line in lines], f"{file_id}:{begin}" if begin else None, end)


def read_log_after(path: Path, count: int, after: str) -> LogPage:
    """At most `count` lines below a cursor. Raises UserError for a cursor of another file."""
    after = _checked(path, after)
    found = jsonl.read_lines(path, after, block_bytes=BLOCK_BYTES)
    file_id, offset = jsonl.place(found.cursor)
    left = found.lines[count:]
    offset -= sum(len(line) + 1 for line in left)
    return LogPage([_text(line) for line in found.lines[:count]], after, f"{file_id}:{offset}" if offset else after)


def search_log(path: Path, text: str, most: int, *, after: str | None = None) -> Matches:
    """At most `most` lines that hold `text`, in whatever case, below a cursor or from the beginning."""
    cursor: str | None = None if after is None else _checked(path, after)
    wanted, seen = text.casefold(), 0
    found: list[Match] = []
    while seen < SEARCHED_BYTES:
        block = jsonl.read_lines(path, cursor, block_bytes=BLOCK_BYTES)
        if not block.lines:
            return Matches(found, None)
        file_id, offset = jsonl.place(block.cursor)
        offset -= sum(len(line) + 1 for line in block.lines)
        for line in block.lines:
            begin, offset = offset, offset + len(line) + 1
            if wanted in _text(line).casefold():
                found.append(Match(_text(line), f"{file_id}:{begin}"))
                if len(found) == most:
                    return Matches(found, f"{file_id}:{offset}")
            seen += len(line) + 1
        cursor = block.cursor
    return Matches(found, cursor)


def _checked(path: Path, cursor: str | None) -> str:
    """The cursor, or that of the end of the file."""
    end = jsonl.end(path)
    if cursor is None:
        return end
    try:
        (file_id, offset), (now, size) = jsonl.place(cursor), jsonl.place(end)
    except ValueError as error:
        raise UserError(f"{cursor[:60]!r} is no place in a log; take a cursor that was given with lines.") from error
    if cursor != jsonl.NO_FILE and (file_id != now or offset > size):
        raise UserError("The log is not the one of this cursor any more; read it again from its end.")
    return cursor


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r")[:LONGEST_LINE]
