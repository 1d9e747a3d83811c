"""Rules about masks and changes of pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.dataset import AugmentationConfig
from loratory.config.masks import NAME_MARK, MasksConfig
from loratory.config.problems import Problem, rule
from loratory.config.sizes import sample_size_of
from loratory.config.train import TrainConfig


@rule
def sizes_have_room(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    """The area of every bucket is at most that of its resolution."""
    if spec.largest_area is None:
        return
    side = math.isqrt(spec.largest_area)
    message = f"{spec.title} takes pictures of at most {side} x {side} pixels unless all are square (buckets.mode off)"
    buckets = config.batching.buckets
    named = [("batching.buckets.resolution", buckets.resolution)]
    named += [(f"datasets.{i}.resolutions", each) for i, one in enumerate(config.datasets) for each in one.resolutions]
    for path, resolution in named:
        if resolution is not None:
            width, height = (resolution, resolution) if isinstance(resolution, int) else resolution
            square = buckets.mode == "off" and width == height
            if width * height > spec.largest_area and not square:
                yield Problem("error", (path,), message, {})
    width, height = sample_size_of(config, spec)
    if (config.sampling.width or config.sampling.height) and width * height > spec.largest_area and width != height:
        yield Problem("error", ("sampling.width", "sampling.height"), message, {})


@rule
def regularisation_is_balanced_with_something(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    field = "batching.balance_regularisation"
    if not config.batching.balance_regularisation:
        return
    regular = [dataset.is_regularisation for dataset in config.datasets]
    if not any(regular):
        yield Problem("warning", (field,), "has no effect without a regularisation dataset", {field: False})
    taught = {dataset.batch_group for dataset in config.datasets if not dataset.is_regularisation}
    for i, dataset in enumerate(config.datasets):
        if dataset.is_regularisation and dataset.batch_group not in taught:
            group = f"datasets.{i}.batch_group"
            message = "none of these regularisation pictures is used: no other dataset is in their batch group"
            yield Problem("error", (group, field), message, {field: False})


@rule
def changed_pictures_and_cache(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    usual = AugmentationConfig().variants
    for i, dataset in enumerate(config.datasets):
        augmentation, field = dataset.augmentation, f"datasets.{i}.augmentation.variants"
        if not augmentation.varies():
            if augmentation.variants != usual:
                message = "has no effect, because nothing but mirroring is random in the pictures"
                yield Problem("warning", (field,), message, {field: usual})
        elif augmentation.variants is None and config.caching.latents != "off":
            message = (
                "pictures that are others in every use cannot be cached; give a number, or set caching.latents to off"
            )
            yield Problem("error", (field, "caching.latents"), message, {field: usual})


@rule
def masks_come_from_one_place(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    for i, dataset in enumerate(config.datasets):
        masks, where = dataset.masks, f"datasets.{i}.masks"
        if masks.alpha and masks.path is not None:
            message = "a picture has one mask: take it from the folder, or from the alpha channel"
            yield Problem("error", (f"{where}.path", f"{where}.alpha"), message, {f"{where}.alpha": False})
        if masks.names.count(NAME_MARK) != 1 or "/" in masks.names or "\\" in masks.names:
            message = f"must hold {NAME_MARK} once, and no slash"
            yield Problem("error", (f"{where}.names",), message, {f"{where}.names": NAME_MARK})


@rule
def mask_options_that_do_nothing(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    usual = MasksConfig()
    for i, dataset in enumerate(config.datasets):
        masks, where = dataset.masks, f"datasets.{i}.masks"
        if not masks.used():
            for name in ("invert", "minimum"):
                if getattr(masks, name) != getattr(usual, name):
                    field = f"{where}.{name}"
                    yield Problem("warning", (field,), "has no effect without masks", {field: getattr(usual, name)})
        elif masks.minimum == 1:
            yield Problem("warning", (f"{where}.minimum",), "1 counts black as much as white: masks have no effect")
        if masks.path is None and masks.names != usual.names:
            field = f"{where}.names"
            yield Problem("warning", (field,), "has no effect without a folder of masks", {field: usual.names})
    if config.objective.masked_loss_mean != "picture" and not any(each.masks.used() for each in config.datasets):
        field = "objective.masked_loss_mean"
        yield Problem("warning", (field,), "has no effect without masks", {field: "picture"})
