"""Our jobs as ai-toolkit's files and back: what their files can say survives, and what they cannot is listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from loratory.config.architectures import SPECS
from loratory.config.fields import values
from loratory.config.load import parse
from loratory.config.train import TrainConfig
from loratory.errors import UserError
from loratory.interop.aitoolkit import read, recognises
from loratory.interop.aitoolkit.architectures import BY_OURS
from loratory.interop.aitoolkit.write import export
from loratory.interop.exported import Facts
from loratory.interop.imported import Imported

FACTS = Facts((), (), 500)
shares = st.floats(0.01, 0.99).map(lambda number: round(number, 4))
words = (
    st.text("abc dé.:'\"#-[]{}1e4", min_size=1, max_size=12)
    .map(str.strip)
    .filter(lambda text: text and "[name]" not in text and not text.startswith("-") and "--" not in text)
)
paths = st.text("abc123", min_size=1, max_size=6).map(lambda name: f"/data/{name}")


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


DATASET = st.fixed_dictionaries(
    {"path": paths, "captions": st.fixed_dictionaries({"extensions": st.sampled_from([[".txt"], [".caption"]])},
        optional={"default": words, "shuffle": st.booleans(), "keep_tokens": st.integers(1, 9), "dropout_rate": shares,
                  "tag_dropout_rate": shares,
                  "replacements": st.dictionaries(st.sampled_from("xyz"), words, max_size=2),
                  "random_triggers": st.lists(words, min_size=1, max_size=3)})},
    optional={
        "num_repeats": st.integers(1, 9), "loss_weight": shares, "trigger_word": words,
        "diff_output_preservation": st.booleans(), "resolutions": st.lists(st.integers(8, 40).map(lambda n: n * 32),
                                                                           min_size=1, max_size=3, unique=True),
        "augmentation": maybe(flip=st.booleans(), random_crop=st.booleans(), pipeline=st.just(
            [{"name": "Blur", "arguments": {"p": 0.1, "blur_limit": [3, 5]}}])),
        "masks": st.fixed_dictionaries({"path": paths}, optional={"invert": st.booleans(), "minimum": shares}),
    },
)  # fmt: skip
OPTIMIZERS = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["adamw", "adamw8bit", "ademamix8bit"]), "eps": st.just(1e-6)},
        optional={"weight_decay": shares, "beta1": shares, "beta2": shares, "learning_rate": shares,
                  "max_grad_norm": shares}),
    st.fixed_dictionaries({"type": st.sampled_from(["lion", "lion8bit"])},
                          optional={"weight_decay": shares, "beta2": shares}),
    st.fixed_dictionaries({"type": st.just("adafactor"), "max_grad_norm": st.just(0.0)},
                          optional={"scale_parameter": st.booleans(), "clip_threshold": shares, "eps1": shares}),
    st.fixed_dictionaries({"type": st.just("prodigy"), "eps": st.just(1e-6)},
                          optional={"d_coef": shares, "use_bias_correction": st.booleans(),
                                    "decoupled_decay": st.booleans()}),
    st.fixed_dictionaries({"type": st.just("automagic"), "learning_rate": st.just(1e-5)},
                          optional={"rate_bump": shares, "min_learning_rate": shares, "max_learning_rate": shares}),
    st.just({"type": "custom", "implementation": "torch.optim:Adam", "arguments": {"eps": 1e-6, "amsgrad": True}}),
)  # fmt: skip
SCHEDULES = st.one_of(
    st.just({"type": "constant"}), st.just({"type": "cosine"}),
    st.fixed_dictionaries({"type": st.just("constant"), "warmup_steps": st.integers(1, 99)}),
    st.fixed_dictionaries({"type": st.just("ramp"), "start_ratio": shares, "end_ratio": shares}),
)  # fmt: skip
TIMES = st.sampled_from([
    {"timestep_sampling": "sigmoid", "flow_shift": 1.0}, {"timestep_sampling": "uniform", "flow_shift": "auto"},
    {"timestep_sampling": "uniform", "flow_shift": 1.0},
    {"timestep_sampling": "uniform", "flow_shift": 1.0, "loss_weighting": "weighted"},
    {"timestep_sampling": "sigmoid", "flow_shift": 1.0, "loss_weighting": "half_bell"},
])  # fmt: skip
NETWORKS = st.one_of(
    st.fixed_dictionaries({"type": st.just("lora")}, optional={
        "rank": st.integers(1, 128), "alpha": shares, "decompose": st.booleans(), "dropout": shares,
        "rank_dropout": shares, "module_dropout": shares, "start_from": paths, "train_denoiser": st.booleans(),
        "targets": maybe(only_if_contains=st.just(["attn"]), ignore_if_contains=st.just(["proj_out"]),
                         full_if_contains=st.just(["norm_out"])),
    }),
    st.fixed_dictionaries({"type": st.just("lokr"), "factor": st.integers(2, 16)},
                          optional={"full_matrix": st.just(True)}),
)  # fmt: skip


def whole(arch: str) -> st.SearchStrategy[dict[str, Any]]:
    """Jobs whose settings their files can say, each with any value that they can say."""
    step, flow = BY_OURS[arch].step, SPECS[arch].objective == "flow"
    objective = maybe(
        content_or_style=st.sampled_from(["content", "style"]), noise_offset=shares, loss_type=st.just("mae"),
        blank_prompt_preservation=shares, inverted_mask_prior=shares, max_timestep=st.integers(500, 999),
        min_timestep=st.integers(2, 400), guidance_loss_target=shares,
    )  # fmt: skip
    times = TIMES if flow else maybe(min_snr_gamma=shares)
    return st.fixed_dictionaries(
        {
            "name": st.just("lory"),
            "model": st.fixed_dictionaries({"path": paths, "architecture": st.just(arch)}, optional={
                "components": st.just("owner/parts"), "vae_path": paths,
                "vae_precision": st.sampled_from(["fp32", "bf16"]), "merge": st.just([{"path": "/data/merged"}]),
                "side_adapters": st.just(
                    [{"path": "owner/a", "on": "training"}, {"path": "owner/b", "on": "sampling"}]),
            }),
            "datasets": st.lists(DATASET, min_size=1, max_size=2),
            "batching": st.fixed_dictionaries({"buckets": st.fixed_dictionaries(
                {"mode": st.sampled_from(["aitoolkit", "off"]), "step": st.just(step)},
                optional={"resolution": st.integers(8, 40).map(lambda n: n * 32)})},
                optional={"size": st.integers(1, 9), "gradient_accumulation_steps": st.integers(1, 9)}),
            "network": NETWORKS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES,
            "objective": st.builds(lambda a, b: {**a, **b}, objective, times),
            "sampling": st.fixed_dictionaries({"sampler": st.just("flowmatch" if flow else "ddpm")}, optional={
                "prompts": st.lists(st.sampled_from(["a dog --w 64 --d 3", "a [trigger]", "x --n bad --s 4 --am 0.5"])),
                "every_n_steps": st.integers(1, 99), "seed": st.integers(0, 2**31), "walk_seed": st.booleans(),
                "width": st.integers(2, 30).map(lambda n: n * 64), "steps": st.integers(1, 60),
                "negative_prompt": words,
                "strength": shares, "format": st.sampled_from(["png", "jpg", "webp"]),
                "before_first_step": st.booleans(),
            }),
        },
        optional={
            "seed": st.integers(0, 2**31), "duration": st.fixed_dictionaries({"steps": st.integers(1, 9999)}),
            "caching": maybe(latents=st.sampled_from(["off", "memory", "disk"]),
                             text_embeddings=st.sampled_from(["off", "disk"])),
            "ema": st.fixed_dictionaries({"decay": shares, "warm_up": st.just(False)}),
            "memory": maybe(precision=st.sampled_from(["fp32", "bf16"]), low_vram=st.booleans(),
                            denoiser_weights=st.sampled_from(["fp8_e4m3", "fp8_e5m2", "int8", "uint4", "uint8"]),
                            text_encoder_weights=st.sampled_from(["fp8_e4m3", "uint2"]), compile=st.booleans(),
                            attention=st.sampled_from(["auto", "sdpa", "xformers", "flash_attn"]),
                            gradient_checkpointing=st.sampled_from(["on", "off"]), blocks_to_swap=st.integers(1, 18)),
            "saving": maybe(precision=st.sampled_from(["fp32", "bf16", "fp16"]), output_dir=paths, title=words,
                            export_every_n_steps=st.integers(1, 999), keep_last_exports=st.integers(1, 99),
                            author=words, description=words, comment=words),
            "logging": maybe(every_n_steps=st.integers(1, 99), level=st.sampled_from(["debug", "info"])),
        },
    )  # fmt: skip


ALWAYS_LOST = {
    "saving.format", "memory.unload_text_encoders", "objective.masked_loss_mean", "datasets.1.batch_group",
}  # fmt: skip
"""Their files are of their layout; what they cache, they give up the text encoders for; masks count as there;
datasets never meet in a batch."""


def back(text: str) -> Imported:
    assert recognises(Path("job.yaml"), text)
    found = read(Path("job.yaml"), text)
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("arch", ["flux1", "sdxl", "qwen_image", "flux2_klein"])
@settings(max_examples=30, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(data=st.data())
def test_what_they_can_say_survives(arch: str, data: st.DataObject) -> None:
    config = parse(data.draw(whole(arch)), "the job")
    written = export(config, SPECS[arch], FACTS)
    lost = {note.key: note.message for note in written.notes}
    assert lost.keys() - ALWAYS_LOST == set(), lost
    again = back(written.files["job.yaml"])
    assert [note for note in again.notes if note.level in ("unknown", "unsupported", "secret")] == []
    # Written once more it is the same text.
    twice = export(parse(again.data, "again"), SPECS[arch], FACTS).files["job.yaml"]
    assert yaml.safe_load(twice) == yaml.safe_load(written.files["job.yaml"])


LOST: dict[str, Any] = {
    "validation.split": 0.1, "batching.accumulate": "sum", "objective.multires_noise_iterations": 6,
    "objective.sigmoid_scale": 2.0, "caching.posterior": "mean", "network.rank_stabilized": True,
    "optimizer.lora_plus_ratio": 16.0, "optimizer.clip_by": "value", "ema.every_n_steps": 4,
    "memory.denoiser_weights": "nf4", "schedule.warmup_ratio": 0.1, "saving.license": "mine", "duration.epochs": 3,
    "model.revision": "dev", "sampling.every_n_epochs": 1, "network.targets.blocks": "none",
}  # fmt: skip


@pytest.mark.parametrize("path", LOST)
def test_what_they_cannot_say_is_listed(path: str) -> None:
    data: dict[str, Any] = {
        "name": "lory", "model": {"path": "/m", "architecture": "flux1"}, "datasets": [{"path": "/p"}],
        "optimizer": {"type": "adamw"}, "schedule": {"type": "cosine"}, "network": {"type": "lora"},
    }  # fmt: skip
    section, _, rest = path.partition(".")
    place = data.setdefault(section, {})
    *inner, last = rest.split(".")
    for name in inner:
        place = place.setdefault(name, {})
    place[last] = LOST[path]
    written = export(parse(data, "the job"), SPECS["flux1"], Facts((), (), None))
    notes = {note.key: note for note in written.notes}
    assert path in notes, sorted(notes)
    assert notes[path].level == ("mapped" if path.startswith(("sampling", "saving")) else "unsupported")


def test_another_optimizer_is_one_line_and_not_many() -> None:
    data = {"name": "a", "model": {"path": "/m"}, "datasets": [{"path": "/p"}], "optimizer": {"type": "adan"}}
    notes = export(parse(data, "the job"), SPECS["sd15"], FACTS).notes
    assert [note.key for note in notes if note.key.startswith("optimizer.")] == ["optimizer.type"]
    assert next(note.message for note in notes if note.key == "optimizer.type") == "adan here; there it is adamw"


def test_a_text_that_their_reader_would_change_is_refused() -> None:
    data = {"name": "a", "model": {"path": "/m"}, "datasets": [{"path": "/${HOME}"}]}
    with pytest.raises(UserError, match="environment variable"):
        export(parse(data, "the job"), SPECS["sd15"], FACTS)


def test_our_mark_for_the_trigger_word_is_written_as_theirs() -> None:
    data = {"name": "a", "model": {"path": "/m"}, "datasets": [{"path": "/p"}], "sampling": {"prompts": ["a [name]"]}}
    written = export(parse(data, "the job"), SPECS["sd15"], FACTS)
    assert back(written.files["job.yaml"]).data["sampling"]["prompts"] == ["a [trigger]"]
    assert not any(note.key == "sampling.prompts" for note in written.notes)


def test_every_parameter_that_names_one_of_theirs_is_looked_at() -> None:
    config: TrainConfig = parse({"name": "a", "model": {"path": "/m"}, "datasets": [{"path": "/p"}]}, "the job")
    assert sum(bool(facts.aitoolkit) for _, _, facts, _ in values(config)) > 80
