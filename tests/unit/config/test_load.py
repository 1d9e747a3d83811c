"""Job files: what is read, and what is said about one that is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from loratory.config import load as loading
from loratory.config import migrate as migration
from loratory.config.fields import get_value, section_types
from loratory.config.load import ConfigError, apply_override, load, parse, read_yaml
from loratory.config.train import TrainConfig
from loratory.errors import UserError

JOB = "name: dog\nmodel: {path: some/model}\ndatasets: [{path: ./dog}]\n"


def load_text(tmp_path: Path, text: str, *overrides: str) -> Any:
    file = tmp_path / "job.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, overrides)


def problems(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text, *overrides)
    assert str(caught.value).startswith(str(tmp_path / "job.yaml") if not overrides else "")
    for problem in caught.value.problems:
        assert problem in str(caught.value)
    return list(caught.value.problems)


def kinds(field: str) -> str:
    """What may stand in `type` of a section, in words."""
    members = section_types(TrainConfig.model_fields[field].annotation)
    return ", ".join(str(member.model_fields["type"].default) for member in members)


OPTIMIZERS, SCHEDULES = kinds("optimizer"), kinds("schedule")

# Mistakes ----------------------------------------------------------------------------------------------------

WRONG = {
    # unknown keys
    "netwrok: {rank: 8}": ["netwrok.rank: unknown key; did you mean network.rank?"],
    "network: {rnak: 8, alhpa: 4}": [
        "network.rnak: unknown key; did you mean network.rank?",
        "network.alhpa: unknown key; did you mean network.alpha?",
    ],
    "batching: {buckets: {resolutoin: 512}}": [
        "batching.buckets.resolutoin: unknown key; did you mean batching.buckets.resolution?"
    ],
    "rank: 8": ["rank: unknown key; did you mean network.rank?"],
    "network_dim: 8": ["network_dim: unknown key; did you mean network.rank?"],
    "train_batch_size: 8": ["train_batch_size: unknown key; did you mean batching.size?"],
    "qqqqqqqq: 1": ["qqqqqqqq: unknown key; `loratory config schema` lists what there is"],
    "5: 6": ["5: unknown key; `loratory config schema` lists what there is"],
    "optimizer: {type: adamw, momentum: 0.5}": [
        "optimizer.momentum: unknown key; it belongs to type sgd, not to adamw"
    ],
    "optimizer: {type: sgd, beta1: 0.5}": ["optimizer.beta1: unknown key; it belongs to type adamw, not to sgd"],
    "optimizer: {sgd: 1}": ["optimizer.sgd: unknown key; did you mean optimizer.d0?"],
    # unions with a type
    "optimizer: {type: adamx}": [f"optimizer.type: 'adamx' is unknown; known: {OPTIMIZERS}; did you mean adamw?"],
    "optimizer: {type: bogus}": [f"optimizer.type: 'bogus' is unknown; known: {OPTIMIZERS}"],
    "optimizer: adamx": [f"optimizer.type: 'adamx' is unknown; known: {OPTIMIZERS}; did you mean adamw?"],
    "optimizer: 3": ["optimizer: must hold keys and values (it is 3)"],
    "optimizer: {learning_rate: fast}": ["optimizer.learning_rate: must be a number (it is 'fast')"],
    # kinds of values
    "network: {rank: many}": ["network.rank: must be a whole number (it is 'many')"],
    "network: {rank: 1.5}": ["network.rank: must be a whole number (it is 1.5)"],
    "network: {rank: true}": ["network.rank: must be a whole number (it is true)"],
    "network: {rank: [8]}": ["network.rank: must be a whole number"],
    "network: {rank: null}": ["network.rank: must be a whole number (it is null)"],
    "saving: {export_every_n_steps: false}": [
        "saving.export_every_n_steps: must be a whole number or null (it is false)"
    ],
    "network: {alpha: strong}": ["network.alpha: must be a number or auto (it is 'strong')"],
    "network: {alpha: .nan}": ["network.alpha: must be a number or auto (it is nan)"],
    "network: {alpha: .inf}": ["network.alpha: must be a number or auto (it is inf)"],
    "sampling: {before_first_step: maybe}": ["sampling.before_first_step: must be true or false (it is 'maybe')"],
    "memory: {gradient_checkpointing: maybe}": [
        "memory.gradient_checkpointing: must be one of off, on, selective, offload (it is 'maybe')"
    ],
    "schedule: {type: cosin}": [
        f"schedule.type: 'cosin' is unknown; known: {SCHEDULES}; did you mean cosine?"
    ],
    "caching: {latents: ram}": ["caching.latents: must be one of off, memory, disk (it is 'ram')"],
    "saving: {title: 5}": ["saving.title: must be a text in quotes or null (it is 5)"],
    "batching: {buckets: {resolution: large}}": [
        "batching.buckets.resolution: must be a whole number, a list of 2 whole numbers or null (it is 'large')"
    ],
    "batching: {buckets: {resolution: [1, 2, 3]}}": [
        "batching.buckets.resolution: must be a whole number, a list of 2 whole numbers or null"
    ],
    "sampling: {prompts: a dog}": ["sampling.prompts: must be a list (it is 'a dog')"],
    "sampling: {prompts: [a dog, 5]}": ["sampling.prompts.1: must be a text in quotes (it is 5)"],
    "network: 5": ["network: must hold keys and values (it is 5)"],
    "network:": ["network: is empty; fill it in or remove the line"],
    # ranges
    "network: {rank: 0}": ["network.rank: must be at least 1 (it is 0)"],
    "network: {rank: 5000}": ["network.rank: must be at most 1024 (it is 5000)"],
    "network: {dropout: 1}": ["network.dropout: must be below 1 (it is 1)"],
    "optimizer: {learning_rate: 0}": ["optimizer.learning_rate: must be above 0 (it is 0)"],
    "optimizer: {type: sgd, learning_rate: -1}": ["optimizer.learning_rate: must be above 0 (it is -1)"],
    # the whole file
    "job: generate": ["job: 'generate' is not a kind of job; known: train"],
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG.items(), ids=list(WRONG))
def test_each_mistake_is_one_line(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path, JOB + text) == expected


WRONG_DATASETS = {
    "[{path: x, num_repeats: zero}]": ["datasets.0.num_repeats: must be a whole number (it is 'zero')"],
    "[{path: x}, {num_repeats: 2}]": ["datasets.1.path: is missing, and there is no default for it"],
    "[{path: x, captions: {shufle: true}}]": [
        "datasets.0.captions.shufle: unknown key; did you mean datasets[].captions.shuffle?"
    ],
    "[{path: x, captions: {shuffle: sometimes, keep_tokens: -1}, num_repeats: 0}]": [
        "datasets.0.num_repeats: must be at least 1 (it is 0)",
        "datasets.0.captions.shuffle: must be true or false (it is 'sometimes')",
        "datasets.0.captions.keep_tokens: must be at least 0 (it is -1)",
    ],
    "[{path: x, captions: {extensions: []}}]": ["datasets.0.captions.extensions: must have at least one entry"],
    "[{path: x, resolutions: [512, [1, x], large]}]": [
        "datasets.0.resolutions.1: must be a whole number or a list of 2 whole numbers",
        "datasets.0.resolutions.2: must be a whole number or a list of 2 whole numbers (it is 'large')",
    ],
    "[{path: x, resolutions: [true]}]": [
        "datasets.0.resolutions.0: must be a whole number or a list of 2 whole numbers (it is true)"
    ],
    "[{path: ''}]": ["datasets.0.path: must not be empty (it is '')"],
    "[./dog]": ["datasets.0: must hold keys and values (it is './dog')"],
    "{path: x}": ["datasets: must be a list; begin each of its entries with a dash"],
    "./dog": ["datasets: must be a list; begin each of its entries with a dash (it is './dog')"],
    "[]": ["datasets: must have at least one entry"],
}


@pytest.mark.parametrize(("text", "expected"), WRONG_DATASETS.items(), ids=list(WRONG_DATASETS))
def test_mistakes_in_lists_are_said_once_and_in_their_place(tmp_path: Path, text: str, expected: list[str]) -> None:
    """A list whose only entry is wrong is not also called too short."""
    assert problems(tmp_path, f"name: dog\nmodel: {{path: demo}}\ndatasets: {text}\n") == expected


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, "name: a/b\nmodel: {}\nnetwork: {rank: 0}\nqqq: 1\n")
    assert [line.split(":")[0] for line in found] == ["name", "model.path", "network.rank", "datasets", "qqq"]


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a:b", "dog.", " dog", "a\tb", "what?", "a|b", "con<"])
def test_a_name_must_fit_into_a_file_name(tmp_path: Path, name: str) -> None:
    data = {"name": name, "model": {"path": "demo"}, "datasets": [{"path": "x"}]}
    with pytest.raises(ConfigError, match="name: becomes the name of a folder"):
        parse(data, "test")
    assert parse(data | {"name": "my dog-2.1 (v3) ünïcode"}, "test").name == "my dog-2.1 (v3) ünïcode"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nname: b\n", r"the key 'name' is given twice \(line 2, column 1\)"),
        ("network:\n  rank: 1\n  alpha: 2\n  rank: 3\n", r"the key 'rank' is given twice \(line 4, column 3\)"),
        ("name: a\n\tb: c\n", r"line 2, column 1"),
        ("name: [a\n", r"line 2, column 1"),
        ("name: {{x}}\n", r"unhashable key \(line 1, column 8\)"),
        ("name: !!python/object:os.system {}\n", r"could not determine a constructor.*line 1"),
        ("name: a\x00b\n", "special characters are not allowed"),
        ("", "a job file holds keys and values"),
        ("- a\n- b\n", "a job file holds keys and values"),
        ("just text\n", "a job file holds keys and values"),
    ],
)
def test_files_that_are_no_job(tmp_path: Path, text: str, message: str) -> None:
    (found,) = problems(tmp_path, text)
    assert re.search(message, found), found
    assert "\n" not in found


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no job file .*missing\.yaml; give"):
        load(tmp_path / "missing.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "job.yaml").write_bytes("name: döner\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"job\.yaml is not UTF-8 text \(byte 7\)"):
        load(tmp_path / "job.yaml")


# What YAML means ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-4", 1e-4), ("1E-4", 1e-4), ("-2e3", -2000.0), ("1.5e-3", 1.5e-3), ("5e5", 5e5), ("1_0e1", 100.0),
        ("12", 12), ("0.5", 0.5), ("1e", "1e"), ("e4", "e4"), ("1e4x", "1e4x"), ("'1e4'", "1e4"), ("off", "off"),
        ("no", "no"), ("on", "on"), ("true", True), ("False", False), ("null", None), ("2024-01-01", "2024-01-01"),
        ("{a: {b: off}}", {"a": {"b": "off"}}), ('{"a": [1, 2e1]}', {"a": [1, 20.0]}),
    ],
)  # fmt: skip
def test_values_are_what_people_mean(text: str, expected: Any) -> None:
    found = read_yaml(text, "test")
    assert found == expected
    assert type(found) is type(expected)


def test_modes_that_are_called_off_need_no_quotes(tmp_path: Path) -> None:
    config = load_text(tmp_path, JOB + "caching: {latents: off}\n", "batching.buckets.mode=off")
    assert config.caching.latents == config.batching.buckets.mode == "off"
    switches = load_text(tmp_path, JOB + "memory: {gradient_checkpointing: on}\n", "sampling.before_first_step=no")
    assert (switches.memory.gradient_checkpointing, switches.sampling.before_first_step) == ("on", False)


@pytest.mark.parametrize(("given", "mode"), [("true", "on"), ("false", "off"), ("on", "on"), ("offload", "offload")])
def test_gradient_checkpointing_was_a_switch_and_may_still_be_one(tmp_path: Path, given: str, mode: str) -> None:
    assert load_text(tmp_path, JOB, f"memory.gradient_checkpointing={given}").memory.gradient_checkpointing == mode
    text = JOB + f"memory: {{gradient_checkpointing: {given}}}\n"
    assert load_text(tmp_path, text).memory.gradient_checkpointing == mode


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_bytes(b"\xef\xbb\xbf" + JOB.replace("\n", "\r\n").encode())
    assert load(tmp_path / "job.yaml").name == "dog"


def test_anchors_and_merges(tmp_path: Path) -> None:
    text = "name: dog\nmodel: {path: demo}\ndatasets:\n- &first {path: /a, num_repeats: 2}\n- {<<: *first, path: /b}\n"
    config = load_text(tmp_path, text)
    assert [(each.path, each.num_repeats) for each in config.datasets] == [("/a", 2), ("/b", 2)]


def test_only_the_rate_of_the_usual_optimizer_need_be_given(tmp_path: Path) -> None:
    config = load_text(tmp_path, JOB + "optimizer: {learning_rate: 1e-3}\n")
    assert (config.optimizer.type, config.optimizer.learning_rate) == ("adamw", 1e-3)
    assert load_text(tmp_path, JOB, "optimizer.learning_rate=2e-3").optimizer.learning_rate == 2e-3


# Paths -------------------------------------------------------------------------------------------------------


def test_relative_paths_count_from_the_job_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, here = tmp_path / "jobs", tmp_path / "here"
    jobs.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    text = (
        "name: dog\nmodel: {path: ./model, vae_path: org/vae}\n"
        "datasets: [{path: ./dog}, {path: ../cat}, {path: bird}]\n"
        "saving: {output_dir: out}\nsampling: {prompts_file: p.txt}\ncaching: {folder: /cache}\n"
        "network: {start_from: a/b.safetensors}\n"
    )
    config = load_text(jobs, text)
    assert config.model.path == str(jobs / "model")
    assert config.model.vae_path == "org/vae", "a Hub id stays one"
    assert [each.path for each in config.datasets] == [str(jobs / "dog"), str(jobs / ".." / "cat"), str(jobs / "bird")]
    assert config.saving.output_dir == str(jobs / "out")
    assert config.sampling.prompts_file == str(jobs / "p.txt")
    assert config.caching.folder == str(Path("/cache"))
    assert config.network.start_from == str(jobs / "a" / "b.safetensors")
    # Those of --set count from where the command is given.
    config = load_text(jobs, text, "datasets.1.path=mouse", "model.path=./other", "saving.output_dir=o")
    assert [each.path for each in config.datasets] == [str(jobs / "dog"), str(here / "mouse"), str(jobs / "bird")]
    assert config.model.path == str(here / "other")
    assert config.saving.output_dir == str(here / "o")


def test_a_model_that_lies_beside_the_job_is_taken_before_the_hubs(tmp_path: Path) -> None:
    text = "name: dog\nmodel: {path: org/model}\ndatasets: [{path: ./dog}]\n"
    assert load_text(tmp_path, text).model.path == "org/model"
    (tmp_path / "org" / "model").mkdir(parents=True)
    assert load_text(tmp_path, text).model.path == str(tmp_path / "org" / "model")
    assert load_text(tmp_path, text, "model.path=demo").model.path == "demo"


def test_side_adapters_of_the_hub(tmp_path: Path) -> None:
    """They may be ids as well as models; a path stays one."""
    model = "model: {path: org/model, side_adapters: [{path: org/adapter}, {path: ./mine.safetensors}]}"
    sides = load_text(tmp_path, f"name: dog\n{model}\ndatasets: [{{path: ./dog}}]\n").model.side_adapters
    assert [side.path for side in sides] == ["org/adapter", str(tmp_path / "mine.safetensors")]


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "me"))
    config = load_text(tmp_path, "name: dog\nmodel: {path: ~/model}\ndatasets: [{path: ~/dog}]\n")
    assert (config.model.path, config.datasets[0].path) == (str(tmp_path / "me/model"), str(tmp_path / "me/dog"))


# --set -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "path", "expected"),
    [
        ("network.rank=32", "network.rank", 32),
        (" network.rank =32", "network.rank", 32),
        ("optimizer.learning_rate=1e-3", "optimizer.learning_rate", 1e-3),
        ("model.path=a=b/c", "model.path", "a=b/c"),
        ('name="12"', "name", "12"),
        ("saving.export_every_n_steps=null", "saving.export_every_n_steps", None),
        ("saving.export_every_n_steps=", "saving.export_every_n_steps", None),
        ("sampling.prompts=[a dog, a cat]", "sampling.prompts", ("a dog", "a cat")),
        ("batching.buckets.resolution=[512, 768]", "batching.buckets.resolution", (512, 768)),
        ("datasets.0.num_repeats=3", "datasets.0.num_repeats", 3),
        ("datasets.0.captions.shuffle=true", "datasets.0.captions.shuffle", True),
        ("datasets.1={path: /new}", "datasets.1.path", "/new"),
        ("datasets.1.path=/new", "datasets.1.path", "/new"),
        ("network={rank: 4}", "network.rank", 4),
        ("optimizer={type: sgd}", "optimizer.type", "sgd"),
        ("sampling={}", "sampling.seed", 42),
    ],
)
def test_overrides(tmp_path: Path, override: str, path: str, expected: Any) -> None:
    if isinstance(expected, str) and expected.startswith("/"):
        expected = str(Path(expected))
    assert get_value(load_text(tmp_path, JOB, override), path) == expected


def test_overrides_come_one_after_the_other_and_leave_the_rest(tmp_path: Path) -> None:
    text = JOB + "network: {rank: 8, alpha: 4}\nsampling: {prompts: [one, two, three]}\n"
    config = load_text(tmp_path, text, "network.rank=9", "network.rank=10", "sampling.prompts.1=zwei")
    assert (config.network.rank, config.network.alpha) == (10, 4)
    assert config.sampling.prompts == ("one", "zwei", "three")
    config = load_text(tmp_path, "name: dog\nmodel: {path: demo}\n", "datasets.0.path=/a", "datasets.1.path=/b")
    assert [Path(each.path).name for each in config.datasets] == ["a", "b"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("network.rank", "write it as section.key=value"),
        ("=5", "write it as section.key=value"),
        ("network..rank=5", "write it as section.key=value"),
        ("datasets.5.path=x", "datasets is a list of 1; count from 0, as in datasets.0"),
        ("datasets.first.path=x", "datasets is a list of 1; count from 0"),
        ("network.rank=[1", "--set network.rank=.1:.*line 1"),
        ("network.rnak=5", "network.rnak: unknown key; did you mean network.rank?"),
        ("network.rank.deep=5", "network.rank: must be a whole number"),
        ("name=2024", "name: must be a text in quotes"),
    ],
)
def test_overrides_that_make_no_sense(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_text(tmp_path, JOB, override)


def test_an_override_of_plain_data_changes_only_its_place() -> None:
    data: dict[str, Any] = {"a": {"b": 1, "c": [1, 2]}, "d": 5}
    apply_override(data, "a.c.0=7")
    apply_override(data, "d={e: 1}")
    apply_override(data, "new.deep.key=x")
    assert data == {"a": {"b": 1, "c": [7, 2]}, "d": {"e": 1}, "new": {"deep": {"key": "x"}}}


# Versions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "message"),
    [("2", "newer Loratory.*update"), ("99", "newer Loratory"), ("0", "is not a version"), ("true", "is not a version"),
     ("one", "is not a version"), ("1.0", "is not a version"), ("-1", "is not a version")],
)  # fmt: skip
def test_versions_that_cannot_be_read(tmp_path: Path, version: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"job\.yaml: version.*{message}"):
        load_text(tmp_path, JOB + f"version: {version}\n")
    assert load_text(tmp_path, JOB + "version: 1\n").version == 1


def test_old_files_are_lifted_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def first(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "steps": [*data.get("steps", []), "1 to 2"]}

    def second(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "steps": [*data.get("steps", []), "2 to 3"]}

    monkeypatch.setattr(migration, "CONFIG_VERSION", 3)
    monkeypatch.setattr(migration, "MIGRATIONS", {1: first, 2: second})
    given = {"version": 1, "a": 1}
    assert migration.migrate(given, "test") == {"version": 3, "a": 1, "steps": ["1 to 2", "2 to 3"]}
    assert given == {"version": 1, "a": 1}
    assert migration.migrate({"version": 2}, "test") == {"version": 3, "steps": ["2 to 3"]}
    assert migration.migrate({"a": 1}, "test") == {"a": 1}, "without a version: today's layout"
    with pytest.raises(UserError, match="newer"):
        migration.migrate({"version": 4}, "test")


def test_every_version_can_be_lifted_to_the_next() -> None:
    assert set(migration.MIGRATIONS) == set(range(1, migration.CONFIG_VERSION))
    assert loading.TrainConfig.model_fields["version"].default == migration.CONFIG_VERSION
