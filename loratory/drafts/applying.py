"""A preset applied to a draft: how to train changes, what belongs to the job stays."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from pydantic import BaseModel

from loratory.config import presets
from loratory.config.base import param_of
from loratory.config.fields import is_list_of_sections, section_types
from loratory.config.presets import Preset
from loratory.config.presets.base import may_hold
from loratory.config.train import TrainConfig
from loratory.errors import UserError


def named(name: str) -> Preset:
    """A preset by its name; never by a file, which only a person on this machine may name. Raises UserError."""
    if presets.is_file_name(name) or name not in presets.known():
        likely = difflib.get_close_matches(name, presets.known(), n=1, cutoff=0.5)
        raise UserError(f"There is no preset {name!r}" + (f"; did you mean {likely[0]}?" if likely else "."))
    return presets.find(name)


def applied(data: Mapping[str, Any], preset: Preset, *, keep_own: bool) -> dict[str, Any]:
    """The draft that names the preset, without settings of its own that a preset may say; with `keep_own` only without
    those that this one says."""
    settings = preset.settings if keep_own else None
    result = _without(data, settings, TrainConfig)
    return {**{key: value for key, value in result.items() if key == "job"}, "preset": preset.name,
            **{key: value for key, value in result.items() if key not in ("job", "preset")}}  # fmt: skip


def _without(data: Mapping[str, Any], settings: Mapping[str, Any] | None, model: type[BaseModel]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in data.items():
        field = model.model_fields.get(str(key))
        said = None if settings is None else settings.get(str(key))
        if field is None or (settings is not None and said is None):
            result[key] = deepcopy(value)
            continue
        sections = section_types(field.annotation)
        if not sections:
            if not may_hold(param_of(model, str(key))):
                result[key] = deepcopy(value)
        elif is_list_of_sections(field.annotation):
            entries = value if isinstance(value, list) else []
            result[key] = [_without(each, said, sections[0]) if isinstance(each, dict) else each for each in entries]
        elif isinstance(value, Mapping) and (inner := _inside(value, said, sections)):
            result[key] = inner
    return result


def _inside(value: Mapping[str, Any], said: Any, sections: list[type[BaseModel]]) -> dict[str, Any]:
    """A section with a `type` is of the preset's from now on: of its own fields only those stay that no preset has."""
    chosen = next((each for each in sections if "type" in each.model_fields
                   and each.model_fields["type"].default == value.get("type")), sections[0])  # fmt: skip
    settings = said if isinstance(said, Mapping) else None
    other = settings is not None and settings.get("type", value.get("type")) != value.get("type")
    return _without(value, None if other else settings, chosen)
