"""Settings of this install, and tokens of other services, which are only written and never told."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from loratory import tokens
from loratory.secrets import SECRET_VARIABLES
from loratory.server.context import Here
from loratory.server.problems import Refused
from loratory.settings import Settings, change_settings, read_settings

router = APIRouter(prefix="/api/settings", tags=["settings"])


class SettingsAnswer(BaseModel):
    """The settings as they are now."""

    settings: Settings
    version: str
    """Give it back with a change: the change is refused when somebody else was faster."""


class SettingsChange(BaseModel):
    """Settings in place of those of a version."""

    model_config = ConfigDict(extra="forbid")

    settings: Settings
    version: str = Field(max_length=64)


class TokenFact(BaseModel):
    """What may be known of a token."""

    name: str
    is_set: bool
    source: Literal["environment", "kept"] | None
    """kept: in Loratory's own file; environment: a variable or a `.env` file, which comes first."""


class TokenValue(BaseModel):
    """A token."""

    model_config = ConfigDict(extra="forbid")

    value: SecretStr = Field(min_length=1, max_length=4096)


@router.get("")
def read_the_settings() -> SettingsAnswer:
    """Read the settings."""
    kept = read_settings()
    return SettingsAnswer(settings=kept.settings, version=kept.version)


@router.put("")
def change_the_settings(change: SettingsChange, here: Here) -> SettingsAnswer:
    """Replace the settings. 409 where they are not those of `version` any more; the answer holds the present ones."""
    kept = change_settings(change.settings, change.version)
    here.settings = kept.settings
    here.bus.publish("settings", {"version": kept.version})
    return SettingsAnswer(settings=kept.settings, version=kept.version)


def _facts() -> list[TokenFact]:
    known = tokens.sources()
    return [TokenFact(name=name, is_set=name in known, source=known.get(name)) for name in SECRET_VARIABLES]


@router.get("/tokens")
def list_tokens() -> list[TokenFact]:
    """Say which tokens of other services are set, never what they are."""
    return _facts()


@router.put("/tokens/{name}")
def set_token(name: str, body: TokenValue) -> list[TokenFact]:
    """Keep a token for use from now on."""
    _known(name)
    tokens.keep_token(name, body.value.get_secret_value())
    return _facts()


@router.delete("/tokens/{name}")
def remove_token(name: str) -> list[TokenFact]:
    """Keep a token no longer."""
    _known(name)
    tokens.forget_token(name)
    return _facts()


def _known(name: str) -> None:
    if name not in SECRET_VARIABLES:
        raise Refused(404, "no_such_token", f"There is no token {name!r}; there are {', '.join(SECRET_VARIABLES)}.")
