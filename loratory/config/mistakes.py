"""What is wrong with a job file, in words: the path as the user wrote it, what is wrong, what would be right."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from loratory.config.base import Truth, param_of
from loratory.config.fields import declared, is_list_of_sections, section_types
from loratory.config.plain import REMOVE, Mistake
from loratory.config.train import TrainConfig

_LIMITS = {
    "greater_than": ("gt", "must be above {}"),
    "greater_than_equal": ("ge", "must be at least {}"),
    "less_than": ("lt", "must be below {}"),
    "less_than_equal": ("le", "must be at most {}"),
}
_KINDS = {int: "a whole number", float: "a number", str: "a text in quotes", bool: "true or false", type(None): "null"}
_MANY = {int: "whole numbers", float: "numbers", str: "texts"}


@dataclass(frozen=True)
class _Place:
    """Where in the config an error lies."""

    path: str
    annotation: Any
    """What belongs there; None for an unknown key."""
    sections: tuple[type[BaseModel], ...]
    """The class it lies in; several where a `type` chooses one of them and none was chosen."""
    secret: bool = False

    @property
    def is_section(self) -> bool:
        return bool(section_types(self.annotation))


def describe(error: ValidationError) -> list[Mistake]:
    """What is wrong, each thing once."""
    places: dict[str, tuple[_Place, list[Any]]] = {}
    for item in error.errors():
        place = _place(item["loc"])
        places.setdefault(place.path, (place, []))[1].append(item)
    # A list whose entries are wrong also counts as too short: said once, where the mistake is.
    causes = [path for path in places if not any(other.startswith(f"{path}.") for other in places)]
    return [line for path in causes for line in _lines(*places[path])]


def from_sentence(sentence: str, otherwise: str = "", code: str = "invalid") -> Mistake:
    """A sentence that begins with the path of a parameter, as messages do; else one about `otherwise`."""
    path, colon, message = sentence.partition(": ")
    top = path.partition(".")[0]
    if colon and top in TrainConfig.model_fields and re.fullmatch(r"[\w.]+", path):
        return Mistake(message, path, code)
    return Mistake(sentence, otherwise, code)


def _place(location: tuple[int | str, ...]) -> _Place:
    """Follow a validation error's location, which also names the members of unions that were tried."""
    parts: list[str] = []
    annotation: Any = TrainConfig
    sections: tuple[type[BaseModel], ...] = (TrainConfig,)
    secret = False
    for part in location:
        inside = section_types(annotation)
        if not inside:
            if not isinstance(part, int):
                break
            annotation = _element(annotation)
        elif is_list_of_sections(annotation) and isinstance(part, int):
            annotation = inside[0]
        elif len(inside) > 1 and isinstance(part, str) and part in [_tag(section) for section in inside]:
            annotation = next(section for section in inside if _tag(section) == part)
            continue
        else:
            sections = tuple(inside)
            field = inside[0].model_fields.get(str(part))
            annotation = field.annotation if field else None
            secret = field is not None and not section_types(annotation) and param_of(inside[0], str(part)).secret
        parts.append(str(part))
    return _Place(".".join(parts), annotation, sections, secret)


def _element(annotation: Any) -> Any:
    """What the elements of a list are, the list being one of several things that may stand there."""
    for each in _alternatives(annotation):
        if get_origin(each) is tuple:
            return get_args(each)[0]
    return None


def _tag(section: type[BaseModel]) -> str | None:
    field = section.model_fields.get("type")
    return None if field is None else str(field.default)


def _lines(place: _Place, errors: list[Any]) -> list[Mistake]:
    first = errors[0]
    kind, given = first["type"], first["input"]
    if kind in ("extra_forbidden", "invalid_key"):
        return [_unknown(leaf, value, place) for leaf, value in _leaves(given, place.path)]
    if kind == "missing":
        return [Mistake("is missing, and there is no default for it", place.path, "missing")]
    if kind == "union_tag_invalid":
        tags = [tag for section in section_types(place.annotation) if (tag := _tag(section))]
        given, path = first["ctx"]["tag"], f"{place.path}.type"
        meant = _near(given, tags)
        known = f"known: {', '.join(tags)}{_did_you_mean(meant)}"
        return [Mistake(f"{given!r} is unknown; {known}", path, "unknown_type", {path: meant} if meant else {})]
    message = f"{_what_is_wrong(place, first)}{_shown(given, place)}"
    return [Mistake(message, place.path or "job", _code(kind), _fix(place, first))]


_CODES = dict.fromkeys(_LIMITS, "out_of_limits") | {
    "value_error": "invalid", "string_too_short": "too_short", "string_too_long": "too_long", "too_short": "too_short",
}  # fmt: skip


def _code(kind: str) -> str:
    return _CODES.get(kind, "wrong_kind")


def _fix(place: _Place, error: Any) -> dict[str, Any]:
    """The nearest value that is allowed, where there is one."""
    kind, given = error["type"], error["input"]
    if kind in ("greater_than_equal", "less_than_equal"):
        return {place.path: error["ctx"][_LIMITS[kind][0]]}
    if _code(kind) == "wrong_kind" and isinstance(given, str) and not place.is_section:
        meant = _near(given, _choices(place))
        return {place.path: meant} if meant else {}
    return {}


def _what_is_wrong(place: _Place, error: Any) -> str:
    kind, given = error["type"], error["input"]
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return words.format(f"{error['ctx'][key]:g}")
    if kind == "string_too_short":
        return "must not be empty"
    if kind == "string_too_long":
        return f"must have at most {error['ctx']['max_length']} characters"
    if kind == "too_short":
        return "must have at least one entry"
    if is_list_of_sections(place.annotation):
        return "must be a list; begin each of its entries with a dash"
    if place.is_section:
        return "is empty; fill it in or remove the line" if given is None else "must hold keys and values"
    return f"must be {_named(place.annotation)}{_did_you_mean(_near(given, _choices(place)))}"


def _choices(place: _Place) -> list[str]:
    """The words that may stand there."""
    return [choice for each in _alternatives(place.annotation) if get_origin(each) is Literal
            for choice in get_args(each)]  # fmt: skip


def _alternatives(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _alternatives(part)
    elif get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    else:
        yield annotation


def _named(annotation: Any) -> str:
    """What may stand at a place: "a number or auto"."""
    words = []
    for each in _alternatives(annotation):
        if get_origin(each) is Literal:
            choices = get_args(each)
            words.append(("one of " if len(choices) > 1 else "") + ", ".join(map(str, choices)))
        elif get_origin(each) is tuple:
            parts = get_args(each)
            words.append("a list" if Ellipsis in parts else f"a list of {len(parts)} {_MANY[parts[0]]}")
        else:
            words.append(_KINDS.get(each, "something else"))
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _shown(given: Any, place: _Place) -> str:
    if place.secret or isinstance(given, (Mapping, list, tuple, BaseModel)) or (given is None and place.is_section):
        return ""
    if isinstance(given, Truth):
        given = given.value
    words = {True: "true", False: "false", None: "null"}
    return f" (it is {words[given] if given is None or isinstance(given, bool) else repr(given)})"


def _near(given: Any, choices: list[str]) -> str | None:
    near = difflib.get_close_matches(str(given), choices, n=1)
    return near[0] if near else None


def _did_you_mean(meant: str | None) -> str:
    return f"; did you mean {meant}?" if meant else ""


# Unknown keys


def _leaves(value: Any, prefix: str) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, f"{prefix}.{key}")]
    return [(prefix, value)]


_INCLUDES = ("include", "includes", "extends", "base", "import", "inherit", "_base_", "defaults")


def _unknown(leaf: str, value: Any, place: _Place) -> Mistake:
    """What may have been meant by an unknown key: a slip of the pen, the wrong section, or another trainer's name."""

    def told(hint: str, fix: Mapping[str, Any]) -> Mistake:
        return Mistake(f"unknown key; {hint}", leaf, "unknown_key", fix)

    gone = {leaf: REMOVE}
    if leaf.partition(".")[0] in _INCLUDES:
        return told("job files include no others; what they share can be a preset (`loratory presets save`)", gone)
    plain = re.sub(r"\.\d+(?=\.|$)", "[]", leaf)
    last = plain.rpartition(".")[2]
    known: dict[str, tuple[str, ...]] = {}
    for path, model, name in declared(TrainConfig):
        if path == plain:
            return told(f"it belongs to type {_tag(model)}, not to {_tag(place.sections[0])}", gone)
        facts = param_of(model, name)
        known[path] = (*facts.kohya, *facts.aitoolkit)
    near = difflib.get_close_matches(plain, known, n=1, cutoff=0.8)
    elsewhere = [path for path in known if path.rpartition(".")[2] == last]
    foreign = [path for path, names in known.items() if plain in names or last in names]
    far = difflib.get_close_matches(plain, known, n=1, cutoff=0.6)
    found = near or elsewhere or foreign or far
    if not found:
        return told("`loratory config schema` lists what there is", gone)
    meant = _numbered(found[0], leaf) if len(found) == 1 else None
    fix = gone if meant is None else {leaf: REMOVE, meant: _plain(value)}
    return told(f"did you mean {' or '.join(found[:3])}?", fix if meant else {})


def _numbered(path: str, like: str) -> str | None:
    """`datasets[].x` with the number that `datasets.1.y` has; None where that has none."""
    numbers = iter(re.findall(r"\.(\d+)(?=\.)", like))
    try:
        return re.sub(r"\[\]", lambda match: f".{next(numbers)}", path)
    except StopIteration:
        return None


def _plain(value: Any) -> Any:
    """As it stood in the file."""
    if isinstance(value, Truth):
        return value.value
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
