"""Learning-rate schedules: what the rate is multiplied by, counted in optimizer steps. `type` chooses one."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from loratory.config.base import StrictModel, param

TAB: Final = "Learning rate"


def chosen(name: str) -> Any:
    """The field that chooses the class."""
    return param(
        name, help="How the learning rate goes on after the warm-up.", tab=TAB, group="Schedule",
        kohya=("lr_scheduler",), aitoolkit=("train.lr_scheduler",),
    )  # fmt: skip


def option(default: Any, help: str, **facts: Any) -> Any:
    return param(default, help=help, tab=TAB, group="Schedule", level="advanced", **facts)


def least(default: float) -> Any:
    return option(
        default, "The rate at the end, as a share of the full one.", ge=0, le=1, kohya=("lr_scheduler_min_lr_ratio",)
    )


class WarmupSettings(StrictModel):
    """A rate that rises from zero at first."""

    warmup_steps: int | None = option(
        None, "Optimizer steps over which the rate rises from zero.", ge=0, kohya=("lr_warmup_steps",)
    )
    warmup_ratio: float | None = option(
        None, "The same as a share of all steps. Give one of the two.", ge=0, le=1, kohya=("lr_warmup_steps",)
    )


class ConstantSchedule(WarmupSettings):
    """The rate stays."""

    type: Literal["constant"] = chosen("constant")


class ConstantWithWarmupSchedule(WarmupSettings):
    """The same under the name that other trainers use."""

    type: Literal["constant_with_warmup"] = chosen("constant_with_warmup")


class LinearSchedule(WarmupSettings):
    """Falls evenly to zero."""

    type: Literal["linear"] = chosen("linear")


class CosineSchedule(WarmupSettings):
    """Falls to zero along half a cosine."""

    type: Literal["cosine"] = chosen("cosine")


class CosineWithRestartsSchedule(WarmupSettings):
    """Falls to zero along a cosine several times, and starts at the top again each time."""

    type: Literal["cosine_with_restarts"] = chosen("cosine_with_restarts")
    num_cycles: int = option(2, "How often the rate falls.", ge=1, le=1000, kohya=("lr_scheduler_num_cycles",))


class PolynomialSchedule(WarmupSettings):
    """Falls with a power of the steps that are left."""

    type: Literal["polynomial"] = chosen("polynomial")
    power: float = option(2.0, "The power; 1 is a straight line.", gt=0, le=100, kohya=("lr_scheduler_power",))
    min_rate_ratio: float = least(0.0)


class InverseSqrtSchedule(WarmupSettings):
    """Falls with one over the root of the step."""

    type: Literal["inverse_sqrt"] = chosen("inverse_sqrt")
    timescale: int | None = option(
        None, "Steps after which the rate has begun to fall; left out, those of the warm-up, or 10000 without one.",
        ge=1, kohya=("lr_scheduler_timescale",),
    )  # fmt: skip


class WarmupStableDecaySchedule(WarmupSettings):
    """Stays until near the end, then falls along half a cosine (Hu et al. 2024, arXiv 2404.06395)."""

    type: Literal["warmup_stable_decay"] = chosen("warmup_stable_decay")
    decay_steps: int | None = option(
        None, "Optimizer steps at the end over which the rate falls; left out, a tenth of all.", ge=0,
        kohya=("lr_decay_steps",),
    )  # fmt: skip
    decay_ratio: float | None = option(
        None, "The same as a share of all steps. Give one of the two.", ge=0, le=1, kohya=("lr_decay_steps",)
    )
    min_rate_ratio: float = least(0.0)


class CosineWithMinRateSchedule(WarmupSettings):
    """Falls along half a cosine, not to zero."""

    type: Literal["cosine_with_min_lr"] = chosen("cosine_with_min_lr")
    min_rate_ratio: float = least(0.1)


class RexSchedule(WarmupSettings):
    """REX (Chen et al. 2021, arXiv 2107.04197): falls slowly at first and quickly at the end, to zero."""

    type: Literal["rex"] = chosen("rex")


class RampSchedule(StrictModel):
    """Goes evenly from one share of the rate to another, as torch's LinearLR over all steps; with no other warm-up."""

    type: Literal["ramp"] = chosen("ramp")
    start_ratio: float = option(1 / 3, "The rate at first, as a share of the full one.", ge=0, le=1)
    end_ratio: float = option(1.0, "The rate at the end, as a share of the full one.", ge=0, le=1)


class PiecewiseConstantSchedule(StrictModel):
    """Stays at one share of the rate until a step, at the next until the next."""

    type: Literal["piecewise_constant"] = chosen("piecewise_constant")
    until_steps: tuple[int, ...] = option((), "Steps at which the rate changes, rising.", kohya=("lr_scheduler_args",))
    factors: tuple[float, ...] = option(
        (1.0,), "What the rate is multiplied by before each of these steps, and after the last; one more than steps.",
        kohya=("lr_scheduler_args",),
    )  # fmt: skip


class OneCycleSchedule(StrictModel):
    """One cycle (Smith and Topin 2018, arXiv 1708.07120): rises and falls along cosines, with no other warm-up."""

    type: Literal["one_cycle"] = chosen("one_cycle")
    rise_ratio: float = option(0.3, "Share of all steps in which the rate rises.", ge=0, lt=1)
    start_divisor: float = option(25.0, "The first rate is the full one divided by this.", ge=1)
    end_divisor: float = option(1e4, "The last rate is the first one divided by this.", ge=1)


class NoSchedule(StrictModel):
    """The rate is always the full one, without a warm-up: for optimizers that need no schedule."""

    type: Literal["none"] = chosen("none")


ScheduleConfig = Annotated[
    ConstantSchedule
    | ConstantWithWarmupSchedule
    | LinearSchedule
    | CosineSchedule
    | CosineWithRestartsSchedule
    | PolynomialSchedule
    | InverseSqrtSchedule
    | WarmupStableDecaySchedule
    | CosineWithMinRateSchedule
    | RexSchedule
    | RampSchedule
    | PiecewiseConstantSchedule
    | OneCycleSchedule
    | NoSchedule,
    Field(discriminator="type"),
]
