"""Presets: named differences from the defaults, that a job file names and whose settings its own fields override."""

from __future__ import annotations

import difflib
from pathlib import Path

from loratory.config.presets.base import Preset, check_settings, fill
from loratory.config.presets.built_in import built_in, nearest_card, preset_name
from loratory.config.presets.own import (
    as_text,
    is_file_name,
    own_names,
    own_or_problem,
    own_path,
    preset_of,
    read_preset,
    save,
    settings_of,
)
from loratory.errors import UserError

__all__ = [
    "Preset", "as_text", "built_in", "check_settings", "fill", "find", "find_or_none", "is_file_name", "known",
    "nearest_card", "own_names", "own_or_problem", "own_path", "preset_name", "preset_of", "save", "settings_of",
]  # fmt: skip


def find(name: str, near: Path | None = None) -> Preset:
    """The preset of this name, or in this file (relative to `near`, or to the current folder). Raises UserError.

    One that comes along goes before a person's own of the same name, so that a name means the same everywhere.
    """
    found = find_or_none(name, near)
    if found is not None:
        return found
    likely = difflib.get_close_matches(name, known(), n=1, cutoff=0.5)
    hint = f"did you mean {likely[0]}?" if likely else ""
    raise UserError(f"There is no preset {name!r}; {hint or '`loratory presets` lists those that there are.'}")


def find_or_none(name: str, near: Path | None = None) -> Preset | None:
    """Like `find`, and None where there is none. Raises UserError for a file that is no preset."""
    if is_file_name(name):
        path = (near or Path.cwd()) / Path(name).expanduser()
        return read_preset(path) if path.exists() else None
    if name in built_in():
        return built_in()[name]
    # Names with a slash would reach out of the folder.
    path = own_path(name)
    return read_preset(path) if path.name == f"{name}.yaml" and path.exists() else None


def known() -> list[str]:
    """The names of all."""
    return [*built_in(), *own_names()]
