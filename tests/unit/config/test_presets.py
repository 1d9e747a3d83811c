"""Presets: what they may hold, how a job's own fields go before theirs, and that all that come along are sound."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loratory.config import presets
from loratory.config.architectures import SPECS
from loratory.config.base import param_of
from loratory.config.fields import declared, get_value
from loratory.config.load import dump, load, parse
from loratory.config.modules import layers
from loratory.config.network_preview import preview
from loratory.config.plain import ConfigError, read_yaml, write_yaml
from loratory.config.presets import Preset, built_in, fill, find, nearest_card, save, settings_of
from loratory.config.presets.base import check_settings, owned, skeleton
from loratory.config.presets.cards import CARDS, MEMORIES
from loratory.config.presets.parts import BASES, GOALS
from loratory.config.rules import check
from loratory.config.train import TrainConfig
from loratory.data.scan import Item, Scan
from loratory.errors import UserError
from loratory.planner import plan
from loratory.planner.counts import Shapes
from loratory.planner.estimate import estimate

JOB = {"name": "a", "model": {"path": "demo"}, "datasets": [{"path": "x"}]}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def job(preset: str, **own: Any) -> TrainConfig:
    return parse(JOB | {"preset": preset} | own, "the job")


def written(name: str, settings: Mapping[str, Any], **facts: Any) -> None:
    save(Preset(name, "", settings, **facts))


# Those that come along ---------------------------------------------------------------------------------------


def test_there_is_one_for_every_architecture_goal_and_card() -> None:
    assert set(BASES) == set(CARDS) == set(SPECS), "a new architecture needs a base and its cards"
    assert set(GOALS) == {"character", "style", "object", "concept"}
    for name, cards in CARDS.items():
        assert set(cards) <= set(MEMORIES)
        assert list(cards) == sorted(cards)
        largest = MEMORIES[MEMORIES.index(min(cards)) :]
        assert tuple(cards) == largest, "what fits a card fits larger ones"
        assert {f"{name}-{goal}-{memory}gb" for goal in GOALS for memory in cards} <= set(built_in())
    assert len(built_in()) == 1 + len(GOALS) * sum(map(len, CARDS.values()))


def pictures() -> Scan:
    """Thirty pictures in three shapes, as `scan` would find them."""
    sizes = [(1600, 1200), (1024, 1024), (900, 1500)]
    items = tuple(Item(f"{number:02}.png", w, h, None, 1, 1, 1, "") for number, (w, h) in enumerate(sizes * 10))
    return Scan(root=Path("x"), items=items, problems=())


@pytest.mark.parametrize("architecture", SPECS)
def test_no_rule_has_anything_to_say_and_it_can_be_planned(architecture: str) -> None:
    spec, scan = SPECS[architecture], pictures()
    mine = [each for each in built_in().values() if each.architecture == architecture]
    assert mine
    for each in mine:
        check_settings(each.settings, each.name)
        config = job(each.name)
        assert check(config, spec) == [], each.name
        planned = plan(config, spec, [scan])
        step = config.batching.size * config.batching.gradient_accumulation_steps
        assert planned.total_steps >= 500
        assert len(planned.samples) == 30
        assert step == (4 if each.name == "classic" else GOALS[each.goal].batch[spec.objective])
        assert preview(spec, layers(architecture), config.network).parameters > 0
        assert each.why
        assert all(line.endswith(".") and line[0].isupper() for line in each.why), each.name


@pytest.mark.parametrize("architecture", SPECS)
def test_a_step_is_the_same_on_every_card(architecture: str) -> None:
    """Only memory, how many pictures at a time, and how many are encoded together."""
    for goal in GOALS:
        found = []
        for memory in CARDS[architecture]:
            config = job(f"{architecture}-{goal}-{memory}gb")
            batching = config.batching
            steps = batching.size * batching.gradient_accumulation_steps
            same = config.model_dump(exclude={"memory", "caching", "batching", "preset"})
            found.append((steps, batching.buckets, same))
        assert all(each == found[0] for each in found)


def test_classic_is_what_the_web_forms_begin_with() -> None:
    """UNet 5e-4, text encoder 1e-4, cosine with 3 restarts, AdamW8bit, rank 16, alpha 8, batch 4, min-SNR 5, clip skip
    2, fp16: the issue's own list."""
    config = job("classic")
    expected = {
        "optimizer.type": "adamw8bit", "optimizer.learning_rate": 5e-4, "optimizer.text_encoder_learning_rate": 1e-4,
        "schedule.type": "cosine_with_restarts", "schedule.num_cycles": 3, "network.type": "lora", "network.rank": 16,
        "network.alpha": 8, "network.train_text_encoders": True, "batching.size": 4, "objective.min_snr_gamma": 5,
        "text.clip_skip": 2, "memory.precision": "fp16",
    }  # fmt: skip
    assert {path: get_value(config, path) for path in expected} == expected


LEFT_OVER = 0.05
"""Of a card's memory, for the desktop, for cards that say a little more than they have, and for wrong estimates."""


@pytest.mark.parametrize("architecture", SPECS)
def test_it_fits_the_card_by_the_planners_estimate(architecture: str) -> None:
    """With every goal and in every phase, samples among them; pictures of three shapes at the usual size."""
    spec = SPECS[architecture]
    datasets = [Shapes("x", np.array([(1600, 1200), (1024, 1024), (900, 1500)] * 10), np.ones(30, np.int64))]
    mine = [each for each in built_in().values() if each.architecture == architecture]
    for each in mine:
        config = job(each.name, sampling={"prompts": ["a lory"], "every_n_steps": 250})
        limit = ((each.memory or MEMORIES[0]) * 2**30) * (1 - LEFT_OVER)
        found = estimate(config, spec, layers(architecture), datasets)
        phases = {phase.name: phase.bytes for phase in found.memory.phases}
        assert "training" in phases
        assert "samples" in phases
        assert ("encoding pictures" in phases) is not spec.pixel_space
        too_much = {name: f"{size / 2**30:.1f} GiB" for name, size in phases.items() if size > limit}
        assert not too_much, f"{each.name}: more than {limit / 2**30:.1f} GiB"
        assert found.peak_bytes == max(phases.values())


def test_a_trained_text_encoder_is_not_said_to_wait() -> None:
    for each in built_in().values():
        said = " ".join(each.why)
        config = job(each.name)
        waits, trains = config.memory.low_vram, config.network.train_text_encoders
        assert ("The autoencoder waits" in said) is (waits and trains), each.name
        assert ("Encoders wait" in said) is (waits and not trains), each.name


# A job and its preset ----------------------------------------------------------------------------------------


def test_the_jobs_own_fields_go_first() -> None:
    config = job(
        "sdxl-style-12gb", network={"rank": 8}, datasets=[{"path": "x", "captions": {"shuffle": True}}, {"path": "y"}]
    )
    assert (config.network.rank, config.network.conv_rank) == (8, 16)
    assert [each.captions.dropout_rate for each in config.datasets] == [0.1, 0.1]
    assert [each.captions.shuffle for each in config.datasets] == [True, False]
    assert config.schedule.type == "cosine"
    off = job("sdxl-style-12gb", objective={"min_snr_gamma": None})
    assert off.objective.min_snr_gamma is None, "what is set to the default is set"


@pytest.mark.parametrize(
    ("own", "path", "expected"),
    [
        ({"optimizer": {"type": "prodigy"}}, "optimizer.learning_rate", 1.0),
        ({"optimizer": "Prodigy"}, "optimizer.type", "prodigy"),
        ({"optimizer": {"learning_rate": 5e-5}}, "optimizer.learning_rate", 5e-5),
        ({"optimizer": {"arguments": "weight_decay=0.2"}}, "optimizer.weight_decay", 0.2),
        ({"optimizer": {"type": "AdamW"}}, "optimizer.learning_rate", 1e-4),
        ({"schedule": {"type": "linear"}}, "schedule.warmup_ratio", None),
        ({"schedule": {"warmup_steps": 7}}, "schedule.warmup_ratio", None),
        ({"schedule": {"warmup_steps": 7}}, "schedule.type", "cosine"),
        ({"network": {"type": "lokr"}}, "network.conv_rank", None),
        ({"network": {"type": "loha"}}, "network.rank", 4),
    ],
)  # fmt: skip
def test_another_type_or_way_of_the_job_stands_alone(own: dict[str, Any], path: str, expected: Any) -> None:
    assert get_value(job("sdxl-style-12gb", **own), path) == expected


def test_epochs_of_the_job_take_the_place_of_steps() -> None:
    written("long", {"duration": {"steps": 9000}})
    assert job("long").duration.steps == 9000
    assert job("long", duration={"epochs": 3}).duration.steps is None


def test_mistakes_of_the_job_are_said_as_ever() -> None:
    for own, message in (
        ({"network": None}, "network: is empty"),
        ({"optimizer": {"arguments": "what=1"}}, "takes no argument what"),
        ({"datasets": "x"}, "datasets: must be a list"),
        ({"preset": 5}, "preset: must be a text"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse(JOB | {"preset": "sdxl-style-12gb"} | own, "the job")


def test_from_a_file_and_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("settings: {network: {rank: 5}}\n", encoding="utf-8")
    text = "name: a\nmodel: {path: demo}\ndatasets: [{path: x}]\n"
    (tmp_path / "job.yaml").write_text(f"preset: ./mine.yaml\n{text}", encoding="utf-8")
    assert load(tmp_path / "job.yaml").network.rank == 5, "relative to the job file"
    (tmp_path / "other.yaml").write_text(text, encoding="utf-8")
    config = load(tmp_path / "other.yaml", ["preset=flux1-style-24gb", "network.rank=7"])
    assert (config.network.rank, config.memory.low_vram) == (7, True)


def test_a_runs_own_copy_needs_no_preset(tmp_path: Path, own_home: Path) -> None:
    written("mine", {"network": {"rank": 5}})
    config = job("mine", network={"dropout": 0.1}, datasets=[{"path": str(tmp_path)}])
    (tmp_path / "config.yaml").write_text(dump(config), encoding="utf-8")
    (own_home / "presets" / "mine.yaml").unlink()
    assert load(tmp_path / "config.yaml", frozen=True) == config
    assert check(config, SPECS["sd15"]) == []
    with pytest.raises(UserError, match="a preset cannot fill any"):
        load(tmp_path / "config.yaml", ["preset=classic"], frozen=True)
    with pytest.raises(ConfigError, match="preset: There is no preset 'mine'"):
        load(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("name", "message"),
    [("sdxl-styl-12gb", "did you mean sdxl-style-12gb"), ("../secret", "There is no preset"), ("x.yaml", "There is no"),
     ("qqq", "`loratory presets` lists")],
)  # fmt: skip
def test_one_that_is_not_there(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        job(name)


# What they may hold ------------------------------------------------------------------------------------------


def test_what_belongs_to_a_job_its_model_or_its_pictures_is_refused() -> None:
    """Every such parameter, one by one; and every path."""
    may = dict(owned())
    checked = 0
    for path, model, name in declared(TrainConfig):
        facts = param_of(model, name)
        plain = path.replace("[]", "")
        assert may[plain] == (facts.owner in ("recipe", "machine") and not facts.path and not facts.secret), path
        if not may[plain]:
            nested: Any = "x"
            for part in reversed(plain.split(".")):
                nested = {part: nested}
            with pytest.raises(ConfigError, match=f"settings.{plain}: belongs to a job and not to a preset"):
                check_settings(nested, "mine.yaml")
            checked += 1
    assert checked > 60
    never = ("name", "preset", "model.path", "datasets.path", "datasets.trigger_word", "saving.output_dir",
             "sampling.prompts", "network.start_from", "datasets.captions.prefix", "runtime.device")  # fmt: skip
    assert not any(may[path] for path in never)
    assert may["memory.low_vram"], "what makes it fit is a preset's"
    assert may["seed"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("settings: {saving: {output_dir: /x}}", r"settings.saving.output_dir: belongs to a job"),
        ("settings: {network: {rank: 0}}", r"settings.network.rank: must be at least 1"),
        ("settings: {netwrok: {rank: 1}}", r"settings.netwrok.rank: unknown key; did you mean network.rank"),
        ("settings: {datasets: [{num_repeats: 2}]}", r"settings.datasets.num_repeats: belongs"),
        ("settings: {datasets: [{captions: {shuffle: true}}]}", r"settings.datasets: .* without a dash"),
        ("settings: {datasets: {captions: {shuffle: 3}}}", r"settings.datasets.captions.shuffle: must be true"),
        ("settings: {preset: classic}", r"settings.preset: belongs to a job"),
        ("settings: 5", "settings must hold keys"),
        ("network: {rank: 1}", "a preset holds `settings`"),
        ("settings: {}\nname: x", "name: unknown key; a preset has title, architecture, why, settings"),
        ("settings: {}\nwhy: {a: b}", "why a list of texts"),
        ("settings: {}\narchitecture: sdlx", "architecture: 'sdlx' is not known; did you mean sdxl"),
        ("settings: [", "line 1"),
    ],
)
def test_files_that_are_no_preset(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        find(str(tmp_path / "mine.yaml"))
    assert str(tmp_path / "mine.yaml") in str(caught.value)


def test_saved_settings_make_the_same_training(own_home: Path) -> None:
    source = job(
        "sdxl-concept-8gb", optimizer={"type": "prodigy", "weight_decay": 0.2}, saving={"output_dir": "/x"},
        sampling={"prompts": ["a"]}, seed=7,
        datasets=[{"path": "x", "trigger_word": "ohwx", "captions": {"shuffle": True}},
                  {"path": "y", "captions": {"shuffle": True, "keep_tokens": 1}},
                  {"path": "z", "is_regularisation": True}],
    )  # fmt: skip
    settings, left_out = settings_of(source)
    assert left_out == ["datasets.captions.keep_tokens is not the same for all datasets"]
    assert "ohwx" not in str(settings)
    assert "/x" not in str(settings)
    path = save(Preset("mine", "Mine", settings, "sdxl", why=("Because.",)))
    assert path == own_home / "presets" / "mine.yaml"
    found = find("mine")
    assert (found.title, found.architecture, found.why) == ("Mine", "sdxl", ("Because.",))
    again = job("mine", datasets=[{"path": "x", "captions": {"shuffle": True}}])
    for section in ("optimizer", "network", "memory", "batching", "schedule", "objective", "seed", "caching"):
        assert getattr(again, section) == getattr(source, section), section
    assert settings_of(again)[0] == settings


@pytest.mark.parametrize("name", list(built_in())[::23])
def test_what_comes_along_can_be_saved_and_read_again(name: str) -> None:
    settings, left_out = settings_of(job(name))
    assert left_out == []
    assert skeleton(read_yaml(write_yaml(settings), "test")) == skeleton(built_in()[name].settings)


def test_names_of_own_presets() -> None:
    for name in ("", "a/b", "..", "x.yaml", "a\n", ".hidden", "classic"):
        with pytest.raises(UserError, match=r"is no name for a preset|comes along"):
            written(name, {"seed": 1})
    written("mine", {"seed": 1})
    with pytest.raises(UserError, match=r"already .* give --replace"):
        written("mine", {"seed": 2})
    save(Preset("mine", "", {"seed": 3}), replace=True)
    assert find("mine").settings == {"seed": 3}
    assert presets.own_names() == ["mine"]
    assert "mine" in presets.known()


def test_filling_changes_neither_side() -> None:
    data, settings = {"a": 1, "network": {"rank": 3}}, {"network": {"rank": 4, "dropout": 0.5}}
    assert fill(data, settings) == {"a": 1, "network": {"type": "lora", "rank": 3, "dropout": 0.5}}
    assert data == {"a": 1, "network": {"rank": 3}}
    assert settings == {"network": {"rank": 4, "dropout": 0.5}}


@pytest.mark.parametrize(
    ("gigabytes", "expected"),
    [(6, None), (7.996, 8), (11, 8), (11.994, 12), (23.99, 24), (32, 24), (40, 24), (47.5, 48), (79.6, 80), (141, 80)],
)
def test_the_card_that_is_there(gigabytes: float, expected: int | None) -> None:
    assert nearest_card("sdxl", gigabytes) == expected
    assert nearest_card("flux2", 16) is None
