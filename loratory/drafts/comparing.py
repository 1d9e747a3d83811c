"""Jobs, runs, presets and the defaults, by the names that people give them, to be compared with `config.diff`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loratory.config import presets
from loratory.config.diff import Side
from loratory.config.load import load
from loratory.config.plain import read_file
from loratory.config.train import TrainConfig
from loratory.drafts.reading import read_job
from loratory.errors import UserError

DEFAULTS = "defaults"


def usual(side: Side) -> str:
    """What something is compared with if nothing is said: the preset that it names, or else the defaults."""
    of = side.of
    return of.preset if isinstance(of, TrainConfig) and of.preset is not None else DEFAULTS


def side_of(name: str) -> Side:
    """A job file, a run's folder, a preset by name or file, or the word `defaults`. Raises UserError."""
    if name == DEFAULTS:
        return Side(DEFAULTS, None)
    path = Path(name)
    if not path.exists() and (preset := presets.find_or_none(name)) is not None:
        return Side(name, preset)
    if path.is_file() and _is_preset(read_file(path)):
        return Side(name, presets.find(name))
    if not path.exists():
        raise UserError(f"There is no job file, no run's folder and no preset {name}; `loratory presets` lists these.")
    return Side(name, read_job(path, ())[0])


def _is_preset(data: Any) -> bool:
    return isinstance(data, Mapping) and "settings" in data


def run_side(folder: Path) -> Side:
    """The config of the run in this folder. Raises UserError."""
    return Side(folder.name, load(folder / "config.yaml", frozen=True))
