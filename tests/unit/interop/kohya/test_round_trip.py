"""Jobs of ours → sd-scripts' files → ours: nothing is lost that they can say, and the rest is listed."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from loratory.config.architectures import SPECS
from loratory.config.load import parse
from loratory.config.rules import check
from loratory.config.train import TrainConfig
from loratory.errors import UserError
from loratory.interop.exported import Exported, Facts
from loratory.interop.kohya.read import read
from loratory.interop.kohya.scripts import SCRIPTS
from loratory.interop.kohya.write import export
from loratory.planner import rules_of
from tests.unit.interop.kohya.changes import Change, changes

ARCHITECTURES = sorted(SCRIPTS)
BASE = {
    "name": "a", "model": {"path": "/models/base.safetensors", "prediction_type": "epsilon"},
    "datasets": [{"path": "/photos/a", "captions": {"extensions": [".txt"]}}],
    "duration": {"steps": 300}, "saving": {"output_dir": "/out"},
}  # fmt: skip
SILENT = {
    "version": "says how the file is written, not what is trained",
    "job": "there is one kind",
    "model.allow_pickle": "sd-scripts always reads such files",
    "datasets.batch_group": "one dataset has nobody to share batches with",
    "caching.text_embeddings": "where captions are kept changes no number, and trainers without a cache do without",
    "memory.attention": "how attention is computed changes no number, and not every script lets one choose",
}
"""Parameters that may change without a word."""


def merged(one: Any, other: Any) -> Any:
    """Both; in datasets, changes go to the only one."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return other
    found = dict(one)
    for name, value in other.items():
        if name == "datasets":
            value = value if isinstance(value, list) else [merged(one["datasets"][0], value)]
        found[name] = merged(one[name], value) if name in one and name != "datasets" else value
    return found


def job(architecture: str, *parts: dict[str, Any]) -> TrainConfig:
    """A job with all of these changes. Raises ConfigError for what cannot be one."""
    data: dict[str, Any] = merged(BASE, {"model": {"architecture": architecture}})
    for part in parts:
        data = merged(data, part)
    if SPECS[architecture].objective == "flow":
        data["model"]["prediction_type"] = None
    return parse(data, "test")


def exported(config: TrainConfig, steps: int | None = 300) -> Exported:
    spec = SPECS[config.model.architecture or ""]
    return export(config, spec, Facts(rules_of(config, spec), (None,) * len(config.datasets), steps))


def tables(found: Exported) -> dict[str, Any]:
    return {name: tomllib.loads(text) if name.endswith(".toml") else text for name, text in found.files.items()}


def back(found: Exported, folder: Path) -> TrainConfig:
    """Their files as a job again."""
    for name, text in found.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    file = folder / "config.toml"
    imported = read(file, file.read_text(encoding="utf-8"), folder / "dataset.toml")
    assert len(imported) == 1
    unknown = [note for note in imported[0].notes if note.level == "unknown"]
    assert not unknown, unknown
    # sd15: the script is that of Stable Diffusion 2, too, and the model's file, which is not there, would tell.
    data = merged({"model": {"architecture": "sd15"}}, imported[0].data)
    return parse(data, imported[0].source)


@functools.cache
def all_changes() -> list[Change]:
    return changes()


def in_turn(architecture: str) -> list[Change]:
    """A share of the changes: each is tried on one of the architectures that it is for; `full` tries all on all."""
    mine = []
    for number, change in enumerate(all_changes()):
        fitting = [name for name in ARCHITECTURES if not change.architectures or name in change.architectures]
        if fitting and fitting[number % len(fitting)] == architecture:
            mine.append(change)
    return mine


def is_told(change: Change, found: Exported) -> bool:
    """Is there a note about the parameter, or about the section it is in?"""
    for note in found.notes:
        key = note.key.replace("datasets.0", "datasets").replace(".0.", ".")
        if change.path == key or change.path.startswith(f"{key}.") or key.startswith(f"{change.path}."):
            return True
    return False


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nothing_is_lost_in_silence(architecture: str) -> None:
    """Another value of a parameter makes other files, or there is a note about it."""
    assert lost_in_silence(architecture, in_turn(architecture)) > 20


@pytest.mark.full
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nothing_at_all_is_lost_in_silence(architecture: str) -> None:
    assert lost_in_silence(architecture, all_changes()) > 300


def lost_in_silence(architecture: str, chosen: list[Change]) -> int:
    """How many changes were tried; none of them may be lost."""
    silent = []
    tried = 0
    for change in chosen:
        if change.path in SILENT or (change.architectures and architecture not in change.architectures):
            continue
        try:
            config = job(architecture, change.context, change.data)
            usual = job(architecture, change.context, change.usual)
            found, before = exported(config), exported(usual)
        except UserError:
            continue
        tried += 1
        same = found.files == before.files and found.notes == before.notes
        if same and config != usual and not is_told(change, found):
            silent.append(change.path)
    assert sorted(set(silent)) == []
    return tried


@st.composite
def combinations(draw: st.DrawFn) -> tuple[str, TrainConfig]:
    """A valid job with up to a dozen changes."""
    architecture = draw(st.sampled_from(ARCHITECTURES))
    chosen = draw(st.lists(st.sampled_from(all_changes()), min_size=1, max_size=12))
    assume(not any(change.architectures and architecture not in change.architectures for change in chosen))
    try:
        config = job(architecture, *(part for change in chosen for part in (change.context, change.data)))
        rules_of(config, SPECS[architecture])
    except UserError:
        assume(False)
    assume(not any(problem.level == "error" for problem in check(config, SPECS[architecture])))
    return architecture, config


def survives(config: TrainConfig, folder: Path) -> None:
    """What the files say is said again by the job that is read from them. (It may say more: their defaults.)"""
    first = exported(config)
    ours, theirs = tables(first), tables(exported(back(first, folder)))
    assert said_again(ours["config.toml"], theirs["config.toml"], folder) == {}
    assert theirs["dataset.toml"] == ours["dataset.toml"]


def said_again(ours: dict[str, Any], theirs: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What is said otherwise, or no more."""
    again = dict(theirs)
    if again.get("sample_prompts") == str(folder / "prompts.txt"):
        again["sample_prompts"] = "prompts.txt"
    return {name: (value, again.get(name)) for name, value in ours.items() if again.get(name) != value}


@settings(max_examples=40, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
          suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])  # fmt: skip
@given(combinations())
def test_what_they_can_say_survives(tmp_path_factory: pytest.TempPathFactory, drawn: tuple[str, TrainConfig]) -> None:
    survives(drawn[1], tmp_path_factory.mktemp("job"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_single_changes_survive(architecture: str, tmp_path: Path) -> None:
    assert lost_on_the_way(architecture, in_turn(architecture), tmp_path) == {}


@pytest.mark.full
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_single_change_survives(architecture: str, tmp_path: Path) -> None:
    assert lost_on_the_way(architecture, all_changes(), tmp_path) == {}


def lost_on_the_way(architecture: str, chosen: list[Change], tmp_path: Path) -> dict[str, str]:
    """What is not the same after the way there and back."""
    failed = {}
    for change in chosen:
        if change.architectures and architecture not in change.architectures:
            continue
        try:
            config = job(architecture, change.context, change.data)
            rules_of(config, SPECS[architecture])
        except UserError:
            continue
        if any(problem.level == "error" for problem in check(config, SPECS[architecture])):
            continue
        try:
            survives(config, tmp_path)
        except (AssertionError, UserError) as error:
            failed[change.path] = str(error)
    return failed
