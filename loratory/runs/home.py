"""The folder in which Loratory keeps everything that is not a run elsewhere, and the list of those runs."""

import os
from pathlib import Path
from typing import Literal

from loratory.errors import UserError
from loratory.files import APPEND_STEPS, HOME_VARIABLE, declare_points, home
from loratory.runs import jsonl
from loratory.runs.lock import exclusive
from loratory.runs.names import utc_now
from loratory.runs.status import STATUS_FILE

declare_points("registry")
declare_points("registry", steps=APPEND_STEPS)

__all__ = ["HOME_VARIABLE", "HomeFolder", "home", "home_folder", "known_runs", "register_run"]

HomeFolder = Literal["datasets", "output", "models", "cache", "trash", "state"]

_REGISTRY = "runs.jsonl"
_REGISTRY_LOCK = "runs.lock"
_REGISTRY_WAIT_SECONDS = 10.0


def home_folder(name: HomeFolder) -> Path:
    """One of the folders in `home()`, made if need be. Raises UserError when that is not possible."""
    folder = home() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be made ({error.strerror}); set {HOME_VARIABLE} to a folder that you may write to."
        ) from error
    return folder


def register_run(path: Path, run_id: str) -> None:
    """Enter a run that does not lie directly in the home's `output` folder, once. Raises UserError or DiskFull."""
    path = path.resolve()
    if path.parent == (home() / "output").resolve():
        return
    state = home_folder("state")
    with exclusive(state / _REGISTRY_LOCK, wait_seconds=_REGISTRY_WAIT_SECONDS):
        if path in _registered(state / _REGISTRY):
            return
        record = {"path": str(path), "id": run_id, "time": utc_now()}
        jsonl.append(state / _REGISTRY, [jsonl.encode(record)], point="registry")


def _registered(registry: Path) -> dict[Path, None]:
    return {Path(record["path"]): None for record in jsonl.iterate(registry) if isinstance(record.get("path"), str)}


def known_runs() -> list[Path]:
    """The folders of all runs in the home's `output` folder and in the registry that are there now."""
    found = dict.fromkeys([*_inside(home() / "output"), *_registered(home() / "state" / _REGISTRY)])
    return [path for path in found if os.path.isfile(f"{path}/{STATUS_FILE}")]  # noqa: PTH113  quick for thousands


def _inside(output: Path) -> list[Path]:
    """What lies in the output folder, by name; links are followed."""
    if not output.is_dir():
        return []
    with os.scandir(output.resolve()) as entries:
        found = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
        return [Path(entry.path).resolve() if entry.is_symlink() else Path(entry.path) for entry in found]
