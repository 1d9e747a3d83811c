"""Rules across fields. The command line, the API and the form run the same ones.

A rule is a small function that yields `Problem`s. An error stops the job; a warning says that something has no effect
or is likely not meant. Nothing here is about taste.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loratory.config import rules_network, rules_objective  # noqa: F401  (they register their rules)
from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.architectures.targets import trained_text_encoders
from loratory.config.fields import values
from loratory.config.problems import RULES, Problem, rule
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
