"""Every parameter is declared whole: help, place, architectures, names elsewhere, and somebody who reads it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from loratory.config.architectures import SPECS
from loratory.config.base import Level, OnResume, Owner, StrictModel, param, param_of
from loratory.config.fields import declared, get_value, values
from loratory.config.load import dump, parse
from loratory.config.train import TrainConfig
from tests.unit.config.reading import Package, all_sections

TABS = ("Setup", "Dataset", "LoRA", "Learning rate", "Advanced", "Saving", "Logging")
EVERYTHING = list(declared(TrainConfig))
KOHYA_NAMES = {
    line
    for line in Path(__file__).with_name("kohya_names.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
}
each_parameter = pytest.mark.parametrize(
    ("path", "model", "name"), EVERYTHING, ids=[f"{path}-{model.__name__}" for path, model, _ in EVERYTHING]
)


@each_parameter
def test_a_parameter_says_what_it_is(path: str, model: type[BaseModel], name: str) -> None:
    help_text = model.model_fields[name].description or ""
    facts = param_of(model, name)
    assert re.fullmatch(r"\S.*\S\.", help_text), "help is one or more sentences, with a full stop at the end"
    assert "  " not in help_text
    assert "\n" not in help_text
    assert help_text[0] in "`0123456789" or help_text[0].isupper() or help_text.split()[0].rstrip(":") in (
        "auto", "upscale"  # the value that is explained first
    )  # fmt: skip
    assert facts.tab in TABS
    assert facts.group.strip()
    assert facts.level in get_args(Level)
    assert facts.on_resume in get_args(OnResume)
    assert facts.owner in get_args(Owner)
    assert set(facts.architectures) <= set(SPECS), "an architecture that does not exist"
    assert set(facts.kohya) <= KOHYA_NAMES, "kohya's trainer knows no such name"
    for names in (facts.kohya, facts.aitoolkit, facts.architectures):
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[a-z0-9_.]+", each) for each in names)


def test_sections_are_declared_with_help_too() -> None:
    for model in all_sections().values():
        for name, field in model.model_fields.items():
            assert param_of(model, name).tab in TABS
            assert (field.description or "").endswith("."), f"{model.__name__}.{name}"


def test_what_names_a_file_or_folder_is_marked_as_a_path() -> None:
    """Or a relative one would count from wherever the job is started."""
    marked = {path for path, model, name in EVERYTHING if param_of(model, name).path}
    named = {path for path, _, name in EVERYTHING if re.search(r"(path|folder|dir|file)$", name)}
    assert marked == named | {"model.components", "model.parts", "network.start_from"}


def test_options_of_one_name_agree_across_the_members_of_a_union() -> None:
    found: dict[str, set[tuple[Any, ...]]] = {}
    for path, model, name in EVERYTHING:
        facts = param_of(model, name)
        found.setdefault(path, set()).add((facts.tab, facts.group, facts.level, facts.on_resume, facts.owner))
    assert {path for path, different in found.items() if len(different) > 1} == set()


# Somebody reads it -------------------------------------------------------------------------------------------

# What is not read as an attribute, and where it is used instead.
READ_ELSEWHERE = {
    "TrainConfig.version": "migrate() takes it out of the plain data",
}


@pytest.fixture(scope="module")
def package() -> Package:
    return Package()


def test_every_parameter_is_read_by_the_engine(package: Package) -> None:
    assert set(package.unread()) == set(READ_ELSEWHERE), "declared without effect, or no longer an exception"


@pytest.mark.parametrize(
    ("file", "parameters"),
    [
        ("training/objectives/timesteps.py", {"ObjectiveConfig.sigmoid_scale", "ObjectiveConfig.min_timestep"}),
        ("training/saving.py", {"SavingConfig.format", "SavingConfig.tags"}),
        ("session.py", {"LoggingConfig.level"}),
    ],
)
def test_an_unread_parameter_would_be_found(file: str, parameters: set[str]) -> None:
    assert parameters <= set(Package(without=file).unread())


# Walking and secrets -----------------------------------------------------------------------------------------


def test_values_walks_over_everything_that_is_declared() -> None:
    data = {"name": "a", "model": {"path": "demo"}, "datasets": [{"path": "x"}, {"path": "y", "num_repeats": 3}]}
    config = parse(data, "test")
    found = {path: (value, default) for path, value, _, default in values(config)}
    chosen = {
        path
        for path, model, _ in EVERYTHING
        if not path.startswith(("optimizer.", "network.", "schedule."))
        or model.__name__ in ("AdamWConfig", "LoraConfig", "TargetsConfig", "ConstantSchedule")
    }
    empty = (
        "model.merge", "model.side_adapters", "alpha_schedule.linear", "alpha_schedule.conv",
        "datasets[].augmentation.pipeline",
    )  # fmt: skip
    chosen = {path for path in chosen if not path.startswith(tuple(f"{each}[]" for each in empty))} | set(empty)
    assert {re.sub(r"\.\d+\.", "[].", path) for path in found} == chosen
    assert found["datasets.1.num_repeats"] == (3, 1)
    assert found["datasets.0.path"] == ("x", ...)
    for path, (value, _) in found.items():
        assert get_value(config, path) == value


class Login(StrictModel):
    user: str = param("somebody", help="Who.", tab="Logging", group="Login")
    token: str = param("", help="Proof.", tab="Logging", group="Login", secret=True)


class JobWithLogin(TrainConfig):
    login: Login = param(Login(), help="Login.", tab="Logging", group="Login")
    logins: tuple[Login, ...] = param((), help="More logins.", tab="Logging", group="Login")


def test_secrets_are_not_written_down() -> None:
    config = JobWithLogin(
        name="a", model={"path": "demo"}, datasets=[{"path": "x"}], login={"user": "me", "token": "hf_secret"},
        logins=[{"user": "you", "token": "hf_secret"}],
    )  # fmt: skip
    text = dump(config)
    assert "hf_secret" not in text
    assert "token:" not in text
    assert "user: me" in text
    assert "user: you" in text


def test_tokens_of_the_environment_have_no_place_in_a_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read from the environment, so that a config can be shared."""
    for variable in ("HF_TOKEN", "CIVITAI_API_KEY", "WANDB_API_KEY"):
        monkeypatch.setenv(variable, "hf_secret")
    config = parse({"name": "a", "model": {"path": "demo"}, "datasets": [{"path": "x"}]}, "test")
    assert "hf_secret" not in dump(config)
    suspects = [path for path, _, name in EVERYTHING if re.search(r"token$|key$|password|secret", name)]
    assert [path for path in suspects if not get_fact(path).secret] == []


def get_fact(path: str) -> Any:
    return next(param_of(model, name) for each, model, name in EVERYTHING if each == path)
