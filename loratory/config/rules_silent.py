"""Options that would be ignored in silence: each with what it takes to have an effect. `rules` runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.fields import get_value, values
from loratory.config.identify import PICKLE_SUFFIXES
from loratory.config.problems import Problem, rule
from loratory.config.targets import trained_text_encoders
from loratory.config.train import TrainConfig

Holds = Callable[[TrainConfig, ArchitectureSpec], object]
SINGLE_FILES = (".safetensors", *PICKLE_SUFFIXES)


def _is(path: str, *wanted: Any) -> Holds:
    return lambda config, spec: get_value(config, path) in wanted


def _differs(path: str, from_what: Any) -> Holds:
    """Another value than this; also true where the section's type knows no such field."""
    section, _, name = path.partition(".")
    return lambda config, spec: getattr(getattr(config, section), name, ...) != from_what


def _has_prompts(config: TrainConfig, spec: ArchitectureSpec) -> bool:
    return bool(config.sampling.prompts) or config.sampling.prompts_file is not None


def _exports(config: TrainConfig, spec: ArchitectureSpec) -> bool:
    saving = config.saving
    every = (saving.export_every_n_steps, saving.export_every_n_epochs, saving.export_every_n_minutes)
    return any(each is not None for each in every)


def _caches_texts(config: TrainConfig, spec: ArchitectureSpec) -> bool:
    return config.caching.text_embeddings != "off" and not trained_text_encoders(spec, config.network)


def _encodes_ahead(config: TrainConfig, spec: ArchitectureSpec) -> bool:
    return config.caching.latents != "off" or _caches_texts(config, spec)


def _caches_on_disk(config: TrainConfig, spec: ArchitectureSpec) -> bool:
    return config.caching.latents == "disk" or (
        config.caching.text_embeddings == "disk" and _caches_texts(config, spec)
    )


def _is_of_the_hub(config: TrainConfig, spec: ArchitectureSpec) -> bool:
    path = config.model.path
    return path != "demo" and not PurePath(path).is_absolute() and not path.startswith((".", "~"))


def _is_one_file(config: TrainConfig, spec: ArchitectureSpec) -> bool:
    return PurePath(config.model.path).suffix.lower() in SINGLE_FILES


def _makes_sizes(config: TrainConfig, spec: ArchitectureSpec) -> bool:
    return config.batching.buckets.mode != "off"


def _own_sizes_missing(config: TrainConfig, spec: ArchitectureSpec) -> bool:
    return not all(dataset.resolutions for dataset in config.datasets)


_PROMPTS = (_has_prompts, "there are sampling.prompts or a .prompts_file")
_SAMPLES = (
    "sampler", "steps", "scale", "guidance", "guidance_rescale", "width", "height", "strength", "format", "seed",
    "walk_seed",
)  # fmt: skip
_ALPHAS = (_differs("alpha_schedule.preset", "off"), "alpha_schedule.preset says the phases")
_FULL = (_is("saving.metadata", "full"), "saving.metadata is full")
_DECAY = (_differs("optimizer.weight_decay", 0.0), "optimizer.weight_decay is above 0")

NEEDS: dict[str, tuple[Holds, str]] = {
    **{f"sampling.{name}": _PROMPTS for name in _SAMPLES},
    "saving.keep_last_samples": _PROMPTS,
    "saving.keep_last_exports": (_exports, "files are exported every so many steps, epochs or minutes"),
    **{f"saving.{name}": _FULL for name in ("title", "author", "description", "license", "tags", "comment")},
    "ema.warm_up": (_differs("ema.decay", None), "ema.decay is given"),
    "ema.every_n_steps": (_differs("ema.decay", None), "ema.decay is given"),
    "alpha_schedule.rule": _ALPHAS,
    "alpha_schedule.transition": _ALPHAS,
    "alpha_schedule.ramp_steps": (_is("alpha_schedule.transition", "ramp"), "alpha_schedule.transition is ramp"),
    "optimizer.split_groups_mean": (_differs("optimizer.split_groups", False), "optimizer.split_groups is on"),
    "optimizer.schedulefree_c": (_differs("optimizer.use_schedulefree", False), "optimizer.use_schedulefree is on"),
    "optimizer.smallest_scale": (_differs("optimizer.scale_parameter", False), "optimizer.scale_parameter is on"),
    "optimizer.decoupled_decay": _DECAY,
    "optimizer.no_prox": _DECAY,
    "optimizer.weight_decay_by_lr": _DECAY,
    "caching.folder": (_caches_on_disk, "something is cached on disk"),
    "caching.batch_size": (_encodes_ahead, "something is encoded before the training"),
    "model.revision": (_is_of_the_hub, "model.path is a Hub id"),
    "model.components": (_is_one_file, "model.path is one file of weights"),
    "batching.buckets.step": (_makes_sizes, "batching.buckets.mode makes several sizes"),
    "batching.buckets.resolution": (_own_sizes_missing, "a dataset has no resolutions of its own"),
}
"""What an option needs in order to have an effect, and that in words."""


@rule
def options_that_would_be_ignored(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    for path, value, facts, default in values(config):
        if path in NEEDS and value != default and (not facts.architectures or spec.name in facts.architectures):
            holds, words = NEEDS[path]
            if not holds(config, spec):
                yield Problem("warning", (path,), f"has no effect unless {words}", {path: default})


@rule
def cached_texts_of_trained_encoders(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    """`disk` is the default and means nothing then; who asks for memory expects it to be used."""
    trained = trained_text_encoders(spec, config.network)
    if config.caching.text_embeddings == "memory" and trained:
        field = "caching.text_embeddings"
        message = f"has no effect: {', '.join(trained)} is trained, so captions are encoded in every step"
        yield Problem("warning", (field, "network.train_text_encoders"), message, {field: "off"})


@rule
def separators_need_tags(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    for i, dataset in enumerate(config.datasets):
        captions, field = dataset.captions, f"datasets.{i}.captions.separator"
        arranged = captions.shuffle or captions.tag_dropout_rate or captions.token_warmup_steps
        marked = captions.keep_tokens_separator or captions.secondary_separator
        if captions.separator != "," and not arranged and not marked:
            message = "has no effect, because tags are neither shuffled nor dropped, and no mark is replaced by it"
            yield Problem("warning", (field,), message, {field: ","})


@rule
def negative_prompts_are_used(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    """Prompts may have scales of their own (--l), and those in a file are not read here."""
    sampling, field = config.sampling, "sampling.negative_prompt"
    if not sampling.negative_prompt:
        return
    why = ""
    fields: tuple[str, ...] = (field,)
    if not _has_prompts(config, spec):
        why = f"unless {_PROMPTS[1]}"
    elif "negative" not in spec.pipeline_arguments:
        why = f"on {spec.title}"
    elif _all_at_scale_one(config, spec):
        why, fields = "at scale 1, where nothing leads away from it", (field, "sampling.scale")
    if why:
        yield Problem("warning", fields, f"has no effect {why}", {field: ""})


def _all_at_scale_one(config: TrainConfig, spec: ArchitectureSpec) -> bool:
    sampling = config.sampling
    own = sampling.prompts_file is not None or any(" --l" in prompt for prompt in sampling.prompts)
    return not own and (spec.sample_scale if sampling.scale is None else sampling.scale) <= 1


@rule
def limits_of_buckets(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    """kohya's rule rounds the limits, and stops where the training size lies outside of them."""
    buckets, name = config.batching.buckets, "batching.buckets"
    if buckets.mode != "upscale":
        return
    down = max(buckets.minimum // buckets.step, 1) * buckets.step
    if buckets.minimum != 256 and down != buckets.minimum:
        message = f"is no multiple of {name}.step; {down} is used"
        yield Problem("warning", (f"{name}.minimum",), message, {f"{name}.minimum": down})
    if buckets.maximum is None:
        return
    up = -(-buckets.maximum // buckets.step) * buckets.step
    if up != buckets.maximum:
        message = f"is no multiple of {name}.step; {up} is used"
        yield Problem("warning", (f"{name}.maximum",), message, {f"{name}.maximum": up})
    usual = (buckets.resolution or spec.default_resolution,) if _own_sizes_missing(config, spec) else ()
    sizes: dict[str, tuple[Any, ...]] = {f"{name}.resolution": usual}
    sizes |= {f"datasets.{i}.resolutions": each.resolutions for i, each in enumerate(config.datasets)}
    for path, given in sizes.items():
        largest = max((max(each) if isinstance(each, tuple) else each for each in given), default=0)
        if largest > up:
            message = f"{largest} pixels is more than a bucket's side may have ({up})"
            yield Problem("error", (path, f"{name}.maximum"), message, {f"{name}.maximum": None})
