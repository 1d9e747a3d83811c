"""What may change when a run goes on: what must not, what is said, what nobody needs to hear."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from loratory.config.base import param_of
from loratory.config.fields import declared
from loratory.config.load import dump
from loratory.config.resume import differences
from loratory.config.train import TrainConfig
from loratory.errors import UserError
from loratory.runs import RunFolder, read_events, request
from loratory.training.resume import open_run, run_path
from tests.unit.training.helpers import job

TWO = [{"path": "photos"}, {"path": "more", "captions": {"shuffle": True}}]


@pytest.mark.parametrize(
    ("before", "now", "forbidden", "allowed"),
    [
        ({}, {}, [], []),
        ({}, {"network": {"rank": 8}}, ["network.rank was 16 and is now 8"], []),
        ({}, {"seed": 7, "network": {"alpha": 4}},
         ["seed was 42 and is now 7", "network.alpha was 'auto' and is now 4.0"], []),
        ({}, {"optimizer": {"type": "adamw", "learning_rate": 0.5}}, [],
         ["optimizer.learning_rate was 0.0001 and is now 0.5"]),
        ({"duration": {"steps": 5}}, {"duration": {"epochs": 2}}, [],
         ["duration.steps was 5 and is now None", "duration.epochs was None and is now 2"]),
        ({}, {"saving": {"export_every_n_steps": 7, "output_dir": "elsewhere"}, "sampling": {"prompts": ["a"]},
              "logging": {"level": "debug"}}, [], []),
        ({}, {"name": "another"}, [], []),  # the folder was named on the command line
        ({}, {"datasets": [{"path": "other"}]}, ["datasets.0.path was 'photos' and is now 'other'"], []),
        ({}, {"datasets": [{"path": "photos", "captions": {"shuffle": True}}]}, [],
         ["datasets.0.captions.shuffle was False and is now True"]),
        ({}, {"network": {"rank": 8}, "schedule": {"type": "cosine"}}, ["network.rank was 16 and is now 8"],
         ["schedule.type was 'constant' and is now 'cosine'"]),
    ],
)  # fmt: skip
def test_differences(before: dict[str, Any], now: dict[str, Any], forbidden: list[str], allowed: list[str]) -> None:
    assert differences(job(**before), job(**now)) == (forbidden, allowed)


def test_datasets_that_came_or_went() -> None:
    one, two = job(), job(datasets=TWO)
    forbidden, allowed = differences(one, two)
    assert "datasets.1.path was None and is now 'more'" in forbidden
    assert "datasets.1.captions.shuffle was None and is now True" in allowed
    back, _ = differences(two, one)
    assert "datasets.1.path was 'more' and is now None" in back
    assert not any(line.startswith("datasets.0") for line in [*forbidden, *allowed, *back])


def test_another_optimizer_is_forbidden_and_its_own_options_are_listed() -> None:
    forbidden, allowed = differences(job(), job(optimizer={"type": "sgd"}))
    assert forbidden == ["optimizer.type was 'adamw' and is now 'sgd'"]
    assert "optimizer.momentum was None and is now 0.9" in allowed
    assert "optimizer.beta1 was 0.9 and is now None" in allowed


OTHER_VALUES = {
    "forbid": {"batching.size": 3, "network.train_text_encoders": True, "model.revision": "main"},
    "warn": {"objective.noise_offset": 0.1, "memory.precision": "fp16", "runtime.device": "cpu"},
    "free": {"caching.folder": "else", "memory.gradient_checkpointing": True, "sampling.seed": 1},
}


@pytest.mark.parametrize(("kind", "path"), [(kind, path) for kind, paths in OTHER_VALUES.items() for path in paths])
def test_each_kind_goes_by_its_declaration(kind: str, path: str) -> None:
    section, name = path.split(".")
    declarations = {each: param_of(model, field) for each, model, field in declared(TrainConfig)}
    assert declarations[path].on_resume == kind
    data = {section: {name: OTHER_VALUES[kind][path]}}
    if section == "model":
        data["model"]["path"] = "demo"
    forbidden, allowed = differences(job(), job(**data))
    assert (len(forbidden), len(allowed)) == {"forbid": (1, 0), "warn": (0, 1), "free": (0, 0)}[kind]


# Folders -----------------------------------------------------------------------------------------------------


def placed(tmp_path: Path) -> dict[str, Any]:
    """Paths as loading a job file makes them: absolute."""
    return {"saving": {"output_dir": str(tmp_path)}, "datasets": [{"path": str(tmp_path / "photos")}]}


def begun(tmp_path: Path, **sections: Any) -> TrainConfig:
    """A config whose run was started."""
    config = job(**placed(tmp_path) | sections)
    start = open_run(config, None, weights_only=False)
    assert start.is_new
    assert start.run.path == run_path(config) == tmp_path / "test"
    with start.run.lock():
        start.run.write_status("starting")
        start.begin(dump(config))
    return config


def test_a_run_goes_on_with_what_may_change(tmp_path: Path) -> None:
    config = begun(tmp_path)
    start = open_run(config, None, weights_only=True)
    assert not start.is_new
    assert (start.changed, start.step, start.weights_only) == ([], 0, True)
    longer = job(**placed(tmp_path), duration={"steps": 9})
    start = open_run(longer, None, weights_only=False)
    assert start.changed == ["duration.steps was None and is now 9"]
    assert (
        open_run(job(**placed(tmp_path), name="another"), tmp_path / "test", weights_only=False).run.path
        == tmp_path / "test"
    )


def test_a_run_that_waited_in_the_queue_is_new(tmp_path: Path) -> None:
    """Its folder has a config, and nobody has worked on it."""
    config = job(saving={"output_dir": str(tmp_path)}, datasets=[{"path": "/photos"}])
    run = RunFolder.create(tmp_path, "test", dump(config))
    start = open_run(config, run.path, weights_only=False)
    assert start.is_new
    with start.run.lock():
        start.begin(dump(config))
    assert [event.kind for event in read_events(run.events_path)[0]] == ["started"]


def test_what_was_asked_before_the_run_was_opened_is_refused_and_later_requests_wait(tmp_path: Path) -> None:
    config = begun(tmp_path, datasets=[{"path": "/photos"}])
    early = request(tmp_path / "test", "stop")
    time.sleep(0.002)  # an id tells its milliseconds
    start = open_run(config, tmp_path / "test", weights_only=False)
    time.sleep(0.002)
    late = request(tmp_path / "test", "stop")
    with start.run.lock():
        start.begin(dump(config))
        assert [each.id for each in start.run.pending_requests()] == [late]
    answers = [event.data for event in read_events(start.run.events_path)[0] if event.kind == "request_answered"]
    assert [(answer["request"], answer["ok"]) for answer in answers] == [(early, False)]


def test_a_run_of_another_config_is_refused_by_name(tmp_path: Path) -> None:
    begun(tmp_path)
    before = (tmp_path / "test" / "config.yaml").read_bytes()
    other = job(**placed(tmp_path), network={"rank": 8}, seed=1, duration={"steps": 9})
    with pytest.raises(UserError) as caught:
        open_run(other, None, weights_only=False)
    message = str(caught.value)
    assert str(tmp_path / "test") in message
    assert "network.rank was 16 and is now 8" in message
    assert "seed was 42 and is now 1" in message
    assert "duration" not in message, "what may change is not to blame"
    assert (tmp_path / "test" / "config.yaml").read_bytes() == before


def test_an_unreadable_frozen_config_is_said(tmp_path: Path) -> None:
    config = begun(tmp_path)
    (tmp_path / "test" / "config.yaml").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.yaml: a job file holds keys and values"):
        open_run(config, None, weights_only=False)
