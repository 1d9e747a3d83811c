"""One caption file: its text, the version that an edit is based on, and what its bytes become.

Nothing that cannot be read is ever written over: such a file has no text, and a sentence that says why.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loratory.errors import UserError

NO_FILE = "none"
"""The version of a caption file that is not there."""

_LARGEST_BYTES = 1 << 20
_TEXT_KEYS = ("caption", "text", "prompt")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True, slots=True)
class Reading:
    """What a caption file says. `text` is None where it cannot be read; `problem` says why, in a sentence's end."""

    text: str | None
    version: str
    problem: str = ""


NOTHING = Reading(None, NO_FILE)


def version_of(data: bytes | None) -> str:
    """Sixteen hex digits of the bytes; `none` for no file."""
    return NO_FILE if data is None else hashlib.blake2b(data, digest_size=8).hexdigest()


def read_bytes(path: Path) -> bytes | None:
    """A caption file's bytes; None where there is none. Raises UserError."""
    try:
        with path.open("rb") as stream:
            return stream.read(_LARGEST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"The caption {path.name} cannot be read ({error.strerror}); check its rights.") from error


def read(data: bytes | None, suffix: str) -> Reading:
    """What the bytes of a caption file with this suffix say."""
    if data is None:
        return NOTHING
    version = version_of(data)
    if len(data) > _LARGEST_BYTES:
        return Reading(None, version, "is larger than 1 MB, which is no caption")
    text = plain_text(data)
    if text is None:
        return Reading(None, version, f"is {_encoding(data)}; turn it into UTF-8 (edit captions: Repair the encoding)")
    if suffix.lower() != ".json":
        return Reading(text, version)
    try:
        return Reading(_json_text(_parsed(text)), version)
    except UserError as error:
        return Reading(None, version, str(error))


def plain_text(data: bytes) -> str | None:
    """The text of UTF-8 bytes, with or without a mark in front; None for others."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def in_utf8(data: bytes, otherwise: str) -> bytes:
    """The same text in UTF-8: from the encoding that a mark in front names, else from `otherwise`.

    Raises UserError where the bytes are no text in that encoding.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), otherwise)
    try:
        return data.decode(encoding).encode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError, LookupError) as error:
        raise UserError(f"is no text in {encoding}") from error


def encode(text: str, before: bytes | None, suffix: str) -> bytes:
    """The bytes of a caption file that says `text` and otherwise stays as it was. A mark in front of UTF-8 is left out.

    Raises UserError where that would lose something: the file cannot be read, or is JSON with text and tags apart.
    """
    try:
        fresh = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError("The text holds half of a sign (a surrogate), which no file can hold; remove it.") from error
    if len(fresh) > _LARGEST_BYTES:
        raise UserError("The text is larger than 1 MB, which is no caption; shorten it.")
    if before is not None and plain_text(before) is None:
        raise UserError(f"The caption file {read(before, suffix).problem}; it is not written over.")
    if suffix.lower() != ".json":
        return fresh
    data = _parsed(plain_text(before) or '""') if before else ""
    return (json.dumps(_json_with(data, text), ensure_ascii=False, indent=2) + "\n").encode("utf-8")


def _encoding(data: bytes) -> str:
    return "UTF-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "not UTF-8"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"is not valid JSON ({error}); correct it in an editor") from error


def _parts(data: Any) -> tuple[str | None, str | None]:
    """The keys of an object that hold its text and its tags."""
    text = next((key for key in _TEXT_KEYS if isinstance(data.get(key), str)), None)
    tags = data.get("tags")
    is_tags = isinstance(tags, str) or (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags))
    return text, "tags" if is_tags else None


def _json_text(data: Any) -> str:
    if isinstance(data, str):
        return data
    text, tags = _parts(data) if isinstance(data, dict) else (None, None)
    if text is None and tags is None:
        raise UserError('holds no text, and no object with "caption", "text", "prompt" or "tags"')
    found = [data[text]] if text else []
    if tags:
        found += [data[tags]] if isinstance(data[tags], str) else data[tags]
    return ", ".join(part for part in found if part)


def _json_with(data: Any, text: str) -> Any:
    """The same data with another text; every other key stays."""
    if isinstance(data, str):
        return text
    key, tags = _parts(data) if isinstance(data, dict) else (None, None)
    if key and tags and data[tags]:
        raise UserError("The caption file is JSON with a caption and tags apart; edit that file itself.")
    if key is None and tags is None:
        raise UserError("The caption file is JSON without a caption; edit that file itself.")
    if key is None:
        split = [tag for part in text.split(",") if (tag := part.strip())]
        return {**data, "tags": text if isinstance(data["tags"], str) else split}
    return {**data, key: text}
