"""Every argument of sd-scripts has a decision, and every decision is exercised by an example."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loratory.config.load import parse
from loratory.errors import UserError
from loratory.interop.imported import Imported
from loratory.interop.kohya import read
from loratory.interop.kohya.arguments import DECISIONS
from loratory.interop.kohya.names import ALL
from loratory.interop.kohya.network import NETWORK_DECISIONS
from tests.unit.interop.kohya.examples import ARGUMENTS, BASE, NETWORK_ARGS, REFUSED, TRAINERS, Data, Example

KNOWN = json.loads((Path(__file__).parent / "fixtures" / "names.json").read_text(encoding="utf-8"))


def read_flat(values: Data) -> Imported:
    (found,) = read(Path("/files/config.json"), json.dumps(values))
    return found


def at(data: Any, path: str) -> Any:
    for part in path.split("."):
        data = data[int(part)] if part.isdigit() else data[part]
    return data


def levels(found: Imported, key: str) -> list[str]:
    return [note.level for note in found.notes if note.key == key]


def check(found: Imported, key: str, example: Example) -> None:
    parse(found.data, "the job")  # every field exists and takes the value
    assert levels(found, key), f"nothing is said about {key}"
    if isinstance(example.expected, str):
        assert set(levels(found, key)) == {example.expected}
        return
    assert set(levels(found, key)) == {"mapped"}
    for path, value in example.expected.items():
        assert at(found.data, path) == value, path


def test_every_argument_has_a_decision() -> None:
    assert len(KNOWN["arguments"]) + len(KNOWN["network_args"]) == 366
    assert set(DECISIONS) == set(KNOWN["arguments"])
    assert set(ALL) == set(KNOWN["arguments"])
    assert {name.partition(" ")[0] for name in KNOWN["network_args"]} <= set(NETWORK_DECISIONS)


def test_every_decision_has_an_example() -> None:
    assert set(ARGUMENTS) | set(REFUSED) == set(KNOWN["arguments"])
    assert set(NETWORK_ARGS) == set(KNOWN["network_args"])


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_argument(name: str) -> None:
    example = ARGUMENTS[name]
    values = BASE | TRAINERS[example.trainer] | example.beside | {name: example.value}
    check(read_flat(values), name, example)


@pytest.mark.parametrize("name", NETWORK_ARGS)
def test_an_entry_of_network_args(name: str) -> None:
    example = NETWORK_ARGS[name]
    beside = {key: value for key, value in example.beside.items() if key != "network_module"}
    module = {key: value for key, value in example.beside.items() if key == "network_module"}
    entries = [f"{key.partition(' ')[0]}={value}" for key, value in {**beside, name: example.value}.items()]
    found = read_flat(BASE | TRAINERS[example.trainer] | module | {"network_args": entries})
    check(found, f"network_args.{name.partition(' ')[0]}", example)


@pytest.mark.parametrize("name", REFUSED)
def test_what_only_models_have_that_are_not_here(name: str) -> None:
    with pytest.raises(UserError, match=REFUSED[name]):
        read_flat(BASE | {name: "/file"})


@pytest.mark.parametrize("name", [name for name in ARGUMENTS if name not in ("dataset_config",)])
def test_a_value_that_asks_for_nothing_is_no_news(name: str) -> None:
    """Web forms write every argument; what is off or empty shall not fill the screen."""
    example = ARGUMENTS[name]
    empty = {bool: False, str: "", list: []}.get(type(example.value))
    if empty is None or name in BASE or name in ("network_module", "sample_prompts"):
        return
    found = read_flat(BASE | TRAINERS["sd"] | {name: empty})
    assert set(levels(found, name)) <= {"mapped", "default"}
    assert not any(note.message for note in found.notes if note.key == name)


def test_secrets_are_in_no_note_and_no_job() -> None:
    found = read_flat(BASE | TRAINERS["sd"] | {"wandb_api_key": "w-12345", "huggingface_token": "hf_12345"})
    assert "12345" not in repr(found)
