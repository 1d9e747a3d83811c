"""Rules across fields. The command line, the API and the form run the same ones.

A rule is a small function that yields `Problem`s. An error stops the job; a warning says that something has no effect
or is likely not meant. Nothing here is about taste.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from loratory.config import rules_objective  # noqa: F401  (registers its rules)
from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.architectures.targets import trained_text_encoders
from loratory.config.fields import values
<<<<<<< Updated upstream
from loratory.config.network import AlphaConfig, DiagOftConfig, DyloraConfig, LokrConfig, OftConfig, RankedConfig
from loratory.config.problems import RULES, Problem, rule
=======
from loratory.config.network import (
    AlphaConfig,
    DiagOftConfig,
    DyloraConfig,
    LokrConfig,
    LoraConfig,
    OftConfig,
    RankedConfig,
)
>>>>>>> Stashed changes
from loratory.config.train import TrainConfig

__all__ = ["RULES", "Problem", "check"]


def check(config: TrainConfig, spec: ArchitectureSpec) -> list[Problem]:
    """All problems of a config for one architecture, errors first."""
    found = [problem for each in RULES for problem in each(config, spec)]
    return sorted(found, key=lambda problem: problem.level != "error")


@rule
def without_effect_here(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    for path, value, facts, default in values(config):
        if facts.architectures and spec.name not in facts.architectures and value != default:
            yield Problem("warning", (path,), f"has no effect on {spec.title}", {path: default})


@rule
def something_is_trained(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    fields = ("network.train_denoiser", "network.train_text_encoders")
    if not config.network.train_denoiser and not trained_text_encoders(spec, config.network):
        yield Problem("error", fields, "both are off, so nothing would be trained", {fields[0]: True})


@rule
def text_encoder_rate(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    if trained_text_encoders(spec, config.network):
        return
    for name in ("text_encoder_learning_rate", "text_encoder_lora_plus_ratio"):
        if getattr(config.optimizer, name) is not None:
            yield Problem(
                "warning",
                (f"optimizer.{name}",),
                "has no effect, because network.train_text_encoders is off",
                {"network.train_text_encoders": True},
            )


@rule
def convolution_options_need_convolutions(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network = config.network
    if not isinstance(network, RankedConfig) or not spec.convolution_groups or _trains_convolutions(network, spec):
        return
    defaults = {"conv_alpha": "auto", "conv_dropout": None, "tucker": False}
    for name, default in defaults.items():
        if getattr(network, name) != default:
            yield Problem(
                "warning",
                (f"network.{name}",),
                "has no effect without network.conv_rank: no convolutions are trained",
                {f"network.{name}": default},
            )


@rule
def full_factors_have_no_rank(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network = config.network
    if not isinstance(network, LokrConfig) or not network.full_matrix:
        return
    for name, default in {"alpha": "auto", "decompose_both": False}.items():
        if getattr(network, name) != default:
            yield Problem(
                "warning",
                (f"network.{name}",),
                "has no effect, because network.full_matrix trains both factors in full",
                {f"network.{name}": default},
            )


@rule
def ranks_of_blocks_need_a_rank(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network = config.network
    if not isinstance(network, AlphaConfig) and network.targets.block_alphas:
        fields = ("network.targets.block_alphas",)
        yield Problem("warning", fields, f"has no effect, because {network.type} has no alpha", {fields[0]: {}})
    if isinstance(network, AlphaConfig | OftConfig):
        return
    for name in ("block_ranks", "layer_ranks"):
        if any(getattr(network.targets, name).values()):
            yield Problem(
                "warning",
                (f"network.targets.{name}",),
                f"ranks above 0 have no effect, because {network.type} has no rank",
                {f"network.targets.{name}": {}},
            )


@rule
def a_shape_needs_a_file(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network = config.network
    if not network.shape_from_start:
        return
    field = "network.shape_from_start"
    if network.start_from is None:
        yield Problem("error", (field,), "needs network.start_from, a LoRA file to take them from", {field: False})
    elif network.targets != type(network)().targets:
        yield Problem(
            "warning", ("network.targets",), "has no effect: network.shape_from_start takes the layers from the file"
        )


@rule
def lora_plus_needs_up_matrices(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    if config.network.type in ("lora", "dylora"):
        return
    for name, default in {"lora_plus_ratio": 1.0, "text_encoder_lora_plus_ratio": None}.items():
        if getattr(config.optimizer, name) != default:
            yield Problem(
                "warning",
                (f"optimizer.{name}",),
                f"has no effect, because {config.network.type} has no up matrices",
                {f"optimizer.{name}": default},
            )


@rule
def rescaling_is_not_read_everywhere(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network = config.network
    if isinstance(network, DiagOftConfig) and network.rescaled:
        yield Problem(
            "warning",
            ("network.rescaled",),
            "ComfyUI leaves these factors of Diag-OFT out, so that pictures made there differ",
            {"network.rescaled": False},
        )


@rule
def phases_of_alpha_can_act(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    schedule, network = config.alpha_schedule, config.network
    phases, off = schedule.phases(), {"alpha_schedule.preset": "off"}
    if schedule.preset == "off":
        if schedule.linear or schedule.conv:
            fields = ("alpha_schedule.linear", "alpha_schedule.conv")
            yield Problem("warning", fields, "have no effect while alpha_schedule.preset is off",
                          {"alpha_schedule.preset": "custom"})  # fmt: skip
        return
    if not phases:
        yield Problem("error", ("alpha_schedule.preset",), "is custom, and there are no phases in linear or conv", off)
        return
    if not isinstance(network, AlphaConfig) or (isinstance(network, LokrConfig) and network.full_matrix):
        what = "full_matrix" if isinstance(network, LokrConfig) else network.type
        yield Problem("error", ("alpha_schedule.preset",), f"needs a network with an alpha, which {what} has not", off)
    if schedule.transition == "rescale" and config.optimizer.type not in ("adamw", "sgd"):
        yield Problem(
            "error",
            ("alpha_schedule.transition",),
            f"rescale is not known for the optimizer {config.optimizer.type}; use ramp",
            {"alpha_schedule.transition": "ramp"},
        )
    if schedule.conv and isinstance(network, AlphaConfig) and not _trains_convolutions(network, spec):
        yield Problem(
            "warning",
            ("alpha_schedule.conv",),
            f"changes nothing: no larger convolutions of {spec.title} are trained here; the phases can move the linear "
            "layers instead",
            {"alpha_schedule.linear": [phase.model_dump() for phase in schedule.conv], "alpha_schedule.conv": []},
        )


def _trains_convolutions(network: AlphaConfig, spec: ArchitectureSpec) -> bool:
    if not spec.convolution_groups or not isinstance(network, RankedConfig):
        return False
    targets = network.targets
    chosen = targets.preset in ("full", "unet-convblock-only") or bool(targets.also_if_contains)
    return network.conv_rank is not None or chosen


@rule
def lengths_can_be_limited(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network = config.network
    if not isinstance(network, LoraConfig) or network.max_weight_norm is None:
        return
    for name, default in {"shared_down": False, "initialization": "default"}.items():
        if getattr(network, name) != default:
            yield Problem(
                "error",
                ("network.max_weight_norm", f"network.{name}"),
                "cannot be had together: both matrices of a layer are shortened, and one of them is not its own",
                {"network.max_weight_norm": None},
            )


@rule
def units_divide_the_rank(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network = config.network
    if isinstance(network, DyloraConfig) and network.rank % network.unit:
        yield Problem(
            "error",
            ("network.unit", "network.rank"),
            f"the rank {network.rank} is not a multiple of the unit {network.unit}",
            {"network.unit": math.gcd(network.rank, network.unit)},
        )


@rule
def alphas_are_usable(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    for name in ("alpha", "conv_alpha"):
        value: Any = getattr(config.network, name, "auto")
        if value != "auto" and value <= 0:
            yield Problem(
                "error",
                (f"network.{name}",),
                "must be above 0; `auto` means equal to the rank",
                {f"network.{name}": "auto"},
            )


@rule
def one_warmup(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    if config.schedule.warmup_steps is not None and config.schedule.warmup_ratio is not None:
        yield Problem(
            "error",
            ("schedule.warmup_steps", "schedule.warmup_ratio"),
            "both say how long the warm-up is; keep one",
            {"schedule.warmup_ratio": None},
        )


@rule
def random_crop_and_cache(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    for i, dataset in enumerate(config.datasets):
        if dataset.augmentation.random_crop and config.caching.latents != "off":
            yield Problem(
                "error",
                (f"datasets.{i}.augmentation.random_crop", "caching.latents"),
                "a picture cut at another place each time cannot be cached; set caching.latents to off",
                {"caching.latents": "off"},
            )


@rule
def caption_options_that_do_nothing(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    for i, dataset in enumerate(config.datasets):
        captions = dataset.captions
        if captions.keep_tokens and not captions.shuffle and not captions.tag_dropout_rate:
            yield Problem(
                "warning",
                (f"datasets.{i}.captions.keep_tokens",),
                "has no effect, because tags are neither shuffled nor dropped",
            )
        if captions.variants != 8 and not captions.varies():
            yield Problem(
                "warning",
                (f"datasets.{i}.captions.variants",),
                "has no effect, because tags are neither shuffled nor dropped",
            )


@rule
def bucket_limits_that_do_nothing(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    buckets = config.batching.buckets
    if buckets.mode == "upscale":
        return
    names = {"minimum": 256, "maximum": None}
    unused = tuple(f"batching.buckets.{name}" for name, default in names.items() if getattr(buckets, name) != default)
    if unused:
        yield Problem("warning", unused, f"has no effect with mode {buckets.mode}: sizes follow the pictures")


@rule
def sizes_fit_the_model(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    buckets = config.batching.buckets
    if buckets.mode != "off" and buckets.step % spec.size_multiple:
        fitting = max(spec.size_multiple, buckets.step // spec.size_multiple * spec.size_multiple)
        yield Problem(
            "error",
            ("batching.buckets.step",),
            f"{spec.title} needs sizes that divide by {spec.size_multiple}",
            {"batching.buckets.step": fitting},
        )
    named: list[tuple[str, Any]] = [("batching.buckets.resolution", buckets.resolution)]
    for i, dataset in enumerate(config.datasets):
        named += [(f"datasets.{i}.resolutions", each) for each in dataset.resolutions]
    for path, resolution in named:
        sides = resolution if isinstance(resolution, tuple) else (resolution,)
        for side in sides:
            if side is None:
                continue
            if side < 16:
                yield Problem("error", (path,), f"{side} pixels is too small; 16 is the least")
            elif buckets.mode == "off" and side % spec.size_multiple:
                yield Problem(
                    "error", (path,), f"{side} does not divide by {spec.size_multiple}, as {spec.title} needs"
                )


@rule
def samples_have_prompts(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    sampling = config.sampling
    has_prompts = bool(sampling.prompts) or sampling.prompts_file is not None
    intervals = tuple(
        f"sampling.{name}" for name in ("every_n_steps", "every_n_epochs") if getattr(sampling, name) is not None
    )
    if intervals and not has_prompts:
        yield Problem("warning", intervals, "no pictures are made, because sampling.prompts is empty")
    if sampling.prompts and sampling.prompts_file is not None:
        yield Problem("error", ("sampling.prompts", "sampling.prompts_file"), "give the prompts in one of the two")


@rule
def nothing_is_kept(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    saving = config.saving
    if saving.checkpoint_every_n_minutes is None and saving.checkpoint_every_n_steps is None:
        yield Problem(
            "warning",
            ("saving.checkpoint_every_n_minutes", "saving.checkpoint_every_n_steps"),
            "both are off: a crash would lose the whole run",
            {"saving.checkpoint_every_n_minutes": 10.0},
        )
