"""Rules for targets and terms of the loss that come from the bare model, and for MeanFlow."""

from __future__ import annotations

from collections.abc import Iterator

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.problems import Problem, rule
from loratory.config.train import TrainConfig

LEAST_DISTANCE = 0.05
"""The rounding of predictions, 0.4 % in bf16, is divided by it."""


@rule
def guidance_is_a_scale(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    field, scale = "objective.guidance_loss_target", config.objective.guidance_loss_target
    if scale is None:
        return
    low, high = scale if isinstance(scale, tuple) else (scale, scale)
    if low < 0 or low > high:
        yield Problem("error", (field,), "needs a number from 0 on, or two with the lower one first", {field: 3.0})
    elif low == high == 1:
        yield Problem("warning", (field,), "1 is the plain target, and costs a forward pass more", {field: None})


@rule
def mean_flow_needs_flow(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    field, objective = "objective.mean_flow_steps", config.objective
    if not objective.mean_flow_steps:
        return
    if spec.objective != "flow":
        yield Problem(
            "error",
            (field,),
            f"{spec.title} predicts noise, and MeanFlow is about velocities; leave it out",
            {field: 0, "objective.loss_type": objective.loss_type},  # a file may say mean_flow as the loss's type
        )
        return
    if config.memory.precision != "fp32" and objective.mean_flow_distance < LEAST_DISTANCE:
        yield Problem(
            "warning",
            ("objective.mean_flow_distance", "memory.precision"),
            f"with {config.memory.precision} so small a distance gives mostly rounding errors",
            {"objective.mean_flow_distance": 0.1},
        )
    kept = ("diff_output_preservation", "blank_prompt_preservation", "inverted_mask_prior")
    against = tuple(f"objective.{name}" for name in kept if getattr(objective, name))
    if against:
        yield Problem(
            "warning",
            (field, *against),
            "work against each other: what is preserved are predictions for many steps, what is learned is for few",
        )


@rule
def targets_are_velocities(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    objective, field = config.objective, "objective.model_prediction_type"
    if spec.objective != "flow" or objective.model_prediction_type == "raw":
        return
    uses = {"guidance_loss_target": objective.guidance_loss_target, "mean_flow_steps": objective.mean_flow_steps}
    changed = tuple(f"objective.{name}" for name, value in uses.items() if value not in (None, 0))
    if changed:
        yield Problem("error", (field, *changed), "these targets are velocities; compare them as raw", {field: "raw"})


@rule
def preservation_has_a_class(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    objective, field = config.objective, "objective.diff_output_preservation_class"
    if not objective.diff_output_preservation:
        return
    words = objective.diff_output_preservation_class.strip()
    if not words:
        yield Problem("error", (field,), "is missing: say what the trigger word is one of, such as dog or woman")
    for i, dataset in enumerate(config.datasets):
        if dataset.is_regularisation or dataset.diff_output_preservation:
            continue
        trigger = f"datasets.{i}.trigger_word"
        if not dataset.trigger_word:
            yield Problem(
                "warning",
                (trigger, "objective.diff_output_preservation"),
                "there is no trigger word to put the class in the place of, so the class alone is preserved instead of "
                "each caption with the class in it",
            )
        elif words.casefold() == dataset.trigger_word.strip().casefold():
            yield Problem("error", (trigger, field), "are the same, so what is learned would be taken back at once")


@rule
def empty_captions_are_taught_or_preserved(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    if not config.objective.blank_prompt_preservation:
        return
    for i, dataset in enumerate(config.datasets):
        captions = dataset.captions
        if dataset.is_regularisation or dataset.diff_output_preservation:
            continue
        for name in ("dropout_rate", "dropout_every_n_epochs"):
            if getattr(captions, name):
                yield Problem(
                    "warning",
                    (f"datasets.{i}.captions.{name}", "objective.blank_prompt_preservation"),
                    "work against each other: one teaches pictures to the empty caption, the other takes that back",
                    {f"datasets.{i}.captions.{name}": 0.0 if name == "dropout_rate" else None},
                )


@rule
def something_new_is_learned(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    if all(dataset.diff_output_preservation for dataset in config.datasets):
        fields = tuple(f"datasets.{i}.diff_output_preservation" for i in range(len(config.datasets)))
        yield Problem("error", fields, "every dataset holds the model to what it knows already, so nothing is learned")
    learned = any(not (dataset.diff_output_preservation or dataset.is_regularisation) for dataset in config.datasets)
    kept = ("diff_output_preservation", "blank_prompt_preservation")
    idle = tuple(f"objective.{name}" for name in kept if getattr(config.objective, name))
    if idle and not learned:
        yield Problem(
            "warning", idle, "has no effect: it acts on pictures that teach something new, and there are none"
        )


@rule
def priors_outside_masks_need_masks(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    field = "objective.inverted_mask_prior"
    if config.objective.inverted_mask_prior and not any(dataset.masks.used() for dataset in config.datasets):
        yield Problem("warning", (field,), "has no effect without masks", {field: 0.0})
