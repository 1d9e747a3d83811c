"""Read a job file, apply `--set`, and turn every mistake into one readable line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from pydantic import BaseModel, ValidationError

from loratory.config import presets
from loratory.config.base import param_of
from loratory.config.fields import is_list_of_sections, section_types
from loratory.config.migrate import migrate
from loratory.config.mistakes import describe, from_sentence
from loratory.config.model import ModelConfig, SideAdapterConfig
from loratory.config.plain import ConfigError, Mistake, read_file, read_yaml, write_yaml
from loratory.config.presets import fill
from loratory.config.train import JobConfig, TrainConfig
from loratory.errors import UserError
from loratory.secrets import SECRET_VARIABLES, is_secret_name


def load(path: Path, overrides: Sequence[str] = (), *, frozen: bool = False) -> JobConfig:
    """The job a file describes; `frozen`: it is a run's own copy, in which a preset's settings are written out.

    Relative paths in the file count from the file's folder, those in `overrides` (`a.b=value`) from the current one.
    Raises ConfigError for anything that is wrong.
    """
    data = read_plain(path)
    if isinstance(data, dict):
        for override in overrides:
            if frozen and override.partition("=")[0].strip() == "preset":
                raise UserError(f"--set {override}: all settings of a run are in its config; a preset cannot fill any.")
            apply_override(data, override)
    return parse(data, str(path), frozen=frozen)


def read_plain(path: Path) -> Any:
    """What a job file holds, with its paths made absolute. Raises ConfigError."""
    return placed(read_file(path), path.absolute().parent, str(path))


def placed(data: Any, folder: Path, source: str) -> Any:
    """Plain data of a job with its relative paths made absolute: they count from `folder`. Raises ConfigError."""
    if not isinstance(data, dict):
        return data
    try:
        data = absolute_paths(data, folder)
        if isinstance(data.get("preset"), str) and presets.is_file_name(data["preset"]):
            data["preset"] = _absolute(data["preset"], folder, may_be_id=False)
    except (UserError, ValueError) as error:
        raise ConfigError(source, [from_sentence(str(error))]) from error
    return data


def parse(data: Any, source: str, *, frozen: bool = False) -> JobConfig:
    """Check plain data against the config classes. `source` names it in messages; `frozen` as in `load`."""
    if not isinstance(data, Mapping):
        raise ConfigError(source, ["a job file holds keys and values, such as `job: train`; this one does not"])
    if data.get("job", "train") != "train":
        wrong = Mistake(f"{data['job']!r} is not a kind of job; known: train", "job", "unknown_type", {"job": "train"})
        raise ConfigError(source, [wrong])
    data = migrate(dict(data), source)
    if isinstance(data.get("preset"), str) and not frozen:
        data = fill(data, _preset(data["preset"], source))
    try:
        return TrainConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(source, describe(error)) from error


def _preset(name: str, source: str) -> Mapping[str, Any]:
    try:
        return presets.find(name).settings
    except ConfigError:
        raise  # what is wrong with a preset's own file
    except UserError as error:
        raise ConfigError(source, [Mistake(str(error), "preset", "unknown_preset")]) from error


def apply_override(data: dict[str, Any], override: str) -> None:
    """Put `a.b=value` into plain data; the value is read as YAML. `datasets.0.path=…` reaches into a list."""
    path, equals, text = override.partition("=")
    parts = path.strip().split(".")
    if not equals or not all(parts):
        raise UserError(f"--set {override}: write it as section.key=value, for example --set network.rank=32.")
    try:
        value = absolute_paths(_nested(parts, read_yaml(text, f"--set {override}")), Path.cwd())
    except ConfigError:
        raise
    except UserError as error:
        raise UserError(f"--set {error}") from error
    _merge(data, value, f"--set {override}")


def _nested(parts: Sequence[str], value: Any) -> Any:
    for part in reversed(parts):
        value = {part: value}
    return value


def _merge(target: dict[str, Any], change: Mapping[str, Any], source: str) -> None:
    for key, value in change.items():
        current = target.get(key)
        if isinstance(current, list) and isinstance(value, Mapping):
            for index, inner in value.items():
                if not str(index).isdigit() or int(index) > len(current):
                    raise UserError(f"{source}: {key} is a list of {len(current)}; count from 0, as in {key}.0")
                if int(index) == len(current):
                    current.append({})
                if isinstance(inner, Mapping) and isinstance(current[int(index)], dict):
                    _merge(current[int(index)], inner, source)
                else:
                    current[int(index)] = inner
        elif isinstance(current, dict) and isinstance(value, Mapping):
            _merge(current, value, source)
        elif isinstance(current, str) and isinstance(value, Mapping):
            target[key] = {"type": current, **value}  # `optimizer: adamw8bit` names no more than its type
        elif isinstance(value, Mapping) and value and all(str(k).isdigit() for k in value):
            target[key] = []
            _merge(target, change, source)
        else:
            target[key] = value


def absolute_paths(data: Any, folder: Path, model: type[BaseModel] = TrainConfig, place: str = "") -> Any:
    """Plain data with its relative local paths made absolute, ~ and ${NAME} written out.

    A value that may also be a Hub id or the word `demo` is taken as a path only where it starts with a dot or exists.
    Raises UserError that names the parameter; `place` is the path of the section that data is.
    """
    if not isinstance(data, Mapping):
        return data
    result: dict[str, Any] = {}
    for key, value in data.items():
        field = model.model_fields.get(str(key))
        sections = section_types(field.annotation) if field else []
        here = f"{place}{key}"
        if field is None:
            result[key] = value
        elif sections:
            inner = _section_for(value, sections)
            if is_list_of_sections(field.annotation) and isinstance(value, list):
                result[key] = [
                    absolute_paths(each, folder, inner, f"{here}.{number}.") for number, each in enumerate(value)
                ]
            elif is_list_of_sections(field.annotation) and isinstance(value, Mapping):
                result[key] = {
                    number: absolute_paths(each, folder, inner, f"{here}.{number}.") for number, each in value.items()
                }
            else:
                result[key] = absolute_paths(value, folder, inner, f"{here}.")
        elif param_of(model, str(key)).path:
            try:
                result[key] = _absolute(value, folder, may_be_id=model in (ModelConfig, SideAdapterConfig))
            except ValueError as error:
                raise UserError(f"{here}: {error}") from error
        else:
            result[key] = value
    return result


def _section_for(value: Any, sections: list[type[BaseModel]]) -> type[BaseModel]:
    kind = value.get("type") if isinstance(value, Mapping) else None
    for section in sections:
        field = section.model_fields.get("type")
        if field is not None and field.default == kind:
            return section
    return sections[0]


def _absolute(value: Any, folder: Path, *, may_be_id: bool) -> Any:
    """A path made absolute; of a mapping, each value. Raises ValueError for one that cannot be."""
    if isinstance(value, Mapping):
        return {name: _absolute(each, folder, may_be_id=may_be_id) for name, each in value.items()}
    if not isinstance(value, str) or not value:
        return value
    value = _with_variables(value)
    if any(ord(sign) < 32 for sign in value):
        raise ValueError(
            f"{value!r} holds a sign that no path has; in double quotes a backslash begins such a sign, so write paths "
            "of Windows in single quotes, or with /"
        )
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"{value}: there is no user {value.partition('/')[0][1:]}; write the path out") from None
    if path.is_absolute():
        return str(path)
    if PureWindowsPath(value).is_absolute():
        return value  # of another machine: it stays recognisable
    local = folder / path
    if may_be_id and not value.startswith((".", "~")) and not local.exists():
        return value
    # normpath-like: "./dog" becomes "<folder>/dog" without following links
    return str(Path(*[part for part in local.parts if part != "."]))


_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def _with_variables(path: str) -> str:
    """A path in which ${NAME} is what the environment says. Raises ValueError for a name that is not set."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"{path}: {match[0]} is no environment variable; write ${{NAME}}")
        if name in SECRET_VARIABLES or is_secret_name(name):
            raise ValueError(f"{path}: {name} is a secret, and secrets do not belong into a job file")
        if not os.environ.get(name):
            raise ValueError(f"{path}: the environment variable {name} is not set; set it, or write the path out")
        return os.environ[name]

    return _VARIABLE.sub(value, path)


def dump(config: BaseModel) -> str:
    """The whole config as YAML, for the run folder. Secrets never get in: no field that holds one is written."""
    data = _without_secrets(config, config.model_dump(mode="json"))
    return write_yaml(data)


def _without_secrets(config: BaseModel, data: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            result[name] = _without_secrets(value, data[name])
        elif is_list_of_sections(field.annotation):
            result[name] = [_without_secrets(*pair) for pair in zip(value, data[name], strict=True)]
        elif not param_of(type(config), name).secret:
            result[name] = data[name]
    return result
