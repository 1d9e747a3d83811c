"""What optimizers have in common: rates of the network's parts, and short ways to declare what many of them take."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

from loratory.config.base import StrictModel, param

TAB: Final = "Learning rate"


def chosen(name: str) -> Any:
    """The field that chooses the class."""
    return param(
        name, help="Which optimizer.", tab=TAB, group="Optimizer", kohya=("optimizer_type",),
        aitoolkit=("train.optimizer",), on_resume="forbid",
    )  # fmt: skip


def rate(default: float, help: str = "How far each step moves the weights.", le: float = 10) -> Any:
    return param(
        default, gt=0, le=le, help=help, tab=TAB, group="Rates", kohya=("learning_rate", "unet_lr"),
        aitoolkit=("train.lr",),
    )  # fmt: skip


def adapted_rate() -> Any:
    """The rate of an optimizer that finds the size of its steps itself."""
    return rate(1.0, "Multiplies the step size that the optimizer finds itself; 1 is usual.", le=100)


def decay(default: float, help: str = "Pulls weights towards zero, times the learning rate, each step.") -> Any:
    return param(
        default, ge=0, le=1, help=help, tab=TAB, group="Optimizer", level="advanced",
        kohya=("optimizer_args.weight_decay",),
    )  # fmt: skip


def option(default: Any, help: str, **facts: Any) -> Any:
    """An argument of few optimizers."""
    return param(default, help=help, tab=TAB, group="Optimizer", level="expert", **facts)


def beta(default: float, help: str, *, above_zero: bool = False) -> Any:
    """How much of a running value is kept in each step."""
    limit = {"gt": 0.0} if above_zero else {"ge": 0.0}
    return option(default, help, lt=1, kohya=("optimizer_args.betas",), **limit)


def epsilon(default: float) -> Any:
    return option(default, "Keeps the division from exploding.", gt=0, le=1, kohya=("optimizer_args.eps",))


def clipping(default: float) -> Any:
    return param(
        default, ge=0, le=1000, help="Gradients longer than this are shortened (see clip_by); 0 turns that off.",
        tab=TAB, group="Optimizer", level="advanced", kohya=("max_grad_norm",), aitoolkit=("train.max_grad_norm",),
    )  # fmt: skip


class RatesConfig(StrictModel):
    """How the rates of a network's parts differ, and how steps are taken, whatever the optimizer."""

    separable: ClassVar[bool] = True
    """Does a step look at one parameter at a time, so that parameters may step one after the other?"""

    text_encoder_learning_rate: float | None = param(
        None, gt=0, le=100, help="Rate of the text encoders' adapters. Left out, the same as the denoiser's.",
        tab=TAB, group="Rates", level="advanced", kohya=("text_encoder_lr",),
        aitoolkit=("train.text_encoder_lr",),
    )  # fmt: skip
    text_encoder_learning_rates: dict[str, float] = param(
        {}, help="Rates of single text encoders by their names, such as text_encoder_2; these come first.",
        tab=TAB, group="Rates", level="expert", kohya=("text_encoder_lr",),
    )  # fmt: skip
    lora_plus_ratio: float = param(
        1.0, gt=0, le=1000, tab=TAB, group="Rates", level="expert",
        help="LoRA+: the rate of the up matrices, which begin at zero, divided by that of the down matrices; 16 is "
        "usual, 1 turns it off.",
        kohya=("network_args.loraplus_lr_ratio", "network_args.loraplus_unet_lr_ratio"),
    )  # fmt: skip
    text_encoder_lora_plus_ratio: float | None = param(
        None, gt=0, le=1000, tab=TAB, group="Rates", level="expert",
        help="The same for the text encoders' adapters. Left out, the same number.",
        kohya=("network_args.loraplus_text_encoder_lr_ratio",),
    )  # fmt: skip
    block_rate_factors: dict[str, float] = param(
        {}, tab=TAB, group="Rates", level="expert", on_resume="forbid",
        help="Multiplies the rate of blocks of the denoiser, by name or range such as `input_blocks.0-3`; the first "
        "that fits counts, other layers keep the rate. `loratory network preview` lists the names.",
        kohya=("network_args.down_lr_weight", "network_args.mid_lr_weight", "network_args.up_lr_weight"),
    )  # fmt: skip
    fused_backward_pass: bool = param(
        False, tab=TAB, group="Optimizer", level="expert", on_resume="free",
        help="Step each weight as soon as its gradient is there, and free that: gradients take next to no memory.",
    )  # fmt: skip
    fused_optimizer_groups: int | None = param(
        None, ge=2, le=1000, tab=TAB, group="Optimizer", level="expert", on_resume="free",
        help="The same in so many groups of weights, which takes less time; 4 to 10 is usual.",
    )  # fmt: skip
    stochastic_rounding: bool = param(
        True, tab=TAB, group="Optimizer", level="expert", on_resume="warn",
        help="Round weights of a bf16 adapter up or down at random, so that small steps arrive on average; off, to the "
        "nearest number.",
    )  # fmt: skip
    max_grad_norm: float = clipping(1.0)
    clip_by: Literal["norm", "value", "adaptive"] = param(
        "norm", tab=TAB, group="Optimizer", level="expert",
        help="What max_grad_norm limits: `norm` the length of all gradients together, `value` every number, `adaptive` "
        "each row's length in shares of its weights' (0.01 is usual there).",
    )  # fmt: skip
    weight_decay: float = decay(0.0)
