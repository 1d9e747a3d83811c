"""Walk through a config as flat dotted paths: `network.rank`, `datasets.0.captions.shuffle`."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from loratory.config.base import Param, param_of


def section_types(annotation: Any) -> list[type[BaseModel]]:
    """The section classes inside a field's annotation: itself, members of a union, or elements of a tuple."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Annotated, tuple, Union, types.UnionType):
        return [found for part in get_args(annotation) for found in section_types(part)]
    return []


def is_list_of_sections(annotation: Any) -> bool:
    return get_origin(annotation) is tuple and bool(section_types(annotation))


def declared(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel], str]]:
    """Every parameter of a config class: dotted path, the class that declares it, its field name.

    Elements of lists stand under `[]`: `datasets[].path`. A union's members follow one another.
    """
    seen = set()
    for name, field in model.model_fields.items():
        annotation = field.annotation
        sections = section_types(annotation)
        path = f"{prefix}{name}"
        if not sections:
            yield path, model, name
        for section in sections:
            inner = f"{path}[]." if is_list_of_sections(annotation) else f"{path}."
            for found in declared(section, inner):
                if (found[0], found[1]) not in seen:
                    seen.add((found[0], found[1]))
                    yield found


def values(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, Param, Any]]:
    """Every parameter of a config: dotted path, value, metadata, default (`...` where there is none)."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        path = f"{prefix}{name}"
        if isinstance(value, BaseModel):
            yield from values(value, f"{path}.")
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            for i, element in enumerate(value):
                yield from values(element, f"{path}.{i}.")
        else:
            yield path, value, param_of(type(config), name), _default(type(config), name)


@functools.cache
def _default(model: type[BaseModel], name: str) -> Any:
    """Defaults are never changed, so one of each is enough."""
    field = model.model_fields[name]
    return ... if field.is_required() else field.get_default(call_default_factory=True)


def changes(config: BaseModel, keep: Callable[[Param], bool] = lambda facts: True) -> dict[str, Any]:
    """What differs from the defaults, as plain data of a file; only parameters that `keep` takes.

    A section of another type than the usual one says its type, and then what differs from that type's defaults.
    """
    found: dict[str, Any] = {}
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        usual = ... if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(value, BaseModel):
            inside = changes(value, keep)
            if isinstance(usual, BaseModel) and type(value) is not type(usual):
                inside = {"type": get_value(value, "type"), **inside}
            if inside:
                found[name] = inside
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            entries = [changes(each, keep) for each in value]
            if any(entries):
                found[name] = entries
        elif value != usual and keep(param_of(type(config), name)):
            found[name] = config.model_dump(mode="json", include={name})[name]
    return found


def get_value(config: BaseModel, path: str) -> Any:
    """The value at a dotted path."""
    value: Any = config
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, tuple) else getattr(value, part)
    return value
