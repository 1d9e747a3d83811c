"""Logging in: the token becomes a cookie."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from loratory.server.access import LONGEST, How
from loratory.server.context import Here
from loratory.server.problems import Refused
from loratory.server.security import Admitted, set_session

router = APIRouter(prefix="/api/auth", tags=["auth"])


class Login(BaseModel):
    """The server's token."""

    model_config = ConfigDict(extra="forbid")

    token: SecretStr = Field(max_length=LONGEST)


class Visitor(BaseModel):
    """How the request was let in."""

    how: How
    """open: it comes from the machine itself, and no token is needed; cookie, bearer: by the token."""
    token_needed: bool


def _admitted(request: Request) -> Admitted:
    found = request.scope["admitted"]
    assert isinstance(found, Admitted)
    return found


@router.get("")
def who_am_i(request: Request) -> Visitor:
    """Say how this request was let in."""
    how = _admitted(request).how
    return Visitor(how=how, token_needed=how != "open")


@router.post("/login")
def log_in(body: Login, request: Request, response: Response, here: Here) -> Visitor:
    """Show the token and get the cookie that stands for it."""
    visit = _admitted(request)
    wait = here.gate.attempts.seconds_to_wait(visit.peer)
    if wait:
        raise Refused(429, "too_many_attempts", f"Too many wrong tokens; try again in {wait} seconds.",
                      headers={"retry-after": str(wait)}, seconds=wait)  # fmt: skip
    if not here.gate.is_token(body.token.get_secret_value(), visit.peer):
        raise Refused(401, "wrong_token", "This is not the server's token; take the one that `loratory serve` printed.",
                      headers={"www-authenticate": "Bearer"})  # fmt: skip
    set_session(response, here, visit.https)
    return Visitor(how="cookie", token_needed=True)


@router.post("/logout", status_code=204)
def log_out(request: Request, response: Response, here: Here) -> None:
    """Take the cookie away from this browser."""
    response.delete_cookie(here.gate.cookie, path=here.options.root_path or "/", httponly=True, samesite="lax",
                           secure=_admitted(request).https)  # fmt: skip
