"""What a preset is: named differences from the defaults, and how they go beneath a job's own fields."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from loratory.config.base import Param, param_of
from loratory.config.fields import is_list_of_sections, section_types
from loratory.config.mistakes import describe
from loratory.config.optimizers.arguments import settled
from loratory.config.plain import ConfigError
from loratory.config.train import TrainConfig


def may_hold(facts: Param) -> bool:
    """May a preset say it? The rest belongs to the job, its model and its pictures."""
    return facts.owner in ("recipe", "machine") and not facts.path and not facts.secret


ALTERNATIVES: tuple[frozenset[str], ...] = tuple(
    map(frozenset, [
        ("duration.steps", "duration.epochs"),
        ("schedule.warmup_steps", "schedule.warmup_ratio"),
        ("schedule.decay_steps", "schedule.decay_ratio"),
        ("optimizer.fused_backward_pass", "optimizer.fused_optimizer_groups"),
    ])
)  # fmt: skip
"""Ways to say one thing: a job that gives one of them does not get another one from a preset."""


@dataclass(frozen=True)
class Preset:
    """`settings` are laid out as a job file, only that `datasets` is a mapping: what holds for each of them."""

    name: str
    title: str
    settings: Mapping[str, Any]
    architecture: str | None = None
    """The one that it is for; None where it fits all."""
    goal: str = ""
    memory: int | None = None
    """GB of the graphics card that it is for."""
    why: tuple[str, ...] = ()
    """What it chooses, and why: a sentence each."""
    path: Path | None = None
    """The file of a person's own."""


def fill(data: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data of a job with a preset's settings wherever it gives none of its own.

    A section of another type than the preset's (an optimizer, a network, a schedule) stays the job's own as a whole:
    what is right for one optimizer is not for another.
    """
    return _fill(data, settings, TrainConfig, "")


def _fill(data: Mapping[str, Any], settings: Mapping[str, Any], model: type[BaseModel], place: str) -> dict[str, Any]:
    result = dict(data)
    for key, value in settings.items():
        path = f"{place}{key}"
        annotation = model.model_fields[key].annotation
        given = data.get(key)
        if path == "datasets":
            if isinstance(given, list):
                (section,) = section_types(annotation)
                result[key] = [
                    _fill(each, value, section, "") if isinstance(each, Mapping) else each for each in given
                ]  # fmt: skip
        elif key not in data:
            if not any(path in group and _gives(data, place, group - {path}) for group in ALTERNATIVES):
                result[key] = deepcopy(value)
        elif section_types(annotation) and not is_list_of_sections(annotation):
            result[key] = _section(given, value, section_types(annotation), path)
    return result


def _gives(data: Mapping[str, Any], place: str, paths: frozenset[str]) -> bool:
    return any(data.get(path.removeprefix(place)) is not None for path in paths)


def _section(given: Any, value: Mapping[str, Any], kinds: list[type[BaseModel]], path: str) -> Any:
    known = {str(kind.model_fields["type"].default): kind for kind in kinds if "type" in kind.model_fields}
    if not known:
        return _fill(given, value, kinds[0], f"{path}.") if isinstance(given, Mapping) else given
    named = {"type": given} if isinstance(given, str) else given
    if not isinstance(named, Mapping):
        return given
    kind = value.get("type", str(kinds[0].model_fields["type"].default))
    named = {"type": kind, **named}
    if path == "optimizer":
        try:
            named = settled(named, known)
        except ValueError:
            return given  # it is said with the other mistakes of the file
    if named["type"] != kind:
        return given
    return _fill(named, value, known[kind], f"{path}.")


def owned(model: type[BaseModel] = TrainConfig, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Every parameter as a preset would write it (`datasets.captions.shuffle`), and whether it may hold it."""
    for name, field in model.model_fields.items():
        path, sections = f"{prefix}{name}", section_types(field.annotation)
        if not sections:
            yield path, may_hold(param_of(model, name))
        for section in sections:
            yield from owned(section, f"{path}.")


@functools.cache
def _owned() -> dict[str, bool]:
    return dict(owned())


def check_settings(settings: Any, source: str) -> None:
    """Raise ConfigError where settings hold what is no preset's, or what no job could have."""
    if not isinstance(settings, Mapping):
        raise ConfigError(source, ["settings must hold keys and values, as a job file does"])
    may = _owned()
    wrong = [
        f"settings.{path}: belongs to a job and not to a preset; take it out"
        for path in _leaves(settings, "")
        if path in may and not may[path]
    ]
    datasets = settings.get("datasets", {})
    if not isinstance(datasets, Mapping):
        wrong.append("settings.datasets: holds what is right for every dataset; write it without a dash")
    if wrong:
        raise ConfigError(source, wrong)
    try:
        skeleton(settings)
    except ValidationError as error:
        lines = [str(line).replace("datasets.0.", "datasets.", 1) for line in describe(error)]
        raise ConfigError(source, [f"settings.{line}" for line in lines]) from error


def _leaves(settings: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in settings.items():
        path = f"{prefix}{key}"
        yield path
        entries = value if isinstance(value, list | tuple) else [value]
        for entry in entries:
            if isinstance(entry, Mapping):
                yield from _leaves(entry, f"{path}.")


def skeleton(settings: Mapping[str, Any], datasets: int = 1) -> TrainConfig:
    """The settings as a whole config, with a name, a model and datasets that mean nothing. Raises ValidationError."""
    job = {"name": "preset", "model": {"path": "demo"}, "datasets": [{"path": "pictures"} for _ in range(datasets)]}
    return TrainConfig.model_validate(fill(job, {key: value for key, value in settings.items() if _known(key)}) | {
        key: value for key, value in settings.items() if not _known(key)
    })  # fmt: skip


def _known(key: str) -> bool:
    return key in TrainConfig.model_fields
