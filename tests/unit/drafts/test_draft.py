"""Drafts: all mistakes at once, in the words of the command line, with fixes that end them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from loratory.config.architectures import SPECS
from loratory.config.load import parse
from loratory.config.plain import REMOVE, ConfigError
from loratory.config.rules import check
from loratory.drafts.checking import Finding
from loratory.drafts.draft import Draft, changed, check_draft, positions, read_draft
from loratory.drafts.ways import Ways
from loratory.errors import UserError
from loratory.hub.local import resolve_local
from loratory.session import check_job
from tests.unit.config.test_rules import BAD, config_of
from tests.unit.drafts.broken import TEXTS

WAYS = Ways(resolve=resolve_local)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (600, 500), (number, 2, 3)).save(folder / f"{number}.png")
    return folder


def looked_at(given: Any, folder: Path) -> tuple[Draft, list[Finding]]:
    draft = read_draft(given, folder, lambda identifier: None)
    return draft, check_draft(draft, WAYS)[0]


@pytest.mark.parametrize("name", TEXTS)
def test_it_says_what_the_command_says(name: str, pictures: Path) -> None:
    """Sentence by sentence; and what the command does not come to, because it stops before, comes after that."""
    text = TEXTS[name].format(pictures=pictures)
    file = pictures.parent / "job.yaml"
    file.write_text(text, encoding="utf-8")
    said: list[str] = []
    stopped: list[str] = []
    try:
        check_job(file, [], said.append)
    except ConfigError as error:
        stopped = list(error.problems)
    except UserError as error:
        stopped = [str(error).removeprefix(f"{file}: ")]
    lines = [line for line in said if line.startswith(("Error: ", "Warning: ", "Note: "))]
    _, findings = looked_at(text, pictures.parent)
    here = [f"{each.level.capitalize()}: {each.sentence}" for each in findings]
    expected = [*lines, *(f"Error: {line}" for line in stopped)]
    if stopped or name == "fine" or not any(line.startswith("Error") for line in lines):
        assert [line for line in here if line in expected] == expected
    else:
        assert here[: len(expected)] == expected
    assert bool(stopped or any(line.startswith("Error") for line in lines)) == any(
        each.level == "error" for each in findings
    )


def test_one_mistake_does_not_hide_another(pictures: Path) -> None:
    draft, findings = looked_at(
        {"name": "x", "network": {"rnak": 3}, "model": {"architecture": "sdxl", "path": "a/b"},
         "datasets": [{"path": str(pictures)}, {"path": "dataset:0123456789ab"}],
         "batching": {"size": 0, "buckets": {"step": 12}}, "optimizer": {"type": "adamm", "lr": 3}},
        pictures,
    )  # fmt: skip
    assert draft.config is None and draft.nearly is not None
    assert {(each.fields, each.code) for each in findings if each.level == "error"} == {
        (("network.rnak",), "unknown_key"),
        (("datasets.1.path",), "unknown_dataset"),
        (("batching.size",), "out_of_limits"),
        (("optimizer.type",), "unknown_type"),
        (("optimizer.lr",), "unknown_key"),
        (("batching.buckets.step",), "sizes_fit_the_model"),
    }


def test_what_is_missing_is_not_talked_about_further(tmp_path: Path) -> None:
    _, findings = looked_at({}, tmp_path)
    assert [each.fields for each in findings if each.level == "error"] == [("name",), ("model",), ("datasets",)]


def test_a_dataset_is_named_by_its_id(pictures: Path) -> None:
    data = {"name": "x", "model": {"path": "demo"}, "datasets": [{"path": "dataset:0123456789ab"}]}
    draft = read_draft(data, pictures, lambda identifier: pictures if identifier == "0123456789ab" else None)
    assert draft.config is not None
    assert draft.config.datasets[0].path == str(pictures)
    assert data["datasets"] == [{"path": "dataset:0123456789ab"}], "the draft itself is as it was"


def test_places_in_the_text(pictures: Path) -> None:
    text = f"name: x\nmodel:\n  path: demo\ndatasets:\n- path: {pictures}\n  captions: {{shufle: true}}\n"
    text += "network:\n  rank: 0\n"
    _, findings = looked_at(text, pictures)
    found = {each.fields: (each.line, each.column) for each in positions(text, findings)}
    assert found[("datasets.0.captions.shufle",)] == (6, 14)
    assert found[("network.rank",)] == (8, 3)
    _, (broken,) = looked_at("name: x\n  rank: 3\n", pictures)
    assert (broken.line, broken.column) == (2, 7)


FIXED = [
    ({"network": {"rnak": 3}}, {"network": {"rank": 3}}),
    ({"network": {"rank": 0}}, {"network": {"rank": 1}}),
    ({"optimizer": {"type": "adamm"}}, {"optimizer": {"type": "adamw"}}),
    ({"caching": {"latents": "dsk"}}, {"caching": {"latents": "disk"}}),
    ({"include": "x"}, {}),
    ({"network_dim": 4}, {"network": {"rank": 4}}),
]


@pytest.mark.parametrize(("own", "expected"), FIXED)
def test_fixes_of_mistakes(own: dict[str, Any], expected: dict[str, Any], pictures: Path) -> None:
    usual = {"name": "x", "model": {"path": "demo"}, "datasets": [{"path": str(pictures)}]}
    _, findings = looked_at(usual | own, pictures)
    (error,) = [each for each in findings if each.level == "error"]
    assert changed(usual | own, error.fix) == usual | expected
    assert not any(each.level == "error" for each in looked_at(changed(usual | own, error.fix), pictures)[1])


@pytest.mark.parametrize(("name", "architecture", "own"), [case[:3] for case in BAD])
def test_fixes_of_rules_are_changes_of_a_draft(name: str, architecture: str, own: dict[str, Any]) -> None:
    """Every rule joins by its examples."""
    usual = {"name": "a", "model": {"path": "demo"}, "datasets": [{"path": "photos"}]}
    config, spec = config_of(own), SPECS[architecture]
    for problem in (each for each in check(config, spec) if each.code == name and each.fix):
        after = check(parse(changed(usual | own, problem.fix), "test"), spec)
        assert problem not in after


def test_changes() -> None:
    data = {"a": {"b": 1}, "list": [{"x": 1}, {"y": 2}], "optimizer": "adamw8bit"}
    changes_ = {"a.b": REMOVE, "list.1.y": 3, "list.2.z": 4, "optimizer.learning_rate": 0.5, "new.0.deep": 1}
    assert changed(data, changes_) == {
        "list": [{"x": 1}, {"y": 3}, {"z": 4}],
        "optimizer": {"type": "adamw8bit", "learning_rate": 0.5},
        "new": [{"deep": 1}],
    }
    assert data["a"] == {"b": 1}
    for path in ("list.x.y", "list.100000000.y"):
        with pytest.raises(UserError, match="no number of an entry"):
            changed(data, {path: 1})


def test_halves_of_signs_and_bombs(tmp_path: Path) -> None:
    assert looked_at({"name": "\ud800"}, tmp_path)[1][0].sentence.startswith("a text holds half of a sign")
    deep: Any = {}
    for _ in range(200):
        deep = {"a": deep}
    assert "deep" in looked_at(deep, tmp_path)[1][0].sentence
    assert "more than" in looked_at({"a": list(range(50_000))}, tmp_path)[1][0].sentence
