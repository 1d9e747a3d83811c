"""Rules across fields. The command line, the API and the form run the same ones.

A rule is a small function that yields `Problem`s. An error stops the job; a warning says that something has no effect
or is likely not meant. Nothing here is about taste.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import loratory.config
from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.dataset import DatasetConfig
from loratory.config.fields import get_value, values
from loratory.config.problems import RULES, Problem, rule
from loratory.config.targets import trained_text_encoders
from loratory.config.train import TrainConfig

__all__ = ["RULES", "Problem", "check"]

# Every module `rules_….py` registers its rules by being imported.
for _module in pkgutil.iter_modules(loratory.config.__path__, "loratory.config."):
    if _module.name.startswith("loratory.config.rules_"):
        importlib.import_module(_module.name)


def check(config: TrainConfig, spec: ArchitectureSpec) -> list[Problem]:
    """All problems of a config for one architecture, errors first."""
    found = [replace(problem, code=each.__name__) for each in RULES for problem in each(config, spec)]
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
def parts_are_components(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    known = (spec.denoiser, *spec.text_encoders, *([] if spec.pixel_space else ["vae"]))
    if spec.pixel_space and config.model.vae_path is not None:
        field = "model.vae_path"
        yield Problem("error", (field,), f"{spec.title} has no autoencoder", {field: None})
    for name in config.model.parts:
        if name not in known:
            yield Problem("error", (f"model.parts.{name}",), f"is no part of {spec.title}; known: {', '.join(known)}")
    for name in sorted(config.model.left_out() - set(spec.optional_text_encoders)):
        if name in known:
            yield Problem("error", (f"model.parts.{name}",), f"{spec.title} cannot do without it; give a path")
    if config.network.train_large_text_encoders and config.model.left_out() & set(spec.large_text_encoders):
        (name,) = spec.large_text_encoders
        fields = (f"model.parts.{name}", "network.train_large_text_encoders")
        yield Problem("error", fields, "what is left out cannot be trained", {fields[1]: False})
    if "vae" in config.model.parts and config.model.vae_path is not None:
        yield Problem("error", ("model.parts.vae", "model.vae_path"), "are the same; keep one of them")


def _on_datasets(config: TrainConfig, name: str, found: Callable[[DatasetConfig], str]) -> Iterator[Problem]:
    """A warning for `name` in every dataset about which `found` has something to say."""
    for i, dataset in enumerate(config.datasets):
        if message := found(dataset):
            yield Problem("warning", (f"datasets.{i}.{name}",), message)


@rule
def caption_options_that_do_nothing(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    def kept(dataset: DatasetConfig) -> str:
        captions = dataset.captions
        arranged = captions.shuffle or captions.tag_dropout_rate or captions.token_warmup_steps
        return "has no effect, because tags are neither shuffled nor dropped" if not arranged else ""

    def variants(dataset: DatasetConfig) -> str:
        constant = dataset.captions.variants != 8 and not dataset.captions.varies()
        return "has no effect, because nothing in a caption is random" if constant else ""

    def most(dataset: DatasetConfig) -> str:
        unused = dataset.captions.random_triggers_max != 1 and not dataset.captions.random_triggers
        return "has no effect without random_triggers" if unused else ""

    def least(dataset: DatasetConfig) -> str:
        unused = dataset.captions.token_warmup_min != 1 and not dataset.captions.token_warmup_steps
        return "has no effect without token_warmup_steps" if unused else ""

    yield from _on_datasets(config, "captions.keep_tokens", lambda d: kept(d) if d.captions.keep_tokens else "")
    yield from _on_datasets(config, "captions.variants", variants)
    yield from _on_datasets(config, "captions.random_triggers_max", most)
    yield from _on_datasets(config, "captions.token_warmup_min", least)


@rule
def captions_can_be_used(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    for i, dataset in enumerate(config.datasets):
        captions = dataset.captions
        if "" in captions.replacements:
            fields = (f"datasets.{i}.captions.replacements",)
            yield Problem("error", fields, "an empty text cannot be replaced; give the text that is to be found")
        if captions.dropout_every_n_epochs == 1:
            field_name = f"datasets.{i}.captions.dropout_every_n_epochs"
            yield Problem("warning", (field_name,), "1 leaves every caption empty", {field_name: None})


@rule
def texts_are_no_longer_than_the_model_reads(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    wanted, most = config.text.max_tokens, spec.most_text_tokens or spec.text_tokens
    if wanted is not None and most is not None and "max_tokens" in spec.text_settings and wanted > most:
        reason = f"{spec.title} reads {most} tokens at most"
        yield Problem("error", ("text.max_tokens",), reason, {"text.max_tokens": most})


@rule
def warm_up_fills_the_cache(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    if config.caching.text_embeddings == "off" or trained_text_encoders(spec, config.network):
        return
    yield from _on_datasets(
        config,
        "captions.token_warmup_steps",
        lambda dataset: (
            "each variant of a caption is encoded once for every number of tags, which takes time and space; set "
            "caching.text_embeddings to off, or captions.variants lower"
            if dataset.captions.token_warmup_steps
            else ""
        ),
    )


@rule
def regularisation_makes_sense(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    kinds = {dataset.is_regularisation for dataset in config.datasets}
    if kinds == {True}:
        yield Problem("warning", ("datasets",), "all of them are regularisation sets, so nothing new is learned")
    if config.objective.prior_loss_weight != 1.0 and True not in kinds:
        field_name = "objective.prior_loss_weight"
        yield Problem("warning", (field_name,), "has no effect without a regularisation set", {field_name: 1.0})
    yield from _on_datasets(
        config,
        "trigger_word",
        lambda dataset: (
            "a regularisation set shows what is meant without the trigger word; leave it out"
            if dataset.is_regularisation and dataset.trigger_word
            else ""
        ),
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
def pixels_need_no_autoencoder(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    defaults = {
        "model.vae_precision": "fp32",
        "caching.posterior": "sample",
        "memory.vae_slicing": False,
        "memory.vae_tiling": False,
    }
    if spec.pixel_space:
        for path, default in defaults.items():
            if get_value(config, path) != default:
                yield Problem("warning", (path,), f"has no effect: {spec.title} has no autoencoder", {path: default})


@rule
def text_encoders_can_be_trained(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    field = "network.train_text_encoders"
    if config.network.train_text_encoders and not spec.trainable_text_encoders:
        yield Problem("warning", (field,), f"has no effect on {spec.title}", {field: False})


@rule
def side_adapters_do_something(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    for i, adapter in enumerate(config.model.side_adapters):
        if adapter.strength == 0:
            path = f"model.side_adapters.{i}.strength"
            yield Problem("warning", (path,), "0 means that it does nothing", {path: 1.0})
        if adapter.on == "sampling" and not (config.sampling.prompts or config.sampling.prompts_file):
            yield Problem(
                "warning", (f"model.side_adapters.{i}.on",), "has no effect: no samples are made, for lack of prompts"
            )
