"""What a file of ai-toolkit means here: formats, models, legacy habits, prompts, and what cannot be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from loratory.config.architectures import SPECS
from loratory.config.load import parse
from loratory.config.network import LoraConfig
from loratory.config.network_preview import model_layers
from loratory.config.targets import select
from loratory.config.weight_formats import AITOOLKIT
from loratory.errors import UserError
from loratory.interop.aitoolkit import read, recognises
from loratory.interop.aitoolkit.architectures import BY_OURS, FLAGS, NOT_HERE
from loratory.interop.aitoolkit.optimizers import OPTIMIZERS
from loratory.interop.foreign import read_foreign
from tests.unit.interop.aitoolkit.examples import SCHEDULE
from tests.unit.interop.aitoolkit.files import base, changed, imported, job, notes

# Files ---------------------------------------------------------------------------------------------------------


def test_files_are_told_by_their_content() -> None:
    theirs = yaml.safe_dump(base())
    assert recognises(Path("a.yaml"), theirs) and recognises(Path("a.json"), json.dumps(base(), indent=2))
    assert recognises(Path("a.jsonc"), "// mine\n" + json.dumps(base()))
    assert not recognises(Path("a.toml"), theirs)
    assert not recognises(Path("a.yaml"), "job: train\nname: x\nmodel: {path: demo}\ndatasets: [{path: config}]\n")


@pytest.mark.parametrize("name", ["job.yaml", "job.yml", "job.json", "job.jsonc"])
def test_all_their_kinds_of_files_say_the_same(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    text = yaml.safe_dump(base()) if name.endswith("ml") else json.dumps(base(), indent=1)
    if name.endswith("c"):
        text = "/* a job */\n" + text.replace('"name": "lory",', '"name": "lory", // "it"').replace("}\n ]", "},\n ]")
    file.write_text(text, encoding="utf-8-sig")
    found = read_foreign(file)
    assert found is not None
    assert found[0].data == imported(base()).data


def test_yaml_is_read_as_theirs_is(tmp_path: Path) -> None:
    inside = "lr: 1e-4\n      train_unet: no\n      noise_offset: .1"
    text = yaml.safe_dump(base()).replace("lr: 0.0001", inside)
    found = read(tmp_path / "a.yaml", text)[0].data
    assert (found["optimizer"]["learning_rate"], found["network"]["train_denoiser"]) == (1e-4, False)
    assert found["objective"]["noise_offset"] == 0.1


def test_variables_come_from_the_environment_and_from_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PICTURES='/from/dotenv' # here\nTRIGGER=no\n", encoding="utf-8")
    monkeypatch.setenv("TRIGGER", "lory")
    text = yaml.safe_dump(changed(base(), {"datasets.folder_path": "${PICTURES}/x", "trigger_word": "${TRIGGER}"}))
    found = read(tmp_path / "a.yaml", text)[0].data
    assert found["datasets"][0]["path"] == "/from/dotenv/x" and found["datasets"][0]["trigger_word"] == "lory"
    with pytest.raises(UserError, match=r"a.yaml, line \d+: \$\{NOT_SET_ANYWHERE\} stands for an environment variable"):
        read(tmp_path / "a.yaml", "job: train\n# ${NOT_SET_ANYWHERE}\nconfig: {}\n")


def test_the_jobs_name_is_put_in_everywhere() -> None:
    found = job({"datasets.default_caption": "a [name]", "sample.prompts": ["[name] and [trigger]"]})
    assert found.data["datasets"][0]["captions"]["default"] == "a lory"
    assert found.data["sampling"]["prompts"] == ["lory and [trigger]"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("job: extension\nconfig:\n  name: 'a\n", r"\(line \d, column \d+\)"),
        ("job: extension\nconfig: 5\n", "config must hold the job's name and process"),
        ("job: extension\nconfig: {process: []}\n", "config.name is missing"),
        ("job: extension\nconfig: {name: a}\n", "config.process must be a list"),
        ("job: extension\nconfig: {name: a, process: [5]}\n", "config.process.0 must hold keys and values"),
        ("job: extension\nconfig: {name: a, process: [{type: sd_trainer, train: 5}]}\n", "train must hold keys"),
        ("job: extension\nconfig: {name: a, process: [{type: concept_slider}]}\n", "'concept_slider' is not possible"),
        ("job: dance\nconfig: {name: a, process: [{}]}\n", "'dance' is no job of ai-toolkit"),
        ("job: extension\nconfig: &c {name: a, process: [*c]}\n", "values, or some within themselves"),
        ("job: extension\nconfig:\n  name: x\n  a: &a [1,1,1,1,1,1,1,1,1]\n  b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
         "  c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n  d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
         "  e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n  process: [*e,*e,*e]\n", "more than 100000 values"),
    ],
)  # fmt: skip
def test_broken_files_give_one_readable_error(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(Path("a.yaml"), text)
    assert "a.yaml" in str(caught.value)


@pytest.mark.parametrize("text", ['{"job": "extension", "config": ', "{" * 5000, '{"job": 1 "config": 2}'])
def test_broken_json_says_where(text: str) -> None:
    with pytest.raises(UserError, match=r"a\.json"):
        read(Path("a.json"), text)


@pytest.mark.parametrize("kind", ["extract", "mod", "generate"])
def test_other_jobs_are_named_as_not_yet_ours(kind: str) -> None:
    with pytest.raises(UserError, match=f"job: {kind} .* is not possible here yet"):
        imported({**base(), "job": kind})


def test_each_process_is_a_job() -> None:
    data = base()
    second = changed(data, {"train.steps": 5})["config"]["process"][0]
    third = changed(data, {"name": "third"})["config"]["process"][0]
    data["config"]["process"] += [second, third]
    found = read(Path("a.yaml"), yaml.safe_dump(data))
    assert [(each.data["name"], each.data["duration"]["steps"]) for each in found] == [
        ("lory_1", 20), ("lory_2", 5), ("third", 20),
    ]  # fmt: skip
    assert found[1].source == "a.yaml, process 2 of 3"
    assert any(note.key == "config.process.1.train.steps" for note in found[1].notes)


def test_tokens_are_named_and_taken_nowhere() -> None:
    found = job({"logging.wandb_key": "a" * 40, "hf_token": "hf_" + "b1" * 12, "sample.api_key": "c" * 32})
    told = notes(found)
    assert {path: note.level for path, note in told.items() if note.level == "secret"} == dict.fromkeys(
        ("logging.wandb_key", "hf_token", "sample.api_key"), "secret"
    )
    assert "WANDB_API_KEY" in told["logging.wandb_key"].message and "HF_TOKEN" in told["hf_token"].message
    everything = json.dumps([found.data, [note.message for note in found.notes]])
    assert "aaaa" not in everything and "b1b1" not in everything and "cccc" not in everything


# Models --------------------------------------------------------------------------------------------------------


def test_every_architecture_has_a_name_there() -> None:
    assert BY_OURS.keys() == SPECS.keys()
    assert {each.ours for each in BY_OURS.values()} == SPECS.keys()


@pytest.mark.parametrize(
    ("model", "ours"),
    [({}, "sd15"), ({"arch": "sd1"}, "sd15"), ({"is_xl": True}, "sdxl"), ({"is_v2": True}, "sd2"),
     ({"is_v3": True}, "sd3"), ({"is_flux": True}, "flux1"), ({"is_lumina2": True}, "lumina2"),
     ({"arch": "flex1"}, "flux1"), ({"arch": "zimage:turbo"}, "zimage"), ({"arch": "qwen_image:2512"}, "qwen_image"),
     ({"arch": "flux2_klein_4b"}, "flux2_klein"), ({"arch": "flux2_klein_9b"}, "flux2_klein"),
     *[({"arch": each.theirs}, ours) for ours, each in BY_OURS.items()]],
)  # fmt: skip
def test_models_by_name_and_by_flag(model: dict[str, Any], ours: str) -> None:
    data = base()
    data["config"]["process"][0]["model"] = {"name_or_path": "/m", **model}
    found = imported(data)
    assert found.data["model"]["architecture"] == ours
    config = parse(found.data, "the job")
    assert config.batching.buckets.step == BY_OURS[ours].step and config.batching.buckets.mode == "aitoolkit"


@pytest.mark.parametrize("arch", sorted(NOT_HERE))
def test_what_is_not_here_is_said(arch: str) -> None:
    with pytest.raises(UserError, match=f"'{arch}' cannot be trained here yet"):
        job(arch=arch)


@pytest.mark.parametrize("flag", sorted({"is_pixart", "is_pixart_sigma", "is_auraflow", "is_ssd", "is_vega"}))
def test_legacy_flags_of_models_that_are_not_here(flag: str) -> None:
    assert flag in FLAGS
    with pytest.raises(UserError, match=f"{flag}: .* cannot be trained here yet"):
        job({"model.arch": None, f"model.{flag}": True})


def test_an_unknown_model_is_never_taken_for_another() -> None:
    with pytest.raises(UserError, match=r"'zimages' is no architecture .*; did you mean zimage\?"):
        job(arch="zimages")
    with pytest.raises(UserError, match="is_xl and is_flux; a model is one of them"):
        job({"model.arch": None, "model.is_xl": True, "model.is_flux": True})


# Their blocks in diffusers' names; of the UNets all linear layers and 1×1 convolutions (their documents and code).
BLOCKS = {
    "flux1": r"transformer_blocks\.", "sd3": r"^transformer\.transformer_blocks\.", "chroma": r"transformer_blocks\.",
    "chroma_radiance": r"transformer_blocks\.", "lumina2": r"^transformer\.(layers|noise_refiner|context_refiner)\.",
    "hidream": r"(double|single)_stream_blocks\.",
    "omnigen2": r"^transformer\.(layers|noise_refiner|context_refiner)\.",
    "qwen_image": r"^transformer\.transformer_blocks\.", "zimage": r"^transformer\.layers\.",
    "flux2": r"transformer_blocks\.", "flux2_klein": r"transformer_blocks\.", "sd15": r"^unet\.", "sd2": r"^unet\.",
    "sdxl": r"^unet\.",
}  # fmt: skip


@pytest.mark.parametrize("ours", SPECS)
def test_the_same_layers_are_trained(ours: str) -> None:
    layers = model_layers(SPECS[ours], None)
    config = parse(job(arch=BY_OURS[ours].theirs).data, "the job")
    found = {target.layer.path for target in select(SPECS[ours], layers, config.network)}
    expected = {
        layer.path for layer in layers
        if layer.kind != "norm" and not layer.is_larger_convolution and re.search(BLOCKS[ours], layer.path)
    }  # fmt: skip
    assert found == expected
    # And with the texts that take what is more than ours away: ours.
    ignoring = {"network.network_kwargs": {"ignore_if_contains": list(BY_OURS[ours].without_them)}}
    plain = parse(job(ignoring, arch=BY_OURS[ours].theirs).data, "the job")
    usual = {target.layer.path for target in select(SPECS[ours], layers, LoraConfig())}
    assert {target.layer.path for target in select(SPECS[ours], layers, plain.network)} == usual


@pytest.mark.parametrize("qtype", AITOOLKIT)
def test_every_format_of_weights(qtype: str) -> None:
    found = job({"model.quantize": True, "model.qtype": qtype, "model.quantize_te": False})
    assert found.data["memory"]["denoiser_weights"] == AITOOLKIT[qtype].ours
    level = notes(found)["model.qtype"].level
    assert level == ("unsupported" if AITOOLKIT[qtype].refused else "mapped")


def test_text_encoders_are_quantised_along_unless_the_file_says_otherwise() -> None:
    assert job({"model.quantize": True}).data["memory"]["text_encoder_weights"] == "fp8_e4m3"
    assert "text_encoder_weights" not in job({"model.quantize": True, "model.quantize_te": False}).data["memory"]
    with pytest.raises(UserError, match="'qfloat9' is no format of ai-toolkit"):
        job({"model.quantize": True, "model.qtype": "qfloat9"})


def test_adapters_beside_the_model() -> None:
    found = job({
        "model.quantize": True, "model.qtype": "uint3|owner/repair/one.safetensors",
        "model.inference_lora_path": "owner/fast",
    })  # fmt: skip
    assert found.data["memory"]["denoiser_weights"] == "uint8"
    assert found.data["model"]["side_adapters"] == [
        {"path": "owner/repair/one.safetensors", "on": "always", "recovers": "uint3"},
        {"path": "owner/fast", "on": "sampling"},
    ]
    assert job({"model.assistant_lora_path": "owner/undo"}).data["model"]["side_adapters"] == [
        {"path": "owner/undo", "on": "training"}
    ]
    both = {"model.assistant_lora_path": "a/b", "model.accuracy_recovery_adapter": "c/d", "model.quantize": True,
            "model.qtype": "uint4"}  # fmt: skip
    with pytest.raises(UserError, match="cannot be had together with assistant_lora_path"):
        job(both)


def test_parts_of_the_model() -> None:
    found = job({"model.te_name_or_path": "owner/text", "model.unet_path": "owner/net"}, arch="zimage")
    assert found.data["model"]["parts"] == {"transformer": "owner/net", "text_encoder": "owner/text"}
    llama = job({"model.model_kwargs": {"llama_model_path": "owner/llama"}}, arch="hidream")
    assert llama.data["model"]["parts"] == {"text_encoder_4": "owner/llama"}
    assert notes(job({"model.te_name_or_path": "owner/text"}))["model.te_name_or_path"].level == "unsupported"


# Habits that people may rely on ---------------------------------------------------------------------------------


def test_alpha_counts_and_their_habit_is_a_switch() -> None:
    found = job({"network.linear": 32, "network.linear_alpha": 16})
    assert found.data["network"]["alpha"] == 16.0
    assert "--set network.alpha=auto" in notes(found)["network.linear_alpha"].message
    assert notes(job())["network.linear_alpha"].message == ""  # equal to the rank
    assert job({"network.linear_alpha": None}).data["network"]["alpha"] == "auto"
    assert job({"network.linear_alpha": None}, arch="sdxl").data["network"]["alpha"] == 1.0


def test_accumulation_is_a_mean_and_their_sum_is_a_switch() -> None:
    found = job({"train.gradient_accumulation": 4})
    assert found.data["batching"]["gradient_accumulation_steps"] == 4 and found.data["duration"]["steps"] == 20
    assert "--set batching.accumulate=sum" in notes(found)["train.gradient_accumulation"].message
    older = job({"train.gradient_accumulation_steps": 4})
    assert older.data["batching"]["gradient_accumulation_steps"] == 4 and older.data["duration"]["steps"] == 5
    assert "only the last one" in notes(older)["train.gradient_accumulation_steps"].message
    with pytest.raises(UserError, match="exclude each other"):
        job({"train.gradient_accumulation": 2, "train.gradient_accumulation_steps": 2})


def test_alpha_in_phases() -> None:
    found = job({"network.conv": 8, "network.alpha_schedule": SCHEDULE}, arch="sdxl")
    config = parse(found.data, "the job").alpha_schedule
    assert [(phase.name, phase.alpha, phase.min_steps) for phase in config.conv] == [("first", 5, 300)]
    assert [phase.alpha for phase in config.linear] == [7] and config.rule == "documented"
    message = notes(found)["network.alpha_schedule"].message
    assert "alpha_schedule.rule=ai-toolkit" in message and "alpha_schedule.transition=jump" in message
    transformer = job({"network.alpha_schedule": SCHEDULE | {"per_expert": {"high_noise": {}}, "mode": "x"}})
    assert transformer.data["network"]["alpha"] == 7.0 and "alpha_schedule" not in transformer.data
    told = notes(transformer)
    assert told["network.alpha_schedule.conv_alpha_phases"].level == "dead"
    assert told["network.alpha_schedule.per_expert"].level == "dead"
    assert told["network.alpha_schedule.conv_alpha_phases.first.exit_criteria.loss_improvement_rate_below"]
    off = job({"network.alpha_schedule": SCHEDULE | {"enabled": False}})
    assert off.data == job().data


def test_times_count_from_noise() -> None:
    """Index 0 of their 1000 is noise, and the last is excluded: 100 … 600 are our 400 … 899."""
    found = job({"train.min_denoising_steps": 100, "train.max_denoising_steps": 600}).data["objective"]
    assert (found["max_timestep"], found["min_timestep"]) == (899, 400)
    assert "min_timestep" not in job({"train.max_denoising_steps": 999}).data["objective"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("sigmoid", ("sigmoid", 1.0, None)), ("linear", ("uniform", 1.0, None)),
     ("weighted", ("uniform", 1.0, "weighted")),
     ("shift", ("uniform", "auto", None)), ("flux_shift", ("uniform", "auto", None)),
     ("lumina2_shift", ("uniform", "auto", None)), ("lognorm_blend", ("sigmoid", 1.0, None)),
     ("eight_step", ("uniform", 1.0, None))],
)  # fmt: skip
def test_kinds_of_times(kind: str, expected: tuple[Any, ...]) -> None:
    found = job({"train.timestep_type": kind}).data["objective"]
    assert (found["timestep_sampling"], found["flow_shift"], found.get("loss_weighting")) == expected


@pytest.mark.parametrize("name", [*OPTIMIZERS, "prodigyopt"])
def test_every_optimizer_makes_a_job(name: str) -> None:
    found = job({"train.optimizer": name.upper(), "train.optimizer_params": {"weight_decay": 0.05}})
    config = parse(found.data, "the job").optimizer
    assert config.weight_decay == 0.05
    expected = 1.0 if name.startswith(("prodigy", "dadapt")) else 1e-4
    assert config.learning_rate == expected
    assert config.max_grad_norm == (0.0 if name == "adafactor" else 1.0)


def test_defaults_are_theirs() -> None:
    data = changed(base("sdxl"), {"train": {}, "network": {"type": "lora"}})
    config = parse(imported(data).data, "the job")
    assert (config.duration.steps, config.optimizer.learning_rate, config.memory.precision) == (1000, 1e-6, "fp32")
    assert (config.network.rank, config.network.alpha) == (4, 1.0)  # type: ignore[union-attr]
    assert (config.saving.precision, config.saving.export_every_n_steps, config.saving.keep_last_exports) == (
        "fp16", 1000, 5,
    )  # fmt: skip
    sampling = config.sampling
    assert (sampling.width, sampling.steps, sampling.scale, sampling.seed, sampling.format, sampling.sampler) == (
        512, 20, 7.0, 0, "jpg", "ddpm",
    )  # fmt: skip
    assert config.batching.buckets.resolution == 512 and config.datasets[0].captions.extensions == (".txt",)
    assert (config.caching.latents, config.caching.text_embeddings) == ("off", "off")
    assert config.memory.gradient_checkpointing == "on" and config.optimizer.eps == 1e-6  # type: ignore[union-attr]
    assert parse(job().data, "the job").sampling.sampler is None  # theirs would be DDPM's on a flow model


# Pictures and prompts ---------------------------------------------------------------------------------------------


def test_datasets() -> None:
    data = changed(base(), {"trigger_word": "lory", "datasets.resolution": [512, 768]})
    data["config"]["process"][0]["datasets"].append({"folder_path": "/birds", "is_reg": True, "resolution": 512})
    first, second = imported(data).data["datasets"]
    assert first["resolutions"] == [512, 768] and second["resolutions"] == [512]
    assert first["trigger_word"] == "lory" and "trigger_word" not in second
    assert "batch_group" not in first
    groups = [each["batch_group"] for each in imported(changed(data, {"train.batch_size": 2})).data["datasets"]]
    assert groups == ["1", "2"]  # as there, pictures of two datasets never meet in a batch


def test_paths_count_from_where_they_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("here/dogs", "jobs/cats"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    for given, expected in {"dogs": "here/dogs", "./cats": "jobs/cats", "birds": "here/birds"}.items():
        found = imported(changed(base(), {"datasets.folder_path": given}), tmp_path / "jobs" / "job.yaml")
        assert found.data["datasets"][0]["path"] == str(tmp_path / expected)
    assert job({"model.name_or_path": "owner/model"}).data["model"]["path"] == "owner/model"


def test_an_unloaded_text_encoder_takes_the_captions_along() -> None:
    plain = job({"train.unload_text_encoder": True})
    assert plain.data["datasets"][0]["captions"]["dropout_rate"] == 1.0
    triggered = job({"train.unload_text_encoder": True, "trigger_word": "lory"})
    assert triggered.data["datasets"][0]["captions"]["default"] == "lory"
    cached = job({"train.unload_text_encoder": True, "train.cache_text_embeddings": True})
    assert "dropout_rate" not in cached.data["datasets"][0]["captions"]
    assert cached.data["caching"]["text_embeddings"] == "disk"


def test_lists_may_be_files(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("one\n\ntwo\n", encoding="utf-8")
    found = job({"datasets.random_triggers": str(tmp_path / "words.txt")})
    assert found.data["datasets"][0]["captions"]["random_triggers"] == ["one", "two"]
    with pytest.raises(UserError, match=r"datasets\.0\.replacements: .*none\.txt cannot be read"):
        job({"datasets.replacements": str(tmp_path / "none.txt")})


@pytest.mark.parametrize(("arch", "flag"), [("flux", "g"), ("sdxl", "l")])
def test_samples_become_prompts_with_options(arch: str, flag: str) -> None:
    items = [
        {"prompt": "a dog", "neg": "cat", "width": 64, "height": 32, "seed": 3, "guidance_scale": 2, "sample_steps": 9,
         "network_multiplier": 0.5},
        {"prompt": "a cat --w 96 --seed 4 --cfg 3 --m 0.7 --p2 more --what now", "num_frames": 1},
        {"prompt": ""},
    ]  # fmt: skip
    found = job({"sample.samples": items, "sample.prompts": ["unused"]}, arch=arch)
    assert found.data["sampling"]["prompts"] == [
        f"a dog --w 64 --h 32 --d 3 --s 9 --am 0.5 --{flag} 2 --n cat", f"a cat --w 96 --d 4 --{flag} 3 --am 0.7",
        "--am 1",
    ]  # fmt: skip
    told = notes(found)
    assert told["sample.samples.1.prompt"].level == "unsupported" and told["sample.prompts"].level == "dead"
    assert parse(found.data, "the job")


def test_meta_goes_into_the_files_header() -> None:
    meta = {"name": "[name]", "version": "1.0", "creator": {"name": "Ann", "email": "a@b.c"}, "description": "birds"}
    saving = imported({**base(), "meta": meta}).data["saving"]
    assert (saving["title"], saving["author"], saving["description"]) == ("lory", "Ann", "birds")
    assert json.loads(saving["comment"]) == {"version": "1.0", "creator": {"email": "a@b.c"}}
