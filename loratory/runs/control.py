"""Requests to a running job: files that others rename into `control/` and the engine answers."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from loratory.errors import UserError
from loratory.files import declare_points, patiently, write_json
from loratory.runs.names import is_ulid, new_ulid, ulid_time
from loratory.runs.status import STATUS_FILE

declare_points("request")

Kind = Literal["stop", "save", "sample", "prompts"]
KINDS: tuple[str, ...] = get_args(Kind)
CONTROL_FOLDER = "control"

_LARGEST_REQUEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """Something that a person asked of a run: its ULID, its kind, what belongs to it, and the file it came in."""

    id: str
    kind: str
    path: Path
    payload: dict[str, Any] = field(default_factory=dict)

    @property
    def time(self) -> datetime:
        """When it was asked, in UTC."""
        return ulid_time(self.id)


class BrokenRequest(UserError):
    """A file in `control/` that is no request."""


def request(run_path: Path, kind: Kind, payload: Mapping[str, Any] | None = None) -> str:
    """Ask a run to stop, save, sample or take new prompts; returns the request's id, which the answering event names.

    Raises UserError for a folder that is no run, an unknown kind or a payload of more than 1 MiB; ValueError for one
    that is not JSON.
    """
    if kind not in KINDS:
        raise UserError(f"A run cannot be asked to {kind!r}; it understands {', '.join(KINDS)}.")
    if not (run_path / STATUS_FILE).is_file():
        raise UserError(f"{run_path} is not a run folder: it has no {STATUS_FILE}; give the folder of a run.")
    values = dict(payload or {})
    size = len(json.dumps(values, ensure_ascii=False).encode("utf-8"))
    if size > _LARGEST_REQUEST:
        raise UserError(f"The request {kind!r} has {size} bytes, and a run takes {_LARGEST_REQUEST}; make it shorter.")
    identifier = new_ulid()
    folder = run_path / CONTROL_FOLDER
    folder.mkdir(exist_ok=True)
    write_json(folder / f"{identifier}-{kind}.json", values, point="request")
    return identifier


def request_files(control: Path) -> list[Path]:
    """The requests that wait, oldest first; one look at the folder and nothing more when there are none."""
    try:
        with os.scandir(control) as entries:
            names = [
                entry.name
                for entry in entries
                if entry.name.endswith(".json") and not entry.name.startswith(".") and entry.is_file()
            ]
    except FileNotFoundError:
        return []
    return [control / name for name in sorted(names)]


def read_request(path: Path) -> Request:
    """Read one request file. Raises BrokenRequest with the reason when it is none."""
    identifier, _, kind = path.stem.partition("-")
    if not is_ulid(identifier) or kind not in KINDS:
        raise BrokenRequest(f"{path.name} is not named <ulid>-<kind>.json with a kind of {', '.join(KINDS)}.")
    content = patiently(path.read_bytes)
    if len(content) > 2 * _LARGEST_REQUEST:
        raise BrokenRequest(f"{path.name} has {len(content)} bytes, which is too long for a request.")
    try:
        payload = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BrokenRequest(f"{path.name} is not JSON ({error}).") from error
    if not isinstance(payload, dict):
        raise BrokenRequest(f"{path.name} holds a {type(payload).__name__}, not an object with named values.")
    return Request(identifier, kind, path, payload)
