"""How large a request may be: what is not an upload is read into memory whole, and memory ends."""

from __future__ import annotations

from fastapi import Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from loratory.server.access import LOGIN
from loratory.server.problems import problem

MOST_BYTES = 64 * 1024**2
"""A bulk edit that names each of 100,000 pictures has a tenth of it."""
MOST_OF_LOGIN = 8192
"""Nobody knows yet who sends it."""
UPLOADS = "/api/uploads"

_SENTENCE = "The request has more than the {} bytes that this one may have; send large files as uploads."


def most_bytes(route: str) -> int | None:
    """How much a request to this path may have; None for uploads, which go to the disk as they come."""
    if route == UPLOADS or route.startswith(f"{UPLOADS}/"):
        return None
    return MOST_OF_LOGIN if route == LOGIN else MOST_BYTES


def too_large(headers: Headers, most: int) -> Response | None:
    """The answer to a request that says itself that it is too large."""
    said = headers.get("content-length", "")
    if said.isascii() and said.isdigit() and int(said) > most:
        return problem(413, "too_large", _SENTENCE.format(f"{most:,}"))
    return None


def limited(receive: Receive, most: int) -> Receive:
    """The same body, up to this many bytes. Raises HTTPException, which passes FastAPI's own reading."""
    come = 0

    async def next_message() -> Message:
        nonlocal come
        message = await receive()
        come += len(message.get("body", b""))
        if come > most:
            raise HTTPException(413, _SENTENCE.format(f"{most:,}"))
        return message

    return next_message
