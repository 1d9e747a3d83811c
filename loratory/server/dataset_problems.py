"""What can be wrong with a wish about datasets, as problem documents."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from loratory.data.images import BrokenImage
from loratory.datasets.errors import NotThere, QueryError, Stale, StillScanning, Taken
from loratory.runs.lock import LockHeld
from loratory.server.problems import no_rights_message, problem


def add_dataset_handlers(app: FastAPI) -> None:
    """Each kind of error has a code of its own; one of a kind that is not named here is an `invalid` one."""

    @app.exception_handler(NotThere)
    def not_there(request: Request, error: NotThere) -> JSONResponse:
        return problem(404, error.code, str(error))

    @app.exception_handler(Taken)
    def taken(request: Request, error: Taken) -> JSONResponse:
        return problem(409, error.code, str(error))

    @app.exception_handler(StillScanning)
    def still_scanning(request: Request, error: StillScanning) -> JSONResponse:
        return problem(409, error.code, str(error), {"Retry-After": "1"}, done=error.done, total=error.total)

    @app.exception_handler(LockHeld)
    def busy(request: Request, error: LockHeld) -> JSONResponse:
        return problem(409, "busy", str(error))

    @app.exception_handler(Stale)
    def stale(request: Request, error: Stale) -> JSONResponse:
        differences = [asdict(each) for each in error.differences]
        return problem(409, error.code, str(error), count=error.count, differences=differences)

    @app.exception_handler(QueryError)
    def query(request: Request, error: QueryError) -> JSONResponse:
        return problem(422, error.code, str(error), start=error.start, end=error.end)

    @app.exception_handler(PermissionError)
    def no_rights(request: Request, error: PermissionError) -> JSONResponse:
        return problem(403, "no_rights", no_rights_message(error))

    @app.exception_handler(BrokenImage)
    def broken(request: Request, error: BrokenImage) -> JSONResponse:
        return problem(422, "broken_picture", f"The picture {error.path.name} {error.reason}")
