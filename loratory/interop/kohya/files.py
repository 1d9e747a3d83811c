"""The kinds of files that hold settings for sd-scripts, and what each says in sd-scripts' own names."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from loratory.config.fields import declared
from loratory.config.train import TrainConfig
from loratory.errors import UserError
from loratory.interop.imported import Note
from loratory.interop.kohya.easy import from_easy, is_easy
from loratory.interop.kohya.gui import from_gui, is_gui
from loratory.interop.kohya.names import ALL
from loratory.interop.kohya.reading import Given
from loratory.interop.kohya.shell import LAUNCHED, SCRIPT, commands
from loratory.interop.named_files import read_named

_OTHERS = (".yaml", ".yml")
_SURE = ("pretrained_model_name_or_path", "network_module", "train_data_dir", "dataset_config")


def recognises(path: Path, text: str) -> bool:
    """Is it a file for sd-scripts? Told by what it holds: TOML and JSON may also be a job file of ours."""
    suffix = path.suffix.lower()
    if suffix == ".toml":
        return not _is_ours(text)
    if suffix in _OTHERS:
        return False
    if text.lstrip().startswith("{"):
        try:
            data = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            return False
        return isinstance(data, dict) and (is_gui(data) or any(name in data for name in _SURE))
    return SCRIPT.search(text) is not None and "--" in text


def _is_ours(text: str) -> bool:
    """A TOML file is a job of ours if a parameter of ours stands where it belongs, under a name that sd-scripts has
    for none of its arguments; and nothing in it is the argument of sd-scripts that names a model, a network or a
    folder. Every other one is theirs, whatever its sections are called."""
    try:
        data = tomllib.loads(text.removeprefix("\ufeff"))
    except (tomllib.TOMLDecodeError, RecursionError):
        return not any(name in text for name in (*_SURE, "image_dir"))
    keys = list(_keys(data, ""))
    if any(key.rpartition(".")[2] in (*_SURE, "image_dir") for key in keys):
        return False
    ours = {path for path, _, _ in declared(TrainConfig)}
    return any(key in ours and key.rpartition(".")[2] not in ALL for key in keys)


def _keys(data: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Dotted paths, entries of lists under []."""
    for name, value in data.items():
        path = f"{prefix}{name}"
        entries = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
        if isinstance(value, dict):
            yield from _keys(value, f"{path}.")
        elif entries:
            for each in entries:
                yield from _keys(each, f"{path}[].")
        else:
            yield path


def parse(path: Path, text: str) -> list[Given]:
    """What the file says: of a text with several commands, one for each. Raises UserError."""
    suffix = path.suffix.lower()
    if suffix == ".toml":
        given = _of_tables(read_toml(text, path), path)
        return [replace(given, script=given.script or _script_of(text))]
    if text.lstrip().startswith("{"):
        data = read_json(text, path)
        return [from_gui(data, path) if is_gui(data) else _flat(data, path)]
    found = commands(text, str(path))
    return [_of_command(script, values, path, number if len(found) > 1 else None)
            for number, (script, values) in enumerate(found, 1)]  # fmt: skip


def _script_of(text: str) -> str | None:
    """The script that a comment in front names, as in the files that are written here."""
    head = "".join(line for line in text.splitlines(keepends=True)[:10] if line.lstrip().startswith("#"))
    match = SCRIPT.search(head)
    return match["name"] if match else None


def read_table(path: Path, text: str) -> dict[str, Any]:
    """A dataset file: TOML, or JSON. Raises UserError."""
    return read_json(text, path) if path.suffix.lower() == ".json" else read_toml(text, path)


def read_toml(text: str, path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(text.removeprefix("\ufeff"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        at = re.search(r"line (\d+)", str(error))
        lines = text.splitlines()
        line = lines[int(at[1]) - 1] if at and int(at[1]) <= len(lines) else ""
        hint = "; write Windows paths with / or between single quotes" if "\\" in line else ""
        raise UserError(f"{path} is not TOML: {str(error)[:1].lower()}{str(error)[1:]}{hint}.") from error
    _no_broken_paths(data, path)
    return data


def _no_broken_paths(value: Any, path: Path) -> None:
    """Between double quotes \\t, \\n and the like are one sign each, so that C:\\train is no path any more."""
    if isinstance(value, str) and re.match(r"[A-Za-z]:[\x08\t\n\f\r]", value):
        raise UserError(f"{path}: {value!r} was to be a Windows path; write it with / or between single quotes.")
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _no_broken_paths(each, path)


def read_json(text: str, path: Path) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).") from error
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply.") from error
    if not isinstance(data, dict):
        raise UserError(f"{path} holds no keys and values.")
    return data


def _of_tables(data: dict[str, Any], path: Path) -> Given:
    return from_easy(data, path) if is_easy(data) else _flat(data, path)


def _flat(data: Mapping[str, Any], path: Path) -> Given:
    """Top-level keys and those of sections are one; a section's name means nothing, and the last of a key counts."""
    dataset = {name: data[name] for name in ("general", "datasets") if "datasets" in data and name in data}
    if dataset and not any(name in data for name in _SURE) and data.keys() <= {"general", "datasets"}:
        raise UserError(
            f"{path} describes pictures, not a training; give the training's file together with it (on the command "
            "line with --dataset)."
        )
    values: dict[str, Any] = {}
    keys: dict[str, str] = {}
    notes: list[Note] = []
    for name, value in data.items():
        if name in dataset:
            continue
        is_section = isinstance(value, dict) and name not in ALL
        for key, each in value.items() if is_section else [(name, value)]:
            where = f"{name}.{key}" if is_section else key
            if key in values:
                notes.append(Note("ignored", keys[key], f"is given again in {where}, which counts"))
            values[key], keys[key] = each, where
    return Given(values, str(path), path.absolute().parent, keys, None, dataset or None, tuple(notes))


def _of_command(script: str, values: dict[str, Any], path: Path, number: int | None) -> Given:
    source = str(path) if number is None else f"{path} (command {number})"
    keys = {name: name if name == LAUNCHED else f"--{name}" for name in values}
    if "config_file" in values:
        # What the command line says counts before the file.
        named = Path(str(values["config_file"])).expanduser()
        named = named if named.suffix == ".toml" else named.with_name(named.name + ".toml")
        beside = path.absolute().parent / named
        file = beside if beside.exists() and not named.exists() else named
        try:
            content = read_named(file)
        except FileNotFoundError:
            raise UserError(f"{source} names the file {file}, which does not exist.") from None
        except OSError as error:
            raise UserError(f"{source} names the file {file}, which cannot be read: {error.strerror}.") from error
        inner = _flat(read_toml(content.decode("utf-8-sig", "replace"), file), file)
        values, keys = {**inner.values, **values}, {**inner.keys, **keys}
    return Given(values, source, path.absolute().parent, keys, script)
