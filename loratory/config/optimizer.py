"""Optimizers and learning-rate schedules."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from loratory.config.base import StrictModel, param


class RatesConfig(StrictModel):
    """How the rates of a network's parts differ, whatever the optimizer."""

    text_encoder_learning_rate: float | None = param(
        None, gt=0, le=100, help="Rate of the text encoders' adapters. Left out, the same as the denoiser's.",
        tab="Learning rate", group="Rates", level="advanced", kohya=("text_encoder_lr",),
        aitoolkit=("train.text_encoder_lr",),
    )  # fmt: skip
    lora_plus_ratio: float = param(
        1.0, gt=0, le=1000, tab="Learning rate", group="Rates", level="expert",
        help="LoRA+: the rate of the up matrices, which begin at zero, divided by that of the down matrices; 16 is "
        "usual, 1 turns it off.",
        kohya=("network_args.loraplus_lr_ratio", "network_args.loraplus_unet_lr_ratio"),
    )  # fmt: skip
    text_encoder_lora_plus_ratio: float | None = param(
        None, gt=0, le=1000, tab="Learning rate", group="Rates", level="expert",
        help="The same for the text encoders' adapters. Left out, the same number.",
        kohya=("network_args.loraplus_text_encoder_lr_ratio",),
    )  # fmt: skip


class AdamWConfig(RatesConfig):
    """AdamW (Loshchilov and Hutter 2019), fused where the device has it."""

    type: Literal["adamw"] = param(
        "adamw", help="Which optimizer.", tab="Learning rate", group="Optimizer", kohya=("optimizer_type",),
        aitoolkit=("train.optimizer",), on_resume="forbid",
    )  # fmt: skip
    learning_rate: float = param(
        1e-4,
        gt=0,
        le=10,
        help="How far each step moves the weights. 1e-4 is usual for LoRA.",
        tab="Learning rate",
        group="Rates",
        kohya=("learning_rate", "unet_lr"),
        aitoolkit=("train.lr",),
    )
    beta1: float = param(
        0.9, ge=0, lt=1, help="Decay of the running mean.", tab="Learning rate", group="Optimizer", level="expert",
        kohya=("optimizer_args.betas",),
    )  # fmt: skip
    beta2: float = param(
        0.999, ge=0, lt=1, help="Decay of the running square.", tab="Learning rate", group="Optimizer", level="expert",
        kohya=("optimizer_args.betas",),
    )  # fmt: skip
    eps: float = param(
        1e-8, gt=0, le=1, help="Keeps the division from exploding.", tab="Learning rate", group="Optimizer",
        level="expert", kohya=("optimizer_args.eps",),
    )  # fmt: skip
    weight_decay: float = param(
        0.01, ge=0, le=1, help="Pulls weights towards zero, times the learning rate, each step.", tab="Learning rate",
        group="Optimizer", level="advanced", kohya=("optimizer_args.weight_decay",),
    )  # fmt: skip
    max_grad_norm: float = param(
        1.0,
        ge=0,
        le=1000,
        help="Gradients longer than this are shortened to it; 0 turns that off.",
        tab="Learning rate",
        group="Optimizer",
        level="advanced",
        kohya=("max_grad_norm",),
        aitoolkit=("train.max_grad_norm",),
    )


class SGDConfig(RatesConfig):
    """Stochastic gradient descent with Nesterov momentum."""

    type: Literal["sgd"] = param(
        "sgd", help="Which optimizer.", tab="Learning rate", group="Optimizer", kohya=("optimizer_type",),
        on_resume="forbid",
    )  # fmt: skip
    learning_rate: float = param(
        1e-2, gt=0, le=100, help="How far each step moves the weights.", tab="Learning rate", group="Rates",
        kohya=("learning_rate", "unet_lr"), aitoolkit=("train.lr",),
    )  # fmt: skip
    momentum: float = param(
        0.9, ge=0, lt=1, help="Share of the last step that is kept; 0 turns Nesterov off.", tab="Learning rate",
        group="Optimizer", level="expert", kohya=("optimizer_args.momentum",),
    )  # fmt: skip
    weight_decay: float = param(
        0.0, ge=0, le=1, help="Pulls weights towards zero.", tab="Learning rate", group="Optimizer", level="advanced",
        kohya=("optimizer_args.weight_decay",),
    )  # fmt: skip
    max_grad_norm: float = param(
        1.0, ge=0, le=1000, help="Gradients longer than this are shortened to it; 0 turns that off.",
        tab="Learning rate", group="Optimizer", level="advanced", kohya=("max_grad_norm",),
    )  # fmt: skip


OptimizerConfig = Annotated[AdamWConfig | SGDConfig, Field(discriminator="type")]


class ScheduleConfig(StrictModel):
    type: Literal["constant", "linear", "cosine"] = param(
        "constant",
        help="How the learning rate goes on after the warm-up: stays, falls evenly to zero, or falls along a cosine.",
        tab="Learning rate",
        group="Schedule",
        kohya=("lr_scheduler",),
        aitoolkit=("train.lr_scheduler",),
    )
    warmup_steps: int | None = param(
        None,
        ge=0,
        help="Optimizer steps over which the rate rises from zero.",
        tab="Learning rate",
        group="Schedule",
        level="advanced",
        kohya=("lr_warmup_steps",),
    )
    warmup_ratio: float | None = param(
        None,
        ge=0,
        le=1,
        help="The same as a share of all steps. Give one of the two.",
        tab="Learning rate",
        group="Schedule",
        level="advanced",
        kohya=("lr_warmup_steps",),
    )
