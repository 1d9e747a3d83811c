"""What a person chose for this install, in one file: `LORATORY_HOME/state/settings.yaml`.

The file may be edited by hand. It is replaced as a whole and only by who has seen its present form; a damaged one is
said and stays as it is. Tokens are not in it (`loratory.tokens`).
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from loratory.config.base import StrictModel
from loratory.config.plain import read_yaml, write_yaml
from loratory.errors import UserError
from loratory.files import declare_points, home, write_private
from loratory.runs import home_folder

declare_points("settings")

RootKind = Literal["datasets", "models"]

_MOST_BYTES = 1_000_000
_SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr", "/var/run",
           "C:\\Windows", "C:\\Program Files")  # fmt: skip


def _root_folder(text: str) -> str:
    path = Path(text).expanduser()
    if "\0" in text or not path.is_absolute():
        raise ValueError("must be the whole path of a folder")
    resolved, ours = path.resolve(), home().resolve()
    if resolved in (Path(resolved.anchor), Path.home().resolve(), *Path.home().resolve().parents):
        raise ValueError("is too much: choose a folder that holds only pictures or models")
    if ours == resolved or resolved in ours.parents or ours in resolved.parents:
        raise ValueError(f"holds, or is part of, Loratory's own folder {ours}; choose one beside it")
    if any(resolved == system or system in resolved.parents for system in map(Path, _SYSTEM)) or any(
        part.startswith(".") for part in resolved.parts
    ):
        raise ValueError("belongs to the system or is hidden; choose a folder that holds only pictures or models")
    return str(resolved)


Folder = Annotated[str, Field(max_length=4096), AfterValidator(_root_folder)]


class Paths(StrictModel):
    """Folders beside those of LORATORY_HOME that may be looked into and, datasets, worked in."""

    datasets: tuple[Folder, ...] = Field(
        default=(), max_length=64, description="Folders that hold datasets, each a folder."
    )
    models: tuple[Folder, ...] = Field(default=(), max_length=64, description="Folders that hold model files.")


class Access(StrictModel):
    """Who must show the token. Takes effect at once."""

    ask_on_this_machine: bool = Field(
        default=False,
        description="Ask for the token on this machine, too: others who have accounts on it could come in.",
    )
    session_days: int = Field(default=30, ge=1, le=365, description="How many days a browser stays logged in.")


class Settings(StrictModel):
    """Everything that can be chosen."""

    paths: Paths = Paths()
    access: Access = Access()


@dataclass(frozen=True)
class Kept:
    """The settings, and the version of the file they are from: another one after each change, by hand too."""

    settings: Settings
    version: str


@dataclass(frozen=True)
class Root:
    """A folder whose content may be named by clients: the root's id and a path relative to it."""

    id: str
    kind: RootKind
    path: Path


class DamagedSettings(UserError):
    """The file is there and cannot be understood. It is not written over."""


class StaleSettings(UserError):
    """The file is another one than the change was based on. `kept` is the present one."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        super().__init__("The settings were changed in the meantime; look at them as they are now, and try again.")


_writing = threading.Lock()


def settings_path() -> Path:
    """The file. It may not exist: then everything is as it comes."""
    return home() / "state" / "settings.yaml"


def read_settings() -> Kept:
    """The settings as they are now. Raises DamagedSettings."""
    path = settings_path()
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return Kept(Settings(), "0")
    except OSError as error:
        raise DamagedSettings(f"The settings {path} cannot be read ({error.strerror}); make the file yours.") from error
    advice = "Correct the file, or move it away to begin with settings as they come."
    try:
        data = read_yaml(raw.decode("utf-8-sig"), str(path)) if len(raw) <= _MOST_BYTES else ""
        settings = Settings.model_validate({} if data is None else data)
    except ValidationError as error:
        raise DamagedSettings(f"{path}: {mistakes(error)}. {advice}") from error
    except (UserError, UnicodeDecodeError) as error:
        raise DamagedSettings(f"The settings cannot be understood. {error} {advice}") from error
    return Kept(settings, hashlib.sha256(raw).hexdigest()[:12])


def change_settings(new: Settings, version: str) -> Kept:
    """Replace the settings of this version. Raises StaleSettings, DamagedSettings, UserError or DiskFull; then nothing
    is changed."""
    with _writing:
        kept = read_settings()
        if kept.version != version:
            raise StaleSettings(kept)
        _check_there(new, kept.settings)
        home_folder("state")
        write_private(settings_path(), write_yaml(new.model_dump(mode="json")), "settings")
        return read_settings()


def _check_there(new: Settings, old: Settings) -> None:
    """Folders that are new must be there; one on a disk that is not plugged in may stay."""
    for kind in ("datasets", "models"):
        for folder in set(getattr(new.paths, kind)) - set(getattr(old.paths, kind)):
            if not Path(folder).is_dir():
                raise UserError(f"paths.{kind}: there is no folder {folder}; make it first, or correct the path.")


def mistakes(error: ValidationError) -> str:
    """What is wrong, in one line."""
    found = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'settings'}: {each['msg']}" for each in found[:5])


def roots(kind: RootKind) -> list[Root]:
    """Where datasets, or models, may be: the home's own folder first. Ids last as long as the paths do. Raises
    DamagedSettings."""
    own = home_folder(kind)
    found = dict.fromkeys([own, *(Path(folder) for folder in getattr(read_settings().settings.paths, kind))])
    return [Root("home" if path == own else _identifier(path), kind, path) for path in found]


def _identifier(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
