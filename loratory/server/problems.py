"""Errors as problem documents (RFC 9457): a code for programs, a sentence for people, and what else belongs to it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from loratory.errors import UserError
from loratory.files import DiskFull
from loratory.secrets import redact, redact_values
from loratory.settings import DamagedSettings, StaleSettings

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_CODES = {413: "too_large"}
"""Where the status says something else than its phrase in Python, which changes with the version."""
_TITLES = {each.value: each.phrase for each in HTTPStatus} | {460: "Checksum Mismatch"}  # 460: tus


class Problem(BaseModel):
    """What went wrong (RFC 9457). Further members belong to the code."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    """For programs; it stays the same."""
    detail: str
    """One sentence for people: what, where, what to do."""


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {"description": "It was not done, and why.", "content": {MEDIA_TYPE: {}}, "model": Problem},
}
"""What every route may answer."""


class Refused(Exception):
    """A request that cannot be done. `code` is for programs and stays the same; `message` is one sentence that says
    what, where and what to do; `more` are further members of the document."""

    def __init__(self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None, **more: Any):
        self.status, self.code, self.message, self.headers, self.more = status, code, message, headers, more
        super().__init__(message)


def problem(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """The document itself, without secrets."""
    body = {
        "type": f"about:blank#{code}", "title": _TITLES.get(status, "Refused"), "status": status, "code": code,
        "detail": redact(message), **redact_values(more),
    }  # fmt: skip
    # An error that nobody foresaw is answered outside of the guard, which adds these to all other answers.
    safe = {"cache-control": "no-store", "x-content-type-options": "nosniff", **(headers or {})}
    return JSONResponse(_sendable(body), status, safe, media_type=MEDIA_TYPE)


def _sendable(value: Any) -> Any:
    """Without halves of signs, which a client may send in JSON and no answer can hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_sendable(key): _sendable(each) for key, each in value.items()}
    return [_sendable(each) for each in value] if isinstance(value, list | tuple) else value


def no_rights_message(error: PermissionError) -> str:
    """What is said where the system refuses a file."""
    where = Path(error.filename).name if isinstance(error.filename, str) else "A file"
    return f"{where} cannot be written or read here; check the rights of its folder."


def add_handlers(app: FastAPI) -> None:
    """Every error becomes a problem document; one that nobody foresaw says that the log tells more."""

    @app.exception_handler(Refused)
    def refused(request: Request, error: Refused) -> JSONResponse:
        return problem(error.status, error.code, error.message, error.headers, **error.more)

    @app.exception_handler(DiskFull)
    def disk_full(request: Request, error: DiskFull) -> JSONResponse:
        return problem(507, "disk_full", str(error), bytes_free=error.bytes_free)

    @app.exception_handler(DamagedSettings)
    def damaged_settings(request: Request, error: DamagedSettings) -> JSONResponse:
        return problem(409, "settings_damaged", str(error))

    @app.exception_handler(StaleSettings)
    def stale_settings(request: Request, error: StaleSettings) -> JSONResponse:
        now = error.kept.settings.model_dump(mode="json")
        return problem(409, "stale", str(error), settings=now, version=error.kept.version)

    @app.exception_handler(UserError)
    def user_error(request: Request, error: UserError) -> JSONResponse:
        return problem(422, error.code, str(error))

    @app.exception_handler(RequestValidationError)
    def validation(request: Request, error: RequestValidationError) -> JSONResponse:
        found = [{"where": ".".join(map(str, each["loc"])), "message": each["msg"]} for each in error.errors()]
        lines = "; ".join(f"{each['where']}: {each['message']}" for each in found[:5])
        return problem(422, "invalid_request", f"The request is not understood: {lines}.", errors=found)

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> JSONResponse:
        phrase = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
        code = _CODES.get(error.status_code, phrase)
        detail = str(error.detail) if error.detail else HTTPStatus(error.status_code).description
        if error.status_code == HTTPStatus.NOT_FOUND and error.detail == HTTPStatus.NOT_FOUND.phrase:
            detail = f"There is nothing at {request.url.path}."
        return problem(error.status_code, code, detail, error.headers)

    @app.exception_handler(Exception)
    def unforeseen(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, "unforeseen", "Something went wrong in the server that nobody foresaw; its log says more.")
