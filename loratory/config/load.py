"""Read a job file, apply `--set`, and turn every mistake into one readable line."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from loratory.config.base import param_of
from loratory.config.fields import is_list_of_sections, section_types
from loratory.config.migrate import migrate
from loratory.config.mistakes import describe
from loratory.config.model import ModelConfig, SideAdapterConfig
from loratory.config.train import JobConfig, TrainConfig
from loratory.errors import UserError


class ConfigError(UserError):
    """A job file that does not say what to do. `problems` holds one line each."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  - {line}" for line in problems) if len(problems) > 1 else f" {problems[0]}"
        super().__init__(f"{source}:{lines}")


_TAG = "tag:yaml.org,2002:"
_EXPONENT = re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: a key given twice is refused, 1e-4 is a number (YAML 1.1 wants 1.0e-4), and `off` and
    2024-01-01 are words: `caching.latents: off` names a mode, and a run may be called by a date."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == f"{_TAG}merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (f"{_TAG}bool", f"{_TAG}timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(f"{_TAG}float", *_EXPONENT)


class _Dumper(yaml.SafeDumper):
    """Puts quotes around a text such as 1e4, which `_Loader` would read as a number, and escapes rare line breaks."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # Written as they are, these would be read as spaces: only double quotes make PyYAML escape them.
    style = '"' if any(sign in value for sign in "\x85\u2028\u2029") else None
    return dumper.represent_scalar(f"{_TAG}str", value, style=style)


_Dumper.add_implicit_resolver(f"{_TAG}float", *_EXPONENT)
_Dumper.add_representer(str, _text)


def read_yaml(text: str, source: str) -> Any:
    """Parse YAML (or JSON, which is YAML). Raises ConfigError with line and column."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ConfigError(source, [f"{error.problem}{where}"]) from error
    except yaml.YAMLError as error:
        raise ConfigError(source, [str(error).replace("\n", " ")]) from error


def load(path: Path, overrides: Sequence[str] = ()) -> JobConfig:
    """The job a file describes.

    Relative paths in the file count from the file's folder, those in `overrides` (`a.b=value`) from the current one.
    Raises ConfigError for anything that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"There is no job file {path}; give the path of a .yaml file or of a run's folder.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"The job file {path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    except OSError as error:
        raise UserError(f"The job file {path} cannot be read: {error.strerror or error}.") from error
    data = read_yaml(text, str(path))
    if isinstance(data, dict):
        data = absolute_paths(data, path.absolute().parent)
        for override in overrides:
            apply_override(data, override)
    return parse(data, str(path))


def parse(data: Any, source: str) -> JobConfig:
    """Check plain data against the config classes. `source` names it in messages."""
    if not isinstance(data, Mapping):
        raise ConfigError(source, ["a job file holds keys and values, such as `job: train`; this one does not"])
    if data.get("job", "train") != "train":
        raise ConfigError(source, [f"job: {data['job']!r} is not a kind of job; known: train"])
    try:
        return TrainConfig.model_validate(migrate(dict(data), source))
    except ValidationError as error:
        raise ConfigError(source, describe(error)) from error


def apply_override(data: dict[str, Any], override: str) -> None:
    """Put `a.b=value` into plain data; the value is read as YAML. `datasets.0.path=…` reaches into a list."""
    path, equals, text = override.partition("=")
    parts = path.strip().split(".")
    if not equals or not all(parts):
        raise UserError(f"--set {override}: write it as section.key=value, for example --set network.rank=32.")
    value = absolute_paths(_nested(parts, read_yaml(text, f"--set {override}")), Path.cwd())
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


def absolute_paths(data: Any, folder: Path, model: type[BaseModel] = TrainConfig) -> Any:
    """Plain data with its relative local paths made absolute.

    A value that may also be a Hub id or the word `demo` is taken as a path only where it starts with a dot or exists.
    """
    if not isinstance(data, Mapping):
        return data
    result: dict[str, Any] = {}
    for key, value in data.items():
        field = model.model_fields.get(str(key))
        sections = section_types(field.annotation) if field else []
        if field is None:
            result[key] = value
        elif sections:
            inner = _section_for(value, sections)
            if is_list_of_sections(field.annotation) and isinstance(value, list):
                result[key] = [absolute_paths(element, folder, inner) for element in value]
            elif is_list_of_sections(field.annotation) and isinstance(value, Mapping):
                result[key] = {index: absolute_paths(element, folder, inner) for index, element in value.items()}
            else:
                result[key] = absolute_paths(value, folder, inner)
        elif param_of(model, str(key)).path:
            result[key] = _absolute(value, folder, may_be_id=model in (ModelConfig, SideAdapterConfig))
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
    """A path made absolute; of a mapping, each value."""
    if isinstance(value, Mapping):
        return {name: _absolute(each, folder, may_be_id=may_be_id) for name, each in value.items()}
    if not isinstance(value, str) or not value:
        return value
    path = Path(value).expanduser()
    if path.is_absolute():
        return str(path)
    local = folder / path
    if may_be_id and not value.startswith((".", "~")) and not local.exists():
        return value
    # normpath-like: "./dog" becomes "<folder>/dog" without following links
    return str(Path(*[part for part in local.parts if part != "."]))


def dump(config: BaseModel) -> str:
    """The whole config as YAML, for the run folder. Secrets never get in: no field that holds one is written."""
    return write_yaml(_without_secrets(config, config.model_dump(mode="json")))


def write_yaml(data: Any) -> str:
    """Plain data as YAML that `read_yaml` reads as the same data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


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
