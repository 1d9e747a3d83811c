"""Rules about pictures that are kept back, and about what is recorded."""

from __future__ import annotations

from collections.abc import Iterator

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.problems import Problem, rule
from loratory.config.train import TrainConfig
from loratory.config.validation import ValidationConfig


@rule
def one_source_of_validation(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    if config.validation.split and config.validation.path is not None:
        fields = ("validation.split", "validation.path")
        yield Problem(
            "error", fields, "give a share of the pictures or a folder, not both", {"validation.split": 0.0}
        )  # fmt: skip


@rule
def validation_options_that_do_nothing(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    validation, fields = config.validation, ValidationConfig.model_fields
    changed = {
        name: field.default
        for name, field in fields.items()
        if name not in ("split", "path") and getattr(validation, name) != field.default
    }
    if not validation.is_on:
        for name, default in changed.items():
            field = f"validation.{name}"
            yield Problem("warning", (field,), "has no effect without validation.split or .path", {field: default})
        return
    if validation.min_improvement and validation.early_stop_after is None:
        field = "validation.min_improvement"
        yield Problem("warning", (field,), "has no effect without validation.early_stop_after", {field: 0.0})
    if validation.early_stop_after and validation.every_n_steps is None and validation.every_n_epochs is None:
        field = "validation.early_stop_after"
        words = "has no effect without validation.every_n_steps or .every_n_epochs"
        yield Problem("warning", (field,), words, {field: None})


@rule
def weights_and_biases_options_that_do_nothing(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    wandb = config.logging.wandb
    if wandb.mode == "off":
        for name, field in type(wandb).model_fields.items():
            if getattr(wandb, name) != field.default:
                path = f"logging.wandb.{name}"
                words = "has no effect while logging.wandb.mode is off"
                yield Problem("warning", (path,), words, {path: field.default})
