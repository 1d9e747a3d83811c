"""Rules about optimizers, rates and schedules. `rules` runs them with the others."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.optimizer import (
    AdafactorConfig,
    AutomagicConfig,
    CustomConfig,
    ProdigyPlusScheduleFreeConfig,
)
from loratory.config.optimizers.adaptive import AdaptiveSettings, OneRateSettings, ScheduleFreeSettings
from loratory.config.problems import Problem, rule
from loratory.config.schedule import ConstantWithWarmupSchedule, PiecewiseConstantSchedule, WarmupSettings
from loratory.config.targets import trained_text_encoders
from loratory.config.train import TrainConfig

PARTS: dict[str, Any] = {
    "text_encoder_learning_rate": None,
    "text_encoder_learning_rates": {},
    "lora_plus_ratio": 1.0,
    "text_encoder_lora_plus_ratio": None,
    "block_rate_factors": {},
}
"""What gives parts of a network rates of their own, and how it looks when it is off."""


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
def clipping_has_a_limit(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    optimizer = config.optimizer
    if optimizer.clip_by != "norm" and not optimizer.max_grad_norm:
        yield Problem(
            "warning",
            ("optimizer.clip_by",),
            "has no effect while optimizer.max_grad_norm is 0",
            {"optimizer.clip_by": "norm"},
        )


@rule
def factors_of_rates_are_above_zero(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    field = "optimizer.block_rate_factors"
    wrong = [names for names, factor in config.optimizer.block_rate_factors.items() if factor <= 0]
    if wrong:
        message = f"the factor of {wrong[0]!r} must be above 0; to leave blocks out, use network.targets.blocks"
        yield Problem("error", (field,), message)


@rule
def steps_in_the_backward_pass(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    """They do not wait for all gradients, so nothing may need all of them."""
    optimizer = config.optimizer
    off = {"fused_backward_pass": False, "fused_optimizer_groups": None}
    on = [f"optimizer.{name}" for name, default in off.items() if getattr(optimizer, name) != default]
    if not on:
        return
    field, fix = on[0], {f"optimizer.{name}": default for name, default in off.items()}
    if len(on) > 1:
        yield Problem("error", tuple(on), "are two ways to step in the backward pass; keep one", {on[1]: None})
    if isinstance(optimizer, CustomConfig):
        message = f"is not possible with custom: what {optimizer.implementation} needs for a step is not known here"
        yield Problem("error", (field, "optimizer.type"), message, fix)
    elif not optimizer.separable:
        message = f"is not possible with {optimizer.type}, which estimates a distance from all gradients together"
        yield Problem("error", (field, "optimizer.type"), message, fix)
    if config.batching.gradient_accumulation_steps > 1:
        steps = "batching.gradient_accumulation_steps"
        message = "gradients of several batches must be kept until they are added up; set one of the two off"
        yield Problem("error", (field, steps), message, {steps: 1})
    for name in ("diff_output_preservation", "blank_prompt_preservation"):
        if getattr(config.objective, name):
            message = "has gradients of its own, which are added to the others before a step; set one of the two off"
            yield Problem("error", (field, f"objective.{name}"), message, {f"objective.{name}": 0.0})
    if optimizer.max_grad_norm and optimizer.clip_by == "norm":
        message = "the length of all gradients comes too late; set max_grad_norm to 0, or clip_by to value or adaptive"
        yield Problem("error", (field, "optimizer.max_grad_norm"), message, {"optimizer.max_grad_norm": 0.0})
    for name in ("precision", "adapter_precision"):
        if getattr(config.memory, name) == "fp16":
            message = "fp16 needs a gradient scaler, which looks at all gradients before a step; set it to bf16"
            yield Problem("error", (field, f"memory.{name}"), message, {f"memory.{name}": "bf16"})


@rule
def rounding_needs_bf16(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    if not config.optimizer.stochastic_rounding and config.memory.adapter_precision != "bf16":
        field = "optimizer.stochastic_rounding"
        message = "has no effect, because memory.adapter_precision is not bf16"
        yield Problem("warning", (field,), message, {field: True})


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
def summed_gradients_are_several(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    batching, name = config.batching, "batching.accumulate"
    if batching.accumulate == "sum" and batching.gradient_accumulation_steps == 1:
        yield Problem("warning", (name,), "has no effect: a step is one batch", {name: "mean"})
