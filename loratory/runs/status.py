"""What a run is doing, in one small file that is always whole."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

from loratory.errors import UserError
from loratory.files import declare_points, patiently, write_json
from loratory.runs.lock import is_held

declare_points("status")

State = Literal[
    "queued", "starting", "caching", "training", "validating", "sampling", "saving", "finished", "stopped", "failed"
]  # fmt: skip
STATES: tuple[str, ...] = get_args(State)
ACTIVE_STATES = frozenset({"starting", "caching", "training", "validating", "sampling", "saving"})
DIED = "died"

STATUS_FILE = "status.json"
LOCK_FILE = "lock"


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a run and how far it is. Times are UTC texts; `state` is one of STATES, or "died" when read.

    `id` is the run's ULID, `name` what its exports are called. `error` has `kind` and `message`. `best_step` is the
    step that had `best_validation_loss`.
    """

    id: str
    name: str
    state: str
    created: str
    updated: str
    started: str | None = None
    step: int | None = None
    total_steps: int | None = None
    epoch: int | None = None
    eta_seconds: float | None = None
    iterations_per_second: float | None = None
    validation_loss: float | None = None
    best_validation_loss: float | None = None
    best_step: int | None = None
    message: str | None = None
    error: Mapping[str, str] | None = None


class Progress(TypedDict, total=False):
    """What an engine says of its work besides the state; the meaning is that of the fields of Status."""

    step: int | None
    total_steps: int | None
    epoch: int | None
    eta_seconds: float | None
    iterations_per_second: float | None
    validation_loss: float | None
    best_validation_loss: float | None
    best_step: int | None
    message: str | None
    error: Mapping[str, str] | None


_FIELDS = frozenset(field.name for field in fields(Status))
PROGRESS_FIELDS = frozenset(Progress.__annotations__)


def write_status_file(folder: Path, status: Status) -> None:
    """Replace a run folder's status.json. Numbers that are not finite become null. Raises DiskFull."""
    values = asdict(status)
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            values[name] = None
    write_json(folder / STATUS_FILE, values, point="status")


def read_status_file(folder: Path) -> Status:
    """A run folder's status as it was written last, be its writer alive or not.

    Raises UserError when the folder is no run folder or the file is damaged. Fields of later versions are left out.
    """
    path = folder / STATUS_FILE
    try:
        content = patiently(path.read_bytes)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{folder} is not a run folder: it has no {STATUS_FILE}; give the folder of a run.") from error
    try:
        values: dict[str, Any] = json.loads(content)
        status = Status(**{name: value for name, value in values.items() if name in _FIELDS})
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}); restore it from a copy, or remove the run folder.") from error
    if status.state not in STATES:
        raise UserError(f"{path} has the unknown state {status.state!r}; it may be of a newer version: update first.")
    return status


def read_status(folder: Path) -> Status:
    """A run folder's status; the state is "died" when it says that work goes on but no process holds the lock."""
    status = read_status_file(folder)
    while status.state in ACTIVE_STATES and not is_held(folder / LOCK_FILE):
        again = read_status_file(folder)
        if again == status:
            return replace(status, state=DIED, eta_seconds=None)
        status = again  # it ended, or another process took over, between the two looks
    return status
