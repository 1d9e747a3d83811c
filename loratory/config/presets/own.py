"""A person's own presets: a YAML file each, in `presets` of LORATORY_HOME or anywhere else, to be given away as it is.

title: Ink drawings
architecture: sdxl          # left out: for all
why: [Learned slowly, because the lines are thin.]
settings:
  network: {rank: 32}
  datasets: {captions: {dropout_rate: 0.1}}     # for each dataset
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loratory.config.architectures import get_spec
from loratory.config.fields import changes
from loratory.config.plain import ConfigError, read_file, write_yaml
from loratory.config.presets.base import Preset, check_settings, may_hold
from loratory.config.presets.built_in import built_in
from loratory.config.train import TrainConfig
from loratory.errors import UserError
from loratory.files import HOME_VARIABLE, declare_points, home, write_text

declare_points("preset")

ENDINGS = (".yaml", ".yml", ".toml", ".json")
_KEYS = ("title", "architecture", "why", "settings")


def folder() -> Path:
    return home() / "presets"


def is_file_name(name: str) -> bool:
    """Is a preset named by its file (./mine.yaml) and not by its name?"""
    return name.lower().endswith(ENDINGS)


def own_names() -> list[str]:
    return sorted(path.stem for path in folder().glob("*.yaml")) if folder().is_dir() else []


def own_path(name: str) -> Path:
    return folder() / f"{name}.yaml"


def read_preset(path: Path) -> Preset:
    """The preset in a file. Raises UserError for a file that is none."""
    return preset_of(read_file(path, "preset"), path.stem, str(path), path)


def own_or_problem(name: str) -> tuple[Preset | None, str | None]:
    """One of a person's own, or the sentence that says why its file is none."""
    try:
        return read_preset(own_path(name)), None
    except UserError as error:
        return None, str(error)


def preset_of(data: Any, name: str, source: str, path: Path | None = None) -> Preset:
    """The preset in plain data of its file. Raises UserError for data that are none."""
    if not isinstance(data, Mapping) or "settings" not in data:
        raise ConfigError(source, ["a preset holds `settings`, and in them what a job file would hold"])
    if unknown := [str(key) for key in data if key not in _KEYS]:
        raise ConfigError(source, [f"{key}: unknown key; a preset has {', '.join(_KEYS)}" for key in unknown])
    title, architecture, why = data.get("title", ""), data.get("architecture"), data.get("why", [])
    if isinstance(why, str):
        why = [why]
    if not isinstance(title, str) or not isinstance(why, list) or not all(isinstance(each, str) for each in why):
        raise ConfigError(source, ["title must be a text, and why a list of texts"])
    if architecture is not None:
        try:
            architecture = get_spec(str(architecture)).name
        except UserError as error:
            raise ConfigError(source, [str(error).replace("model.architecture", "architecture")]) from error
    settings = data["settings"] or {}
    check_settings(settings, source)
    return Preset(name, title, settings, architecture, why=tuple(why), path=path)


def settings_of(config: TrainConfig) -> tuple[dict[str, Any], list[str]]:
    """What of a config differs from the defaults and is a preset's, laid out as one; and what was left out.

    Of datasets counts what all have in common, regularisation sets aside.
    """
    plain = {name: value for name, value in changes(config, may_hold).items() if name != "datasets"}
    sets = [each for each in config.datasets if not each.is_regularisation] or list(config.datasets)
    common, differing = changes(sets[0], may_hold), []
    for other in sets[1:]:
        common, paths = _common(common, changes(other, may_hold), "datasets.")
        differing += paths
    if common:
        plain["datasets"] = common
    return plain, [f"{path} is not the same for all datasets" for path in dict.fromkeys(differing)]


def _common(one: dict[str, Any], other: dict[str, Any], place: str) -> tuple[dict[str, Any], list[str]]:
    same: dict[str, Any] = {}
    differing: list[str] = []
    for key in dict.fromkeys([*one, *other]):
        first, second = one.get(key), other.get(key)
        if isinstance(first, dict) and isinstance(second, dict):
            inside, paths = _common(first, second, f"{place}{key}.")
            differing += paths
            if inside:
                same[key] = inside
        elif first == second:
            same[key] = first
        else:
            differing.append(f"{place}{key}")
    return same, differing


def save(preset: Preset, *, replace: bool = False) -> Path:
    """Write a preset into the folder of a person's own. Raises UserError for a name that is none, or taken."""
    if not re.fullmatch(r"\w(?:[\w .-]{0,78}\w)?", preset.name) or is_file_name(preset.name):
        raise UserError(
            f"{preset.name!r} is no name for a preset: use letters, digits, spaces, - _ and dots inside, and no ending."
        )
    if preset.name in built_in():
        raise UserError(f"{preset.name} is a preset that comes along; choose another name.")
    check_settings(preset.settings, preset.name)
    path = own_path(preset.name)
    if path.exists() and not replace:
        raise UserError(f"There is a preset {preset.name} already ({path}); give --replace to write over it.")
    text = as_text(preset)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{path.parent} cannot be made ({error.strerror}); set {HOME_VARIABLE} to a folder that you may write to."
        ) from error
    write_text(path, text, point="preset")
    return path


def as_text(preset: Preset) -> str:
    """A preset as its file holds it."""
    told = {"title": preset.title, "architecture": preset.architecture, "why": list(preset.why)}
    return write_yaml({key: value for key, value in told.items() if value} | {"settings": dict(preset.settings)})
