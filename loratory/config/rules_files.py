"""Rules about what a run leaves behind: samples, LoRA files, checkpoints. `rules` runs them with the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.identify import PICKLE_SUFFIXES
from loratory.config.problems import Problem, rule
from loratory.config.samplers import why_not
from loratory.config.train import TrainConfig


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


@rule
def sampler_fits_the_model(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    name = config.sampling.sampler
    if name is not None and (reason := why_not(name, spec)):
        yield Problem("error", ("sampling.sampler",), reason, {"sampling.sampler": None})


@rule
def lossless_pictures_have_no_quality(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    if config.sampling.format == "png" and config.sampling.quality != 95:
        yield Problem("warning", ("sampling.quality",), "has no effect on png, which loses nothing",
                      {"sampling.quality": 95})  # fmt: skip


@rule
def milestones_are_for_what_is_deleted(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    saving = config.saving
    if saving.keep_every_n_steps and saving.keep_last_exports is None and saving.keep_last_samples is None:
        yield Problem("warning", ("saving.keep_every_n_steps",), "has no effect, because nothing is deleted",
                      {"saving.keep_every_n_steps": None})  # fmt: skip


@rule
def pickles_have_no_metadata(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    saving = config.saving
    if saving.file_type == "safetensors":
        return
    yield Problem(
        "warning",
        ("saving.file_type",),
        f"a .{saving.file_type} file has no place for metadata: title, author, trigger words, settings and hashes are "
        "not in it, and many programs no longer open such files",
        {"saving.file_type": "safetensors"},
    )
    for name in ("title", "author", "description", "license", "tags", "comment"):
        if getattr(saving, name):
            yield Problem("warning", (f"saving.{name}",), f"has no effect on a .{saving.file_type} file")


@rule
def shapes_are_read_from_headers(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network = config.network
    if network.shape_from_start and PurePath(network.start_from or "").suffix.lower() in PICKLE_SUFFIXES:
        fields = ("network.shape_from_start", "network.start_from")
        yield Problem("error", fields, "the shape can only be taken from a .safetensors file; convert the file")
