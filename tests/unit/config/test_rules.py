"""Every rule across fields finds what it is for, leaves the rest in peace, and its fix ends the problem."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from loratory.config.architectures import SPECS
from loratory.config.load import parse
from loratory.config.rules import RULES, Problem, check
from loratory.config.train import TrainConfig
from tests.unit.config.rule_examples import FILE_EXAMPLES, NETWORK_EXAMPLES, OPTIMIZER_EXAMPLES, Example
from tests.unit.config.rule_examples_model import MODEL_EXAMPLES
from tests.unit.config.rule_examples_pictures import PICTURE_EXAMPLES
from tests.unit.config.rule_examples_silent import SILENT_EXAMPLES
from tests.unit.config.rule_examples_targets import TARGET_EXAMPLES
from tests.unit.config.rule_examples_validation import VALIDATION_EXAMPLES


def flow(**changes: Any) -> dict[str, Any]:
    return {"objective": changes}


def predicts(what: str, **changes: Any) -> dict[str, Any]:
    return {"model": {"path": "demo", "prediction_type": what, **changes}}


def buckets(**changes: Any) -> dict[str, Any]:
    return {"batching": {"buckets": changes}}


def dataset(**changes: Any) -> dict[str, Any]:
    return {"datasets": [{"path": "plain"}, {"path": "photos", **changes}]}


def optimizer(kind: str, **changes: Any) -> dict[str, Any]:
    return {"optimizer": {"type": kind, **changes}}


def schedule(kind: str, **changes: Any) -> dict[str, Any]:
    return {"schedule": {"type": kind, **changes}}


def pieces(steps: list[int], factors: list[float]) -> dict[str, Any]:
    return schedule("piecewise_constant", until_steps=steps, factors=factors)


def memory(**changes: Any) -> dict[str, Any]:
    return {"memory": changes}


BOTH = {"network": {"train_text_encoders": True}}

EXAMPLES: dict[str, Example] = {
    **MODEL_EXAMPLES,
    "without_effect_here": Example(
        bad=(
            ("flux1", flow(min_snr_gamma=5), "warning", [("objective.min_snr_gamma",)]),
            ("sdxl", flow(flow_shift=3.0), "warning", [("objective.flow_shift",)]),
            ("flux1", {"network": {"conv_rank": 4}}, "warning", [("network.conv_rank",)]),
            ("flux1", {"text": {"weighted": True, "max_token_length": 150}}, "warning",
             [("text.max_token_length",), ("text.weighted",)]),
            ("sdxl", {"text": {"clip_skip": 2, "weighted": True}}, "warning", [("text.clip_skip",)]),
            ("flux1", {"model": {"path": "demo", "prediction_type": "epsilon"}}, "warning",
             [("model.prediction_type",)]),
            ("flux1", {"memory": {"channels_last": True}}, "warning", [("memory.channels_last",)]),
        ),
        good=(
            ("sd15", flow(noise_offset=0.1, min_timestep=5)),
            ("flux1", flow(flow_shift=3.0, guidance_scale=3.5)),
            ("flux1", flow(noise_offset=0.1)),
            ("flux1", flow(min_snr_gamma=None)),  # its default, written out
        ),
    ),
    "something_is_trained": Example(
        bad=(
            ("sd15", {"network": {"train_denoiser": False}}, "error",
             [("network.train_denoiser", "network.train_text_encoders")]),
        ),
        good=(("sd15", {"network": {"train_denoiser": False, "train_text_encoders": True}}), ("sd15", {})),
    ),
    "text_encoder_rate": Example(
        bad=(
            ("sd15", {"optimizer": {"text_encoder_learning_rate": 1e-5}}, "warning",
             [("optimizer.text_encoder_learning_rate",)]),
        ),
        good=(
            ("sd15", {"optimizer": {"text_encoder_learning_rate": 1e-5}, "network": {"train_text_encoders": True}}),
        ),
    ),
    "attention_fits_the_precision": Example(
        bad=(
            ("sd15", memory(precision="fp32", attention="flash_attn"), "error",
             [("memory.attention", "memory.precision")]),
            ("flux1", memory(precision="fp32", attention="cudnn"), "error", [("memory.attention", "memory.precision")]),
        ),
        good=(
            ("sd15", memory(precision="fp16", attention="flash_attn")),
            ("sd15", memory(precision="fp32", attention="flash")),
            ("flux1", memory(precision="fp32", attention="xformers")),
        ),
    ),
    "attention_can_mask": Example(
        bad=(
            ("chroma", memory(attention="flash"), "error", [("memory.attention",)]),
            ("chroma_radiance", memory(attention="flash_attn_3"), "error", [("memory.attention",)]),
        ),
        good=(("chroma", memory(attention="cudnn")), ("chroma", memory(attention="sdpa")),
              ("flux1", memory(attention="flash_attn"))),
    ),
    "swapped_blocks_are_not_compiled": Example(
        bad=(
            ("flux1", memory(compile=True, blocks_to_swap=2), "error", [("memory.compile", "memory.blocks_to_swap")]),
        ),
        good=(("flux1", memory(compile=True)), ("flux1", memory(blocks_to_swap=2))),
    ),
    "unloaded_text_encoders_are_not_needed": Example(
        bad=(
            ("sdxl", BOTH | memory(unload_text_encoders=True), "error", [("memory.unload_text_encoders", "network")]),
            ("sdxl", memory(unload_text_encoders=True) | {"caching": {"text_embeddings": "off"}}, "error",
             [("memory.unload_text_encoders", "caching.text_embeddings")]),
        ),
        good=(("sdxl", memory(unload_text_encoders=True)), ("sdxl", BOTH)),
    ),
    "memory_options_that_do_nothing": Example(
        bad=(
            ("sd15", memory(checkpoint_every=2), "warning", [("memory.checkpoint_every",)]),
            ("sd15", memory(keep_full_if_contains=["attn"]), "warning", [("memory.keep_full_if_contains",)]),
            ("sdxl", BOTH | memory(low_vram=True) | {"caching": {"latents": "off"}}, "warning",
             [("memory.low_vram",)]),
            ("sdxl", memory(low_vram=True) | {"caching": {"latents": "off", "text_embeddings": "off"}},
             "warning", [("memory.low_vram",)]),
            ("sd15", memory(vae_slicing=True) | {"caching": {"batch_size": 1}}, "warning", [("memory.vae_slicing",)]),
            ("sd15", memory(vae_slicing=True) | {"caching": {"latents": "off"}}, "warning", [("memory.vae_slicing",)]),
        ),
        good=(
            ("sd15", memory(checkpoint_every=2, gradient_checkpointing=True)),
            ("sd15", memory(text_encoder_weights="fp8_e4m3", keep_full_if_contains=["attn"])),
            ("sdxl", BOTH | memory(low_vram=True)),
            ("sdxl", memory(low_vram=True) | {"caching": {"latents": "off"}}),
            ("sd15", memory(vae_slicing=True)),
            ("sd15", memory(vae_slicing=True) | {"caching": {"latents": "off"}, "batching": {"size": 2}}),
        ),
    ),
    **NETWORK_EXAMPLES,
    **OPTIMIZER_EXAMPLES,
    **TARGET_EXAMPLES,
    "clipping_has_a_limit": Example(
        bad=(("sd15", optimizer("adamw", clip_by="value", max_grad_norm=0), "warning", [("optimizer.clip_by",)]),),
        good=(("sd15", optimizer("adamw", clip_by="adaptive", max_grad_norm=0.01)),),
    ),
    "one_length": Example(
        bad=(
            ("sd15", schedule("warmup_stable_decay", decay_steps=5, decay_ratio=0.1), "error",
             [("schedule.decay_steps", "schedule.decay_ratio")]),
            ("sd15", {"schedule": {"warmup_steps": 5, "warmup_ratio": 0.1}}, "error",
             [("schedule.warmup_steps", "schedule.warmup_ratio")]),
            ("sd15", {"schedule": {"warmup_steps": 0, "warmup_ratio": 0}}, "error",
             [("schedule.warmup_steps", "schedule.warmup_ratio")]),
        ),
        good=(
            ("sd15", {"schedule": {"warmup_steps": 5}}),
            ("sd15", {"schedule": {"warmup_ratio": 0.1}}),
            ("sd15", schedule("warmup_stable_decay", decay_steps=5, warmup_ratio=0.1)),
            ("sd15", schedule("none")),
        ),
    ),
    "warmup_ends": Example(
        bad=(
            ("sd15", schedule("cosine", warmup_steps=50) | {"duration": {"steps": 50}}, "warning",
             [("schedule.warmup_steps",)]),
        ),
        good=(
            ("sd15", schedule("cosine", warmup_steps=49) | {"duration": {"steps": 50}}),
            ("sd15", schedule("none") | {"duration": {"steps": 50}}),
        ),
    ),
    "warmup_is_given": Example(
        bad=(("sd15", schedule("constant_with_warmup"), "warning", [("schedule.type",)]),),
        good=(("sd15", schedule("constant_with_warmup", warmup_ratio=0.1)), ("sd15", schedule("constant"))),
    ),
    "pieces_fit": Example(
        bad=(
            ("sd15", pieces([5], [1.0]), "error", [("schedule.factors", "schedule.until_steps")]),
            ("sd15", pieces([5, 5], [1.0, 0.5, 0.1]), "error", [("schedule.until_steps",)]),
            ("sd15", pieces([0], [1.0, 0.5]), "error", [("schedule.until_steps",)]),
            ("sd15", pieces([5], [1.0, -0.5]), "error", [("schedule.factors",)]),
        ),
        good=(("sd15", pieces([5, 9], [1.0, 0.5, 0.0])), ("sd15", pieces([], [1.0]))),
    ),
    "schedules_that_do_nothing": Example(
        bad=(
            ("sd15", optimizer("adafactor", relative_step=True) | schedule("cosine"), "warning", [("schedule",)]),
            ("sd15", optimizer("adafactor", relative_step=True) | schedule("constant", warmup_steps=5), "warning",
             [("schedule",)]),
            ("sd15", optimizer("adamw_schedule_free") | schedule("cosine", warmup_steps=5), "warning",
             [("schedule.type",)]),
            ("sd15", optimizer("prodigy_plus_schedule_free") | schedule("rex"), "warning", [("schedule.type",)]),
        ),
        good=(
            ("sd15", optimizer("adafactor", relative_step=True)),
            ("sd15", optimizer("adafactor") | schedule("cosine")),
            ("sd15", optimizer("radam_schedule_free") | schedule("constant", warmup_steps=5)),
            ("sd15", optimizer("radam_schedule_free") | schedule("none")),
            ("sd15", optimizer("prodigy_plus_schedule_free", use_schedulefree=False) | schedule("cosine")),
        ),
    ),
    "relative_steps_have_no_rate": Example(
        bad=(
            ("sd15", optimizer("adafactor", relative_step=True, learning_rate=1e-3), "error",
             [("optimizer.learning_rate", "optimizer.relative_step")]),
            ("sd15", optimizer("adafactor", relative_step=True, lora_plus_ratio=4), "error",
             [("optimizer.lora_plus_ratio", "optimizer.relative_step")]),
            ("sd15", optimizer("adafactor", warmup_init=True), "warning", [("optimizer.warmup_init",)]),
        ),
        good=(
            ("sd15", optimizer("adafactor", relative_step=True, warmup_init=True)),
            ("sd15", optimizer("adafactor", learning_rate=1e-3)),
        ),
    ),
    "one_estimate_has_one_rate": Example(
        bad=(
            ("sd15", optimizer("prodigy", lora_plus_ratio=16), "error", [("optimizer.lora_plus_ratio",)]),
            ("sd15", optimizer("dadapt_sgd", text_encoder_learning_rate=0.5), "error",
             [("optimizer.text_encoder_learning_rate",)]),
        ),
        good=(
            ("sd15", optimizer("prodigy_plus_schedule_free", lora_plus_ratio=16)),
            ("sd15", optimizer("adamw", lora_plus_ratio=16)),
            ("sd15", optimizer("prodigy")),
        ),
    ),
    "adapted_rates_are_about_one": Example(
        bad=(
            ("sd15", optimizer("prodigy", learning_rate=1e-4), "warning", [("optimizer.learning_rate",)]),
            ("sd15", optimizer("dadapt_lion", learning_rate=20), "warning", [("optimizer.learning_rate",)]),
        ),
        good=(("sd15", optimizer("prodigy", learning_rate=0.5)), ("sd15", optimizer("adamw", learning_rate=1e-4))),
    ),
    "rates_lie_between_their_limits": Example(
        bad=(
            ("sd15", optimizer("automagic", min_learning_rate=1e-3, max_learning_rate=1e-4), "error",
             [("optimizer.min_learning_rate", "optimizer.max_learning_rate")]),
            ("sd15", optimizer("automagic", learning_rate=1e-2), "warning", [("optimizer.learning_rate",)]),
        ),
        good=(("sd15", optimizer("automagic", learning_rate=1e-3)),),
    ),
    "text_encoders_of_rates_exist": Example(
        bad=(
            ("sd15", optimizer("adamw", text_encoder_learning_rates={"text_encoder": 0.1}), "error",
             [("optimizer.text_encoder_learning_rates",)]),
            ("sdxl", BOTH | optimizer("adamw", text_encoder_learning_rates={"t5": 0.1}), "error",
             [("optimizer.text_encoder_learning_rates",)]),
            ("sdxl", BOTH | optimizer("adamw", text_encoder_learning_rates={"text_encoder_2": 0}), "error",
             [("optimizer.text_encoder_learning_rates",)]),
        ),
        good=(("sdxl", BOTH | optimizer("adamw", text_encoder_learning_rates={"text_encoder_2": 0.1})), ("sd15", {})),
    ),
    "custom_class_is_named": Example(
        bad=(
            ("sd15", optimizer("custom", implementation="torch.optim.NAdam"), "error",
             [("optimizer.implementation",)]),
            ("sd15", optimizer("custom", implementation="no_such_library.optim:Best"), "error",
             [("optimizer.implementation",)]),
        ),
        good=(("sd15", optimizer("custom", implementation="torch.optim:NAdam")), ("sd15", {})),
    ),
    "timestep_range": Example(
        bad=(
            ("sd15", flow(min_timestep=500, max_timestep=499), "error",
             [("objective.min_timestep", "objective.max_timestep")]),
        ),
        good=(("sd15", flow(min_timestep=500, max_timestep=500)), ("sd15", flow(min_timestep=1))),
    ),
    "shift_is_positive": Example(
        bad=(("flux1", flow(flow_shift=0), "error", [("objective.flow_shift",)]),
             ("flux1", flow(flow_shift=-3.0), "error", [("objective.flow_shift",)])),
        good=(("flux1", flow(flow_shift=0.5)), ("flux1", flow(flow_shift="resolution"))),
    ),
    "options_of_the_objective_that_do_nothing": Example(
        bad=(
            ("flux1", flow(sigmoid_scale=2.0, timestep_sampling="uniform"), "warning", [("objective.sigmoid_scale",)]),
            ("flux1", flow(logit_mean=1.0, logit_std=2.0), "warning",
             [("objective.logit_mean",), ("objective.logit_std",)]),
            ("flux1", flow(mode_scale=1.0, timestep_sampling="cosmap"), "warning", [("objective.mode_scale",)]),
            ("sd15", flow(noise_offset_random_strength=True, adaptive_noise_scale=0.1), "warning",
             [("objective.noise_offset_random_strength",), ("objective.adaptive_noise_scale",)]),
            ("sd15", flow(multires_noise_discount=0.5), "warning", [("objective.multires_noise_discount",)]),
            ("flux1", flow(ip_noise_gamma_random_strength=True), "warning",
             [("objective.ip_noise_gamma_random_strength",)]),
            ("flux1", flow(huber_c=0.5, huber_scale=2.0, huber_schedule="constant"), "warning",
             [("objective.huber_c",), ("objective.huber_scale",), ("objective.huber_schedule",)]),
            ("sd15", flow(wavelet_detail=3.0, loss_type="huber"), "warning", [("objective.wavelet_detail",)]),
            ("flux1", flow(guidance_loss_schedule="sigma", guidance_loss_cfg_zero=True, unconditional_prompt="a",
                           mean_flow_distance=0.3, diff_output_preservation_class="dog"), "warning",
             [("objective.guidance_loss_schedule",), ("objective.guidance_loss_cfg_zero",),
              ("objective.unconditional_prompt",), ("objective.mean_flow_distance",),
              ("objective.diff_output_preservation_class",)]),
        ),
        good=(
            ("flux1", flow(sigmoid_scale=2.0)),
            ("flux1", flow(timestep_sampling="uniform")),
            ("flux1", flow(timestep_sampling="logit_normal", logit_mean=1.0, logit_std=2.0)),
            ("sd15", flow(noise_offset=0.1, noise_offset_random_strength=True, adaptive_noise_scale=0.1)),
            ("sd15", flow(multires_noise_iterations=6, multires_noise_discount=0.5)),
            ("sd15", flow(loss_type="smooth_l1", huber_c=0.5, huber_schedule="constant")),
        ),
    ),
    "wavelet_of_equal_weights": Example(
        bad=(("sd15", flow(loss_type="wavelet", wavelet_detail=1), "warning", [("objective.wavelet_detail",)]),),
        good=(("sd15", flow(loss_type="wavelet")),),
    ),
    "what_the_model_predicts": Example(
        bad=(
            ("sd15", predicts("epsilon") | flow(scale_v_pred_loss_like_noise_pred=True), "warning",
             [("objective.scale_v_pred_loss_like_noise_pred",)]),
            ("sd15", predicts("v_prediction") | flow(v_pred_like_loss=0.5), "warning",
             [("objective.v_pred_like_loss",)]),
            ("sdxl", predicts("epsilon", zero_terminal_snr=True), "warning",
             [("model.zero_terminal_snr", "model.prediction_type")]),
        ),
        good=(
            ("sd15", flow(scale_v_pred_loss_like_noise_pred=True)),  # known when the model is loaded
            ("sd15", predicts("v_prediction", zero_terminal_snr=True) | flow(scale_v_pred_loss_like_noise_pred=True)),
            ("sd15", predicts("epsilon") | flow(v_pred_like_loss=0.5)),
        ),
    ),
    "compared_as_the_model_was_made": Example(
        bad=(("flux1", flow(model_prediction_type="additive"), "warning", [("objective.model_prediction_type",)]),),
        good=(("flux1", flow(model_prediction_type="sigma_scaled")),),
    ),
    **PICTURE_EXAMPLES,
    "caption_options_that_do_nothing": Example(
        bad=(
            ("sd15", dataset(captions={"keep_tokens": 1}), "warning", [("datasets.1.captions.keep_tokens",)]),
            ("sd15", dataset(captions={"keep_tokens": 1, "dropout_rate": 0.5}), "warning",
             [("datasets.1.captions.keep_tokens",)]),
            ("sd15", dataset(captions={"variants": 4}), "warning", [("datasets.1.captions.variants",)]),
            ("sd15", dataset(captions={"variants": 4, "dropout_rate": 0.5}), "warning",
             [("datasets.1.captions.variants",)]),
            ("sd15", dataset(captions={"random_triggers_max": 2}), "warning",
             [("datasets.1.captions.random_triggers_max",)]),
            ("sd15", dataset(captions={"token_warmup_min": 2}), "warning", [("datasets.1.captions.token_warmup_min",)]),
        ),
        good=(
            ("sd15", dataset(captions={"variants": 4, "wildcards": True})),
            ("sd15", dataset(captions={"variants": 4, "random_triggers": ["a", "b"], "random_triggers_max": 2})),
            ("sd15", dataset(captions={"keep_tokens": 1, "token_warmup_steps": 0.5, "token_warmup_min": 2})),
            ("sd15", dataset(captions={"keep_tokens": 1, "variants": 4, "shuffle": True})),
            ("sd15", dataset(captions={"keep_tokens": 1, "variants": 4, "tag_dropout_rate": 0.1})),
        ),
    ),
    "captions_can_be_used": Example(
        bad=(
            ("sd15", dataset(captions={"replacements": {"": "a"}}), "error", [("datasets.1.captions.replacements",)]),
            ("sd15", dataset(captions={"dropout_every_n_epochs": 1}), "warning",
             [("datasets.1.captions.dropout_every_n_epochs",)]),
        ),
        good=(("sd15", dataset(captions={"replacements": {"a": ""}, "dropout_every_n_epochs": 2})),),
    ),
    "warm_up_fills_the_cache": Example(
        bad=(
            ("sd15", dataset(captions={"token_warmup_steps": 10}), "warning",
             [("datasets.1.captions.token_warmup_steps",)]),
        ),
        good=(
            ("sd15", dataset(captions={"token_warmup_steps": 10}) | {"caching": {"text_embeddings": "off"}}),
            ("sd15", dataset(captions={"token_warmup_steps": 10}) | {"network": {"train_text_encoders": True}}),
            ("sd15", dataset(captions={"shuffle": True})),
        ),
    ),
    "regularisation_makes_sense": Example(
        bad=(
            ("sd15", {"datasets": [{"path": "others", "is_regularisation": True}]}, "warning", [("datasets",)]),
            ("sd15", flow(prior_loss_weight=0.5), "warning", [("objective.prior_loss_weight",)]),
            ("sd15", dataset(is_regularisation=True, trigger_word="ohwx"), "warning", [("datasets.1.trigger_word",)]),
        ),
        good=(("sd15", dataset(is_regularisation=True) | flow(prior_loss_weight=0.5)), ("sd15", {})),
    ),
    "bucket_limits_that_do_nothing": Example(
        bad=(
            ("sd15", buckets(mode="no_upscale", minimum=128), "warning", [("batching.buckets.minimum",)]),
            ("sd15", buckets(mode="off", minimum=128, maximum=512), "warning",
             [("batching.buckets.minimum", "batching.buckets.maximum")]),
        ),
        good=(("sd15", buckets(minimum=128, maximum=1024)), ("sd15", buckets(mode="aitoolkit"))),
    ),
    "sizes_fit_the_model": Example(
        bad=(
            ("flux1", buckets(step=24), "error", [("batching.buckets.step",)]),
            ("flux1", buckets(step=8), "error", [("batching.buckets.step",)]),
            ("sd15", buckets(resolution=8), "error", [("batching.buckets.resolution",)]),
            ("sd15", buckets(mode="off", resolution=[512, 500]), "error", [("batching.buckets.resolution",)]),
            ("flux1", buckets(mode="off") | dataset(resolutions=[512, 520]), "error", [("datasets.1.resolutions",)]),
        ),
        good=(
            ("sd15", buckets(step=24)),
            ("flux1", buckets(step=48, resolution=500)),  # with buckets only the area counts
            ("flux1", buckets(mode="off", step=8, resolution=[512, 768])),  # without them the step does not
        ),
    ),
    **VALIDATION_EXAMPLES,
    **SILENT_EXAMPLES,
    **FILE_EXAMPLES,
}  # fmt: skip

BAD = [(name, *case) for name, example in EXAMPLES.items() for case in example.bad]
GOOD = [(name, *case) for name, example in EXAMPLES.items() for case in example.good]


def config_of(changes: dict[str, Any]) -> TrainConfig:
    return parse({"name": "a", "model": {"path": "demo"}, "datasets": [{"path": "photos"}]} | changes, "test")


def found(name: str, config: TrainConfig, architecture: str) -> list[Problem]:
    (rule,) = [each for each in RULES if each.__name__ == name]
    return list(rule(config, SPECS[architecture]))


def test_every_rule_has_examples() -> None:
    assert {rule.__name__ for rule in RULES} == set(EXAMPLES), "a new rule needs an example of each kind in this file"
    assert len({rule.__name__ for rule in RULES}) == len(RULES)
    assert all(example.bad and example.good for example in EXAMPLES.values())


@pytest.mark.parametrize("architecture", SPECS)
def test_a_plain_job_has_no_problem(architecture: str) -> None:
    assert check(config_of({}), SPECS[architecture]) == []


@pytest.mark.parametrize(("name", "architecture", "changes", "level", "fields"), BAD)
def test_what_a_rule_finds(
    name: str, architecture: str, changes: dict[str, Any], level: str, fields: list[tuple[str, ...]]
) -> None:
    config = config_of(changes)
    problems = found(name, config, architecture)
    assert [problem.fields for problem in problems] == fields
    assert {problem.level for problem in problems} == {level}
    for problem in problems:
        assert problem in check(config, SPECS[architecture])
        assert str(problem).startswith(", ".join(problem.fields) + ": ")
        assert len(problem.message) > 10
        assert not problem.message.endswith(".")
        assert set(problem.fix) <= known_paths(config), "a fix that names no parameter"


@pytest.mark.parametrize(("name", "architecture", "changes"), GOOD)
def test_what_a_rule_leaves_alone(name: str, architecture: str, changes: dict[str, Any]) -> None:
    assert found(name, config_of(changes), architecture) == []


@pytest.mark.parametrize(("name", "architecture", "changes", "level", "fields"), BAD)
def test_a_fix_ends_the_problem_and_makes_no_other(
    name: str, architecture: str, changes: dict[str, Any], level: str, fields: list[tuple[str, ...]]
) -> None:
    config = config_of(changes)
    before = check(config, SPECS[architecture])
    for problem in found(name, config, architecture):
        if not problem.fix:
            continue
        after = check(applied(config, problem.fix), SPECS[architecture])
        assert problem not in after
        assert {str(each) for each in after} < {str(each) for each in before}


def test_errors_come_first() -> None:
    config = config_of({"network": {"alpha": 0, "conv_alpha": 1}, "objective": {"flow_shift": 2.0}})
    levels = [problem.level for problem in check(config, SPECS["sd15"])]
    assert levels == sorted(levels)
    assert set(levels) == {"error", "warning"}


def known_paths(config: TrainConfig) -> set[str]:
    def walk(data: Any, prefix: str) -> set[str]:
        if isinstance(data, dict):
            here = {prefix.removesuffix(".")}  # a table of block names is a parameter, too
            return here | {path for key, inner in data.items() for path in walk(inner, f"{prefix}{key}.")}
        if isinstance(data, list) and data and isinstance(data[0], dict):
            inside = {path for number, each in enumerate(data) for path in walk(each, f"{prefix}{number}.")}
            return {prefix.removesuffix(".")} | inside
        return {prefix.removesuffix(".")}

    return walk(config.model_dump(mode="json"), "")


def applied(config: TrainConfig, fix: dict[str, Any]) -> TrainConfig:
    """The config as the form would make it with one click."""
    data = copy.deepcopy(config.model_dump(mode="json"))
    for path, value in fix.items():
        *parents, last = path.split(".")
        place: Any = data
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place[part]
        place[last] = value
    return parse(data, "fixed")
