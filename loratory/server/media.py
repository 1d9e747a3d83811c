"""Answer with a file that somebody uploaded or an engine wrote: shown only where that can do no harm."""

from __future__ import annotations

from pathlib import Path
from stat import S_ISREG

from fastapi.responses import FileResponse

from loratory.server.problems import Refused

_SHOWN = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif",
    ".bmp": "image/bmp", ".avif": "image/avif",
    ".mp4": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime",
    ".mp3": "audio/mpeg", ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg",
    **dict.fromkeys((".txt", ".caption", ".cap", ".log", ".md", ".csv", ".json", ".jsonl", ".yaml", ".yml", ".toml"),
                    "text/plain; charset=utf-8"),
}  # fmt: skip
"""What a browser shows and cannot run. Everything else (SVG and HTML hold scripts) is only downloaded."""

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; media-src 'self'; frame-ancestors 'none'; sandbox"
)


def media_type(name: str) -> str | None:
    """What a file of this name is shown as; None where it is only downloaded."""
    return _SHOWN.get(Path(name).suffix.lower())


def file_response(
    path: Path, *, name: str | None = None, download: bool = False, unchanging: bool = False
) -> FileResponse:
    """The file at `path`, whole or the part that a Range header asks for.

    `name` is what it is called when it is saved. `unchanging`: the address names this content for ever, so that the
    browser need not ask again. Raises Refused (404) where there is no such file.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise Refused(404, "no_such_file", f"There is no file {path.name}.") from error
    if not S_ISREG(found.st_mode):
        raise Refused(404, "no_such_file", f"{path.name} is no file.")
    name = name or path.name
    shown = None if download else media_type(name)
    headers = {
        "content-security-policy": POLICY,
        "cache-control": "private, max-age=31536000, immutable" if unchanging else "private, no-cache",
    }
    return FileResponse(path, headers=headers, media_type=shown or "application/octet-stream", filename=name,
                        stat_result=found, content_disposition_type="inline" if shown else "attachment")  # fmt: skip
