"""A job that somebody is still writing: every mistake at once, and as much of it as can be understood."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loratory.config.load import parse, placed
from loratory.config.mistakes import from_sentence
from loratory.config.plain import ConfigError, Mistake, Remove, bounded, places, read_yaml
from loratory.config.train import TrainConfig
from loratory.drafts.checking import Checked, Finding, check_config
from loratory.drafts.ways import Ways
from loratory.errors import UserError

SOURCE = "draft"
DATASET = "dataset:"
"""Before the id of a dataset that the server keeps, in the place of its path."""
_ROUNDS = 8
_MOST_PATHS = 50
_LONGEST_LIST = 999
_STAND_INS: Mapping[str, Any] = {"name": "draft", "model": {"path": "draft"}, "datasets": [{"path": "draft"}]}
"""For what must be given and is not; nothing is said about them but that they are missing."""

FindDataset = Callable[[str], Path | None]


@dataclass(frozen=True)
class Draft:
    """What a draft says."""

    data: Any
    """Plain data as they were given; None for a text that cannot be read."""
    config: TrainConfig | None
    """The whole job; None as long as there are mistakes."""
    nearly: TrainConfig | None
    """The job without what is wrong, and with stand-ins for what is missing; None where nothing can be made of it."""
    mistakes: tuple[Mistake, ...]
    left_out: tuple[str, ...] = ()
    """Dotted paths of what `nearly` is without, or has stand-ins for."""


def read_draft(given: Any, folder: Path, find_dataset: FindDataset) -> Draft:
    """A draft as YAML text or as plain data. Relative paths in it count from `folder`."""
    try:
        data = read_yaml(given, SOURCE) if isinstance(given, str) else given
        bounded(data, SOURCE)
        _whole_signs(data)
    except ConfigError as error:
        return Draft(None, None, None, error.mistakes)
    if not isinstance(data, Mapping):
        try:
            parse(data, SOURCE)
        except ConfigError as error:
            return Draft(data, None, None, error.mistakes)
    work, mistakes = _absolute(deepcopy(data), folder, find_dataset)
    left_out = [mistake.path for mistake in mistakes]
    for _ in range(_ROUNDS):
        try:
            config = parse(work, SOURCE)
        except UserError as error:
            found = _mistakes_of(error)
            new = [each for each in found if not _is_about(each.path, left_out)]
            mistakes += new
            left_out += [each.path for each in new]
            if not all([_leave_out(work, each.path) for each in found]):
                break
        else:
            return Draft(data, None if mistakes else config, config, tuple(mistakes), tuple(left_out))
    return Draft(data, None, None, tuple(mistakes), tuple(left_out))


def check_draft(draft: Draft, ways: Ways) -> tuple[list[Finding], Checked | None]:
    """Everything there is to say, mistakes first; of what `nearly` is without nothing is said twice."""
    findings = [_of_mistake(each) for each in draft.mistakes]
    if draft.nearly is None:
        return findings, None
    checked = check_config(draft.nearly, ways)
    findings += [each for each in checked.all() if not any(_is_about(path, draft.left_out) for path in each.fields)]
    return findings, checked


def positions(text: str, findings: list[Finding]) -> list[Finding]:
    """The same with the line and column in a YAML text, of the parameter or of the section that it is missing in."""
    known = places(text)
    return [_positioned(each, known) for each in findings]


def _positioned(finding: Finding, known: Mapping[str, tuple[int, int]]) -> Finding:
    if finding.line is not None or not finding.fields:
        return finding
    parts = finding.fields[0].split(".")
    for count in range(len(parts), 0, -1):
        if at := known.get(".".join(parts[:count])):
            return Finding(**{**vars(finding), "line": at[0], "column": at[1]})
    return finding


def _of_mistake(mistake: Mistake) -> Finding:
    fields = (mistake.path,) if mistake.path else ()
    return Finding("error", str(mistake), fields, mistake.message, mistake.code, mistake.fix, mistake.line,
                   mistake.column)  # fmt: skip


def _mistakes_of(error: UserError) -> list[Mistake]:
    if not isinstance(error, ConfigError):
        return [from_sentence(str(error).removeprefix(f"{SOURCE}: "))]
    if error.source != SOURCE:  # a preset's own file
        return [Mistake(str(error), "preset", "bad_preset")]
    return list(error.mistakes)


def _is_about(path: str, others: list[str] | tuple[str, ...]) -> bool:
    """Is it one of them, in one of them, or around one of them?"""
    return any(f"{path}.".startswith(f"{each}.") or f"{each}.".startswith(f"{path}.") for each in others)


def _absolute(data: dict[str, Any], folder: Path, find_dataset: FindDataset) -> tuple[dict[str, Any], list[Mistake]]:
    """The data with ids of datasets and relative paths as paths of this machine; what cannot be is left out."""
    mistakes = list(_found_datasets(data, find_dataset))
    for mistake in mistakes:
        _leave_out(data, mistake.path)
    for _ in range(_MOST_PATHS):
        try:
            return placed(data, folder, SOURCE), mistakes
        except ConfigError as error:
            mistakes += error.mistakes
            if not all([_leave_out(data, each.path) for each in error.mistakes]):
                break
    return data, mistakes


def _found_datasets(data: dict[str, Any], find_dataset: FindDataset) -> Iterator[Mistake]:
    listed = data.get("datasets")
    for number, dataset in enumerate(listed if isinstance(listed, list) else ()):
        path = dataset.get("path") if isinstance(dataset, dict) else None
        if not isinstance(path, str) or not path.startswith(DATASET):
            continue
        found = find_dataset(path.removeprefix(DATASET))
        if found is None:
            message = f"there is no dataset {path.removeprefix(DATASET)} here; it may have been deleted: choose another"
            yield Mistake(message, f"datasets.{number}.path", "unknown_dataset")
        else:
            dataset["path"] = str(found)


def _leave_out(data: dict[str, Any], path: str) -> bool:
    """Take a value out, or put a stand-in in the place of what must be given. False where nothing could be done."""
    parts = path.split(".")
    if parts[0] == "datasets" and (len(parts) == 1 or not isinstance(data.get("datasets"), list)):
        data["datasets"] = deepcopy(_STAND_INS["datasets"])
        return True
    if parts[0] == "datasets" and len(parts) <= 3 and parts[-1] in ("path", parts[1]):
        number = int(parts[1]) if parts[1].isdigit() else len(data["datasets"])
        if number >= len(data["datasets"]):
            return False
        entry = data["datasets"][number]
        data["datasets"][number] = {**entry, "path": "draft"} if isinstance(entry, dict) else {"path": "draft"}
        return True
    if parts == ["model", "path"] and isinstance(data.get("model"), dict):
        data["model"]["path"] = "draft"
        return True
    if len(parts) == 1 and path in _STAND_INS:
        data[path] = deepcopy(_STAND_INS[path])
        return True
    return _removed(data, parts) or (len(parts) > 1 and _leave_out(data, ".".join(parts[:-1])))


def _removed(place: Any, parts: list[str]) -> bool:
    """Of a list that has something wrong in it nothing is kept, so that no number of an entry becomes another's; but
    of datasets, which are numbered in messages, the others stay."""
    if isinstance(place, list):
        number = int(parts[0]) if parts[0].isdigit() else len(place)
        return len(parts) > 1 and number < len(place) and _removed(place[number], parts[1:])
    if not isinstance(place, dict):
        return False
    for count in range(len(parts), 0, -1):  # a key may have dots in it
        key = next((each for each in place if str(each) == ".".join(parts[:count])), None)
        if key is None:
            continue
        if count == len(parts):
            del place[key]
            return True
        if _removed(place[key], parts[count:]):
            return True
        if isinstance(place[key], list):
            del place[key]
            return True
    return False


def _whole_signs(data: Any) -> None:
    """Raises ConfigError for halves of signs, which no file can hold."""
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
            raise ConfigError(SOURCE, ["a text holds half of a sign (a lone surrogate), which no file can hold"])
        if isinstance(value, Mapping):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value


# Changing -----------------------------------------------------------------------------------------------------------


def changed(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data with changes by dotted path, such as a finding's fix; Remove takes a key out. Sections and entries of
    lists that are not there are made; a section that has become empty by this goes, too."""
    result = deepcopy(dict(data))
    for path, value in changes.items():
        parts = path.split(".")
        if isinstance(value, Remove):
            _take_out(result, parts)
        else:
            _put(result, parts, deepcopy(value))
    return result


def _put(place: Any, parts: list[str], value: Any) -> None:
    key: Any = parts[0]
    if isinstance(place, list):
        if not key.isdigit() or int(key) > _LONGEST_LIST:
            raise UserError(f"{key} is no number of an entry of a list; count from 0.")
        number = int(key)
        while len(place) <= number:
            place.append({})
        key = number
    if len(parts) == 1:
        place[key] = value
        return
    inner = place[key] if isinstance(place, list) else place.get(key)
    if isinstance(inner, str) and key in ("optimizer", "schedule", "network"):
        inner = {"type": inner}  # `optimizer: adamw8bit` names no more than its type
    if not isinstance(inner, dict | list):
        inner = [] if parts[1].isdigit() else {}
    place[key] = inner
    _put(inner, parts[1:], value)


def _take_out(place: Any, parts: list[str]) -> None:
    if isinstance(place, list):
        if parts[0].isdigit() and int(parts[0]) < len(place):
            if len(parts) == 1:
                del place[int(parts[0])]
            else:
                _take_out(place[int(parts[0])], parts[1:])
        return
    if not isinstance(place, dict):
        return
    for count in range(len(parts), 0, -1):
        key = next((each for each in place if str(each) == ".".join(parts[:count])), None)
        if key is None:
            continue
        if count == len(parts):
            del place[key]
        else:
            _take_out(place[key], parts[count:])
            if place[key] in ({}, []):
                del place[key]
        return


def finite(value: Any) -> Any:
    """A copy that JSON can hold: no NaN, no infinity and no half of a sign; keys that are texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {finite(str(key)): finite(each) for key, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, list | tuple) else value
