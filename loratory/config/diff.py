"""What differs between two configs (jobs, runs, presets, the defaults), field by field, in the order of a job file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loratory.config.fields import values
from loratory.config.presets import Preset
from loratory.config.presets.base import may_hold, skeleton
from loratory.config.train import TrainConfig


@dataclass(frozen=True)
class Side:
    """One of the two. A preset and the defaults have no job fields, so those are not compared with them."""

    title: str
    of: TrainConfig | Preset | None
    """None stands for the defaults."""

    def datasets(self) -> int:
        return len(self.of.datasets) if isinstance(self.of, TrainConfig) else 0

    def config(self, datasets: int) -> TrainConfig:
        if isinstance(self.of, TrainConfig):
            return self.of
        return skeleton({} if self.of is None else self.of.settings, datasets)


@dataclass(frozen=True)
class Difference:
    """A parameter that is not the same. `in_a` and `in_b`: is there such a parameter on this side?"""

    path: str
    a: Any
    b: Any
    in_a: bool = True
    in_b: bool = True


def differences(a: Side, b: Side) -> list[Difference]:
    """Every parameter that differs. Of a section that has another type on each side, those that only one has, too."""
    datasets = max(a.datasets(), b.datasets(), 1)
    first, second = dict(_plain(a, b, datasets)), dict(_plain(b, a, datasets))
    found = []
    for path in _in_order(list(first), list(second)):
        in_a, in_b = path in first, path in second
        if not (in_a and in_b and first[path] == second[path]):
            found.append(Difference(path, first.get(path), second.get(path), in_a, in_b))
    return found


def _plain(side: Side, other: Side, datasets: int) -> Iterator[tuple[str, Any]]:
    whole = isinstance(side.of, TrainConfig) and isinstance(other.of, TrainConfig)
    against_preset = isinstance(side.of, Preset) or isinstance(other.of, Preset)
    for path, value, facts, default in values(side.config(datasets)):
        if facts.secret or (not whole and default is ...) or path in ("job", "version"):
            continue
        if not against_preset or may_hold(facts):
            yield path, _json(value)


def _json(value: Any) -> Any:
    """As it stands in a file: lists for tuples, also inside."""
    if isinstance(value, Mapping):
        return {key: _json(each) for key, each in value.items()}
    return [_json(each) for each in value] if isinstance(value, list | tuple) else value


def _in_order(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """All paths in the order of a file: each that only the second side has stands after its neighbour there."""
    known = set(first)
    extra: dict[str, list[str]] = {}
    before = ""
    for path in second:
        if path in known:
            before = path
        else:
            extra.setdefault(before, []).append(path)
    return [*extra.get("", ()), *(each for path in first for each in (path, *extra.get(path, ())))]


def as_json(found: Sequence[Difference]) -> list[dict[str, Any]]:
    """For programs: `a` or `b` is missing where there is no such parameter."""
    return [
        {"path": each.path} | ({"a": each.a} if each.in_a else {}) | ({"b": each.b} if each.in_b else {})
        for each in found
    ]


def lines(found: Sequence[Difference]) -> list[tuple[str, str, str]]:
    """For people: path, and both values as they would be written; a dash where there is no such parameter."""
    return [
        (each.path, shown(each.a) if each.in_a else "–", shown(each.b) if each.in_b else "–") for each in found
    ]  # fmt: skip


def shown(value: Any) -> str:
    """A value in one line, as YAML has it."""
    if isinstance(value, str) and value and value.isprintable() and not value.isspace():
        return value
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return json.dumps(value, ensure_ascii=False)
