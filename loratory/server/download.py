"""Send a file of a run, whole or the part that is asked for (RFC 9110, sections 13 and 14): also one that grows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from stat import S_ISREG
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from loratory.server.problems import Refused

CHUNK_BYTES = 1 << 20
_RANGE = re.compile(r"(\d{0,18})-(\d{0,18})")

_TEXT = (".txt", ".log", ".yaml", ".yml", ".json", ".jsonl", ".csv", ".toml", ".md")
_SHOWN = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif",
    **dict.fromkeys(_TEXT, "text/plain; charset=utf-8"),
}  # fmt: skip
"""What a browser may show in its place, by what nothing can run. Everything else, SVG and HTML before all, is saved."""


def send_file(request: Request, path: Path, *, save: bool = False, kept: bool = False) -> Response:
    """Answer with a file. `save`: the browser saves it, whatever it is. `kept`: it never changes under this address.

    Raises Refused: 404 where there is no such file, 416 for a range that it does not have.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise Refused(404, "no_file", f"There is no file {path.name[:300]!r} here ({error.strerror}).") from error
    if not S_ISREG(stat.st_mode):
        raise Refused(400, "no_file", f"{path.name!r} is no file but a folder; ask for the files in it.")
    size, etag = stat.st_size, f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    headers = {
        "etag": etag,
        "last-modified": formatdate(stat.st_mtime, usegmt=True),
        "accept-ranges": "bytes",
        "cache-control": "private, max-age=31536000, immutable" if kept else "private, no-cache",
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox; default-src 'none'",
    }
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    shown = None if save else _SHOWN.get(path.suffix.lower())
    headers["content-disposition"] = f"{'inline' if shown else 'attachment'}; filename*=utf-8''{quote(path.name)}"
    asked = request.headers.get("range")
    if asked is not None and request.headers.get("if-range") not in (None, etag):
        asked = None
    try:
        part = None if asked is None else parse_range(asked, size)
    except ValueError as error:
        raise Refused(
            416, "bad_range", f"{path.name!r} has {size} bytes, and {asked[:100] if asked else ''!r} is no part of it.",
            headers={"content-range": f"bytes */{size}"},
        ) from error  # fmt: skip
    begin, end = (0, size) if part is None else part
    if part is not None:
        headers["content-range"] = f"bytes {begin}-{end - 1}/{size}"
    headers["content-length"] = str(end - begin)
    status = 200 if part is None else 206
    media_type = shown or "application/octet-stream"
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StreamingResponse(_chunks(path, begin, end), status, headers, media_type)


def parse_range(text: str, size: int) -> tuple[int, int] | None:
    """The bytes from and to (the second one not included) that a Range header asks for.

    None where the whole file is to be sent: for another unit than bytes, and for several parts, which RFC 9110 (14.2)
    allows to answer so. Raises ValueError for a part that the file does not have and for what is no range.
    """
    unit, equals, parts = text.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    found = [_one_range(part.strip(), size) for part in parts.split(",")]
    return found[0] if len(found) == 1 else None


def _one_range(text: str, size: int) -> tuple[int, int]:
    match = _RANGE.fullmatch(text)
    if match is None or text == "-":
        raise ValueError(text)
    first, last = match.groups()
    if not first:
        begin, end = max(size - int(last), 0), size
    else:
        begin, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < begin:
            raise ValueError(text)
    if begin >= end:
        raise ValueError(text)
    return begin, end


def _matches(header: str | None, etag: str) -> bool:
    names = [] if header is None else [name.strip().removeprefix("W/") for name in header.split(",")]
    return "*" in names or etag in names


def _chunks(path: Path, begin: int, end: int) -> Iterator[bytes]:
    """Just these bytes, however long the file has become; one that has become shorter breaks the answer off."""
    with path.open("rb") as stream:
        stream.seek(begin)
        left = end - begin
        while left > 0:
            chunk = stream.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise OSError(f"{path} became shorter while it was sent ({os.fstat(stream.fileno()).st_size} bytes)")
            left -= len(chunk)
            yield chunk
