"""Answer with a file: whole or a part (RFC 9110, sections 13 and 14), also one that grows; shown only where that can do
no harm."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from stat import S_ISREG
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from loratory.server.problems import Refused

CHUNK_BYTES = 1 << 20
_RANGE = re.compile(r"(\d{0,18})-(\d{0,18})")
_TEXTS = (".txt", ".caption", ".cap", ".log", ".md", ".csv", ".json", ".jsonl", ".yaml", ".yml", ".toml")
_SHOWN = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif",
    ".bmp": "image/bmp", ".avif": "image/avif",
    ".mp4": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime",
    ".mp3": "audio/mpeg", ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg",
    **dict.fromkeys(_TEXTS, "text/plain; charset=utf-8"),
}  # fmt: skip
"""What a browser shows in its place and cannot run. Everything else, SVG and HTML before all, is saved."""

BYTES: dict[str, Any] = {"content": {"application/octet-stream": {}}}
FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", **BYTES},
    206: {"description": "A part of it.", **BYTES},
    304: {"description": "It is the one that the client has."},
}
"""What a route that sends a file answers."""

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; media-src 'self'; frame-ancestors 'none'; sandbox"
)


def send_file(
    request: Request, path: Path, *, save: bool = False, unchanging: bool = False, etag: str | None = None
) -> Response:
    """Answer with a file. `save`: the browser saves it, whatever it is. `unchanging`: the address names this content
    for ever, so that the browser need not ask again. `etag` names the content where the file's time and size do not.

    Raises Refused: 404 where there is no such file, 416 for a range that it does not have.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise Refused(404, "no_file", f"There is no file {path.name[:300]!r} here.") from error
    if not S_ISREG(found.st_mode):
        raise Refused(404, "no_file", f"{path.name[:300]!r} is no file; ask for the files in it if it is a folder.")
    size, tag = found.st_size, f'"{etag or f"{found.st_mtime_ns:x}-{found.st_size:x}"}"'
    shown = None if save else _SHOWN.get(path.suffix.lower())
    headers = {
        "etag": tag,
        "last-modified": formatdate(found.st_mtime, usegmt=True),
        "accept-ranges": "bytes",
        "cache-control": "private, max-age=31536000, immutable" if unchanging else "private, no-cache",
        "x-content-type-options": "nosniff",
        "content-security-policy": POLICY,
    }
    if _matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    name = quote(path.name, errors="surrogateescape")
    headers["content-disposition"] = f"{'inline' if shown else 'attachment'}; filename*=utf-8''{name}"
    part = _asked_part(request, path.name, size, tag)
    begin, end = part or (0, size)
    if part is not None:
        headers["content-range"] = f"bytes {begin}-{end - 1}/{size}"
    headers["content-length"] = str(end - begin)
    status = 200 if part is None else 206
    media_type = shown or "application/octet-stream"
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StreamingResponse(_chunks(path, begin, end), status, headers, media_type)


def _asked_part(request: Request, name: str, size: int, etag: str) -> tuple[int, int] | None:
    asked = request.headers.get("range")
    if asked is None or request.headers.get("if-range") not in (None, etag):
        return None
    try:
        return parse_range(asked, size)
    except ValueError as error:
        raise Refused(
            416, "bad_range", f"{name!r} has {size} bytes, and {asked[:100]!r} is no part of it.",
            headers={"content-range": f"bytes */{size}"},
        ) from error  # fmt: skip


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
