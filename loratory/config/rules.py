"""Rules across fields. The command line, the API and the form run the same ones.

A rule is a small function that yields `Problem`s. An error stops the job; a warning says that something has no effect
or is likely not meant. Nothing here is about taste.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.architectures.targets import trained_text_encoders
from loratory.config.fields import values
from loratory.config.network import AlphaConfig, DiagOftConfig, DyloraConfig, LokrConfig, OftConfig, RankedConfig
from loratory.config.optimizer import (
    AdafactorConfig,
    AutomagicConfig,
    CustomConfig,
    ProdigyPlusScheduleFreeConfig,
)
from loratory.config.optimizers.adaptive import AdaptiveSettings, OneRateSettings, ScheduleFreeSettings
from loratory.config.schedule import ConstantWithWarmupSchedule, PiecewiseConstantSchedule, WarmupSettings
from loratory.config.train import TrainConfig


@dataclass(frozen=True)
class Problem:
    level: Literal["error", "warning"]
    fields: tuple[str, ...]
    message: str
    fix: dict[str, Any] = field(default_factory=dict)
    """A change (dotted path to value) that ends the problem."""

    def __str__(self) -> str:
        return f"{', '.join(self.fields)}: {self.message}"


PARTS: dict[str, Any] = {
    "text_encoder_learning_rate": None,
    "text_encoder_learning_rates": {},
    "lora_plus_ratio": 1.0,
    "text_encoder_lora_plus_ratio": None,
}
"""What gives parts of a network rates of their own, and how it looks when it is off."""

Rule = Callable[[TrainConfig, ArchitectureSpec], Iterator[Problem]]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


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
    if not isinstance(network, RankedConfig) or not spec.convolution_groups or network.conv_rank is not None:
        return
    if network.targets.preset in ("full", "unet-convblock-only") or network.targets.also_if_contains:
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
def one_length(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    for part in ("warmup", "decay"):
        steps, ratio = f"{part}_steps", f"{part}_ratio"
        if getattr(config.schedule, steps, None) is not None and getattr(config.schedule, ratio, None) is not None:
            yield Problem(
                "error",
                (f"schedule.{steps}", f"schedule.{ratio}"),
                f"both say how long the {part.replace('warmup', 'warm-up')} is; keep one",
                {f"schedule.{ratio}": None},
            )


@rule
def warmup_ends(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    schedule, total = config.schedule, config.duration.steps
    if total is not None and isinstance(schedule, WarmupSettings) and (schedule.warmup_steps or 0) >= total:
        yield Problem(
            "warning",
            ("schedule.warmup_steps",),
            f"the rate never gets to its full height: the run has {total} steps",
            {"schedule.warmup_steps": total // 10},
        )


@rule
def warmup_is_given(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    schedule = config.schedule
    if isinstance(schedule, ConstantWithWarmupSchedule) and not (schedule.warmup_steps or schedule.warmup_ratio):
        yield Problem("warning", ("schedule.type",), "has no warm-up; give schedule.warmup_steps or warmup_ratio")


@rule
def pieces_fit(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    schedule = config.schedule
    if not isinstance(schedule, PiecewiseConstantSchedule):
        return
    steps, factors = schedule.until_steps, schedule.factors
    if len(factors) != len(steps) + 1:
        yield Problem(
            "error",
            ("schedule.factors", "schedule.until_steps"),
            f"{len(steps)} steps need {len(steps) + 1} factors; there are {len(factors)}",
        )
    if list(steps) != sorted(set(steps)) or any(step < 1 for step in steps):
        yield Problem("error", ("schedule.until_steps",), "must be above 0 and rise")
    if any(factor < 0 for factor in factors):
        yield Problem("error", ("schedule.factors",), "must not be below 0")


@rule
def schedules_that_do_nothing(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    """Schedule-free optimizers average instead; Adafactor's relative step is a schedule of its own."""
    optimizer, schedule = config.optimizer, config.schedule
    if schedule.type == "none":
        return
    if isinstance(optimizer, AdafactorConfig) and optimizer.relative_step:
        warmed = isinstance(schedule, WarmupSettings) and (schedule.warmup_steps or schedule.warmup_ratio)
        if schedule.type != "constant" or warmed:
            message = "has no effect, because optimizer.relative_step takes the rate from the step"
            yield Problem("warning", ("schedule",), message, {"schedule": {"type": "none"}})
        return
    averages = isinstance(optimizer, ScheduleFreeSettings) or (
        isinstance(optimizer, ProdigyPlusScheduleFreeConfig) and optimizer.use_schedulefree
    )
    if averages and schedule.type not in ("constant", "constant_with_warmup"):
        yield Problem(
            "warning",
            ("schedule.type",),
            f"{optimizer.type} averages weights in place of a falling rate; {schedule.type} weakens that",
            {"schedule": {"type": "none"}},
        )


@rule
def relative_steps_have_no_rate(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    optimizer = config.optimizer
    if not isinstance(optimizer, AdafactorConfig):
        return
    given = type(optimizer)()
    if optimizer.relative_step:
        for name in ("learning_rate", *PARTS):
            default = getattr(given, name)
            if getattr(optimizer, name) != default:
                yield Problem(
                    "error",
                    (f"optimizer.{name}", "optimizer.relative_step"),
                    "a relative step is a rate of its own; keep one of the two",
                    {f"optimizer.{name}": default},
                )
    elif optimizer.warmup_init:
        yield Problem(
            "warning",
            ("optimizer.warmup_init",),
            "has no effect without optimizer.relative_step",
            {"optimizer.warmup_init": False},
        )


@rule
def one_estimate_has_one_rate(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    optimizer = config.optimizer
    if not isinstance(optimizer, OneRateSettings):
        return
    for name, default in PARTS.items():
        if getattr(optimizer, name) != default:
            yield Problem(
                "error",
                (f"optimizer.{name}",),
                f"{optimizer.type} finds one rate for all parts",
                {f"optimizer.{name}": default},
            )


@rule
def adapted_rates_are_about_one(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    optimizer = config.optimizer
    if isinstance(optimizer, AdaptiveSettings) and not 0.1 <= optimizer.learning_rate <= 10:
        yield Problem(
            "warning",
            ("optimizer.learning_rate",),
            f"multiplies the rate that {optimizer.type} finds itself; {optimizer.learning_rate:g} is far from 1",
            {"optimizer.learning_rate": 1.0},
        )


@rule
def rates_lie_between_their_limits(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    optimizer = config.optimizer
    if not isinstance(optimizer, AutomagicConfig):
        return
    low, high = optimizer.min_learning_rate, optimizer.max_learning_rate
    if low > high:
        fields = ("optimizer.min_learning_rate", "optimizer.max_learning_rate")
        yield Problem("error", fields, f"the least rate ({low:g}) is above the greatest ({high:g})")
    elif not low <= optimizer.learning_rate <= high:
        message = f"lies outside {low:g} to {high:g}, where the rates stay"
        yield Problem("warning", ("optimizer.learning_rate",), message)


@rule
def text_encoders_of_rates_exist(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    field = "optimizer.text_encoder_learning_rates"
    trained = trained_text_encoders(spec, config.network)
    for name, rate in config.optimizer.text_encoder_learning_rates.items():
        if name not in trained:
            known = f"those are: {', '.join(trained)}" if trained else "none is"
            yield Problem("error", (field,), f"{name!r} is no text encoder that is trained; {known}")
        if rate <= 0:
            yield Problem("error", (field,), f"the rate of {name!r} must be above 0")


@rule
def custom_class_is_named(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    """The module is only looked for; its class is imported before a run loads anything."""
    optimizer = config.optimizer
    if not isinstance(optimizer, CustomConfig):
        return
    field = "optimizer.implementation"
    module, colon, name = optimizer.implementation.partition(":")
    if not colon or not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        yield Problem("error", (field,), "must be written as module:Class, such as torch.optim:NAdam")
    elif find_spec(module.partition(".")[0]) is None:
        yield Problem("error", (field,), f"there is no module {module.partition('.')[0]}; is it installed?")


@rule
def timestep_range(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    low, high = config.objective.min_timestep, config.objective.max_timestep
    if low > high:
        yield Problem(
            "error",
            ("objective.min_timestep", "objective.max_timestep"),
            f"the lowest timestep ({low}) is above the highest ({high})",
            {"objective.min_timestep": high, "objective.max_timestep": low},
        )


@rule
def shift_is_positive(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    shift = config.objective.flow_shift
    if isinstance(shift, (int, float)) and shift <= 0:
        yield Problem(
            "error", ("objective.flow_shift",), "must be above 0; 1 means no shift", {"objective.flow_shift": "auto"}
        )


@rule
def sigmoid_scale_needs_sigmoid(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    if config.objective.sigmoid_scale != 1.0 and config.objective.timestep_sampling != "sigmoid":
        yield Problem("warning", ("objective.sigmoid_scale",), "has no effect unless timestep_sampling is sigmoid")


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
