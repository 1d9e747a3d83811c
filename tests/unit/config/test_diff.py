"""What differs between jobs, runs, presets and the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loratory.config.diff import Difference, Side, as_json, differences, lines
from loratory.config.fields import changes
from loratory.config.load import dump, parse
from loratory.config.presets import built_in, find
from loratory.config.train import TrainConfig

JOB: dict[str, Any] = {"name": "a", "model": {"path": "/m"}, "datasets": [{"path": "/x"}]}


def job(**sections: Any) -> TrainConfig:
    return parse(JOB | sections, "the job")


def pairs(a: Any, b: Any) -> dict[str, tuple[Any, Any]]:
    found = differences(Side("a", a), Side("b", b))
    assert len({each.path for each in found}) == len(found)
    return {each.path: (each.a if each.in_a else "no", each.b if each.in_b else "no") for each in found}


def test_two_jobs() -> None:
    assert pairs(job(), job()) == {}
    other = job(name="b", network={"rank": 8}, datasets=[{"path": "/y", "captions": {"shuffle": True}}])
    assert pairs(job(), other) == {
        "name": ("a", "b"), "network.rank": (16, 8), "datasets.0.path": ("/x", "/y"),
        "datasets.0.captions.shuffle": (False, True),
    }  # fmt: skip
    assert pairs(other, job())["network.rank"] == (8, 16)


def test_sections_of_other_types_and_lengths() -> None:
    found = pairs(job(), job(schedule={"type": "cosine_with_restarts", "num_cycles": 3}))
    assert found == {"schedule.type": ("constant", "cosine_with_restarts"), "schedule.num_cycles": ("no", 3)}
    found = pairs(job(), job(datasets=[{"path": "/x"}, {"path": "/y", "num_repeats": 3}]))
    assert found["datasets.1.path"] == ("no", "/y")
    assert found["datasets.1.num_repeats"] == ("no", 3)


def test_what_only_one_side_has_stands_at_its_place() -> None:
    found = differences(Side("a", job(seed=1)), Side("b", job(optimizer={"type": "sgd"}, sampling={"seed": 3})))
    paths = [each.path for each in found]
    assert paths[0] == "seed"
    assert paths[-1] == "sampling.seed"
    assert paths.index("optimizer.momentum") < paths.index("sampling.seed")


def test_defaults_have_no_names_and_no_paths() -> None:
    assert pairs(job(), None) == {}
    assert pairs(None, job(network={"rank": 8}, saving={"title": "x"})) == {
        "network.rank": (16, 8), "saving.title": (None, "x"),
    }  # fmt: skip


def test_a_preset_is_compared_in_what_a_preset_may_hold() -> None:
    preset = find("sdxl-style-12gb")
    named = job(
        preset=preset.name, saving={"title": "x"}, datasets=[{"path": "/x", "trigger_word": "w"}, {"path": "/y"}]
    )
    assert pairs(named, preset) == {}, "title, words and the name of the preset are the job's"
    changed = job(
        preset=preset.name,
        network={"rank": 8},
        datasets=[{"path": "/x"}, {"path": "/y", "captions": {"dropout_rate": 0}}],
    )
    assert pairs(preset, changed) == {"network.rank": (32, 8), "datasets.1.captions.dropout_rate": (0.1, 0.0)}
    larger = pairs(preset, find("sdxl-style-24gb"))
    assert larger["memory.gradient_checkpointing"] == ("on", "off")
    assert {path.partition(".")[0] for path in larger} <= {"memory", "batching", "caching"}, (
        "another card, no other recipe"
    )


def test_against_the_defaults_a_preset_shows_what_it_sets() -> None:
    found = pairs(None, built_in()["classic"])
    assert found["optimizer.learning_rate"] == (1e-4, 5e-4)
    assert found["text.clip_skip"] == (None, 2)
    assert found["memory.precision"] == ("bf16", "fp16")


def test_for_people_and_for_programs() -> None:
    found = [
        Difference("optimizer.learning_rate", 1e-4, 2.5e-5), Difference("schedule.num_cycles", None, 3, in_a=False),
        Difference("saving.title", None, "x"), Difference("network.targets.block_ranks", {}, {"b": 1}),
        Difference("sampling.prompts", ["a\n"], [], in_b=False), Difference("sampling.negative_prompt", "", True),
    ]  # fmt: skip
    assert lines(found) == [
        ("optimizer.learning_rate", "0.0001", "2.5e-05"), ("schedule.num_cycles", "–", "3"),
        ("saving.title", "null", "x"), ("network.targets.block_ranks", "{}", '{"b": 1}'),
        ("sampling.prompts", '["a\\n"]', "–"), ("sampling.negative_prompt", '""', "true"),
    ]  # fmt: skip
    plain = as_json(found)
    assert plain[0] == {"path": "optimizer.learning_rate", "a": 1e-4, "b": 2.5e-5}
    assert plain[1] == {"path": "schedule.num_cycles", "b": 3}
    assert "b" not in plain[4]


@pytest.mark.parametrize("name", ["classic", "flux1-concept-8gb", "sd15-character-8gb"])
def test_what_is_changed_gives_the_same_job(name: str, tmp_path: Path) -> None:
    config = job(
        preset=name, optimizer={"type": "prodigy"}, seed=1, alpha_schedule={"linear": [{"name": "p", "alpha": 2}]},
        datasets=[{"path": "/x", "augmentation": {"pipeline": [{"name": "Rotate"}]}}, {"path": "/y"}],
    )  # fmt: skip
    data = changes(config)
    assert parse(data, "again") == config
    assert parse({key: value for key, value in data.items() if key != "preset"}, "again") == config.model_copy(
        update={"preset": None}
    )
    assert len(str(data)) < len(dump(config)) / 4
    assert changes(job()) == JOB
