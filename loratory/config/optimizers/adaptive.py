"""Optimizers that find the size of their steps themselves, and those that need no schedule."""

from __future__ import annotations

from typing import ClassVar, Literal

from loratory.config.optimizers.base import (
    RatesConfig,
    adapted_rate,
    beta,
    chosen,
    clipping,
    decay,
    epsilon,
    option,
    rate,
)
from loratory.config.optimizers.usual import MEAN, SQUARE

PULL = "Pulls weights towards zero."


class AdaptiveSettings(RatesConfig):
    """An estimate of the distance to the solution, d, takes the place of the rate; it only grows."""

    separable: ClassVar[bool] = False
    learning_rate: float = adapted_rate()
    weight_decay: float = decay(0.0, PULL)
    d0: float = option(1e-6, "First estimate of the distance.", gt=0, le=1)


class OneRateSettings(AdaptiveSettings):
    """One estimate for all parts: none of them can have a rate of its own."""


def growth() -> float | None:
    limit: float | None = option(
        None, "The estimate may grow by at most this factor in a step; 1.02 is careful, left out means freely.", gt=1
    )
    return limit


class DAdaptationConfig(OneRateSettings):
    """D-Adaptation's Adam as first published (Defazio and Mishchenko 2023, arXiv 2301.07733)."""

    type: Literal["dadaptation"] = chosen("dadaptation")
    beta1: float = beta(0.9, MEAN)
    beta2: float = beta(0.999, SQUARE)
    eps: float = epsilon(1e-8)
    decoupled_decay: bool = option(True, "Take weight decay off the weights, as AdamW does, not off the gradient.")
    growth_rate: float | None = growth()


class DAdaptAdamConfig(OneRateSettings):
    """D-Adaptation's Adam."""

    type: Literal["dadapt_adam"] = chosen("dadapt_adam")
    beta1: float = beta(0.9, MEAN)
    beta2: float = beta(0.999, SQUARE)
    eps: float = epsilon(1e-8)
    decoupled_decay: bool = option(True, "Take weight decay off the weights, as AdamW does, not off the gradient.")
    use_bias_correction: bool = option(False, "Correct the running values of the first steps, as Adam does.")
    growth_rate: float | None = growth()


class DAdaptAdaGradConfig(OneRateSettings):
    """D-Adaptation's AdaGrad."""

    type: Literal["dadapt_adagrad"] = chosen("dadapt_adagrad")
    momentum: float = option(
        0.0, "Share of the last step that is kept.", ge=0, lt=1, kohya=("optimizer_args.momentum",)
    )
    eps: float = epsilon(1e-6)
    growth_rate: float | None = growth()


class AdanSettings(OneRateSettings):
    beta1: float = beta(0.98, MEAN)
    beta2: float = beta(0.92, "Decay of the running difference of gradients.")
    beta3: float = beta(0.99, SQUARE)
    eps: float = epsilon(1e-8)
    weight_decay: float = decay(0.02, PULL)
    no_prox: bool = option(False, "Take weight decay off before the step, not by dividing after it.")
    growth_rate: float | None = growth()


class DAdaptAdanConfig(AdanSettings):
    """D-Adaptation's Adan."""

    type: Literal["dadapt_adan"] = chosen("dadapt_adan")


class DAdaptAdanIPConfig(AdanSettings):
    """The same with the estimate from inner products."""

    type: Literal["dadapt_adan_ip"] = chosen("dadapt_adan_ip")


class DAdaptSGDConfig(OneRateSettings):
    """D-Adaptation's gradient descent."""

    type: Literal["dadapt_sgd"] = chosen("dadapt_sgd")
    momentum: float = option(
        0.0, "Share of the last step that is kept.", ge=0, lt=1, kohya=("optimizer_args.momentum",)
    )
    growth_rate: float | None = growth()


class DAdaptLionConfig(OneRateSettings):
    """D-Adaptation's Lion."""

    type: Literal["dadapt_lion"] = chosen("dadapt_lion")
    beta1: float = beta(0.9, "Share of the running mean in the step.")
    beta2: float = beta(0.99, MEAN)


class ProdigyConfig(OneRateSettings):
    """Prodigy (Mishchenko and Defazio 2024, arXiv 2306.06101)."""

    type: Literal["prodigy"] = chosen("prodigy")
    beta1: float = beta(0.9, MEAN, above_zero=True)
    beta2: float = beta(0.999, SQUARE)
    beta3: float | None = option(None, "Decay of the estimate's sums; left out, √beta2.", ge=0, lt=1)
    eps: float = epsilon(1e-8)
    decoupled_decay: bool = option(True, "Take weight decay off the weights, as AdamW does, not off the gradient.")
    use_bias_correction: bool = option(False, "Correct the running values of the first steps, as Adam does.")
    safeguard_warmup: bool = option(False, "Keep a warm-up's small rates out of the estimate's lower part.")
    d_coef: float = option(1.0, "Multiplies the estimate; 0.5 to 2 is usual.", gt=0, le=100)
    growth_rate: float | None = growth()
    slice_p: int = option(
        1, "Look at every so manyth number for the estimate; 11 saves memory.", ge=1, le=1000, on_resume="forbid"
    )


class ProdigyPlusScheduleFreeConfig(AdaptiveSettings):
    """Prodigy joined with Schedule-Free averaging, by LoganBooker; each part has an estimate of its own."""

    type: Literal["prodigy_plus_schedule_free"] = chosen("prodigy_plus_schedule_free")
    max_grad_norm: float = clipping(0.0)
    beta1: float = beta(0.9, "Share of the average in the point where gradients are taken.", above_zero=True)
    beta2: float = beta(0.99, SQUARE)
    beta3: float | None = option(None, "Decay of the estimate's sums; left out, √beta2.", ge=0, lt=1)
    eps: float | None = option(
        1e-8, "Keeps the division from exploding; null takes an arc tangent in its place.", gt=0, le=1,
        kohya=("optimizer_args.eps",),
    )  # fmt: skip
    weight_decay_by_lr: bool = option(True, "Multiply weight decay by the rate.")
    d_coef: float = option(1.0, "Multiplies the estimate; 0.5 to 2 is usual.", gt=0, le=100)
    d_limiter: bool = option(True, "Let the estimate grow by at most a fifth in a step.")
    prodigy_steps: int = option(0, "Stop changing the estimate at this step; 0 never stops.", ge=0)
    schedulefree_c: float = option(
        0.0, "How quickly the average follows; 0 is the original rule, 6 to 12 suits short runs.", ge=0, le=10000
    )
    split_groups: bool = option(True, "Estimate for the denoiser and each text encoder on its own.", on_resume="forbid")
    split_groups_mean: bool = option(False, "With split_groups: all take the harmonic mean of the estimates.")
    factored: bool = option(True, "Remember squares by rows and columns.", on_resume="forbid")
    use_bias_correction: bool = option(False, "Correct the running values of the first steps, as Adam does.")
    use_stableadamw: bool = option(True, "Shorten long updates.")
    use_schedulefree: bool = option(True, "Average the weights; off, a schedule is needed.", on_resume="forbid")
    use_speed: bool = option(False, "Estimate from the direction of progress.", on_resume="forbid")
    use_cautious: bool = option(False, "Leave out what disagrees with the present gradient.")
    use_grams: bool = option(False, "Take the sign from the present gradient.")
    use_adopt: bool = option(False, "Divide by the square of the steps before.")
    use_orthograd: bool = option(False, "Step at a right angle to the weights.")
    use_focus: bool = option(False, "Step towards where the weights were.", on_resume="forbid")


class ScheduleFreeSettings(RatesConfig):
    """Schedule-Free (Defazio et al. 2024, arXiv 2405.15682): averaging takes the place of a falling rate."""

    learning_rate: float = rate(1e-3, "How far each step moves the weights; 1 to 10 times AdamW's.")
    beta1: float = beta(0.9, "Share of the average in the point where gradients are taken.", above_zero=True)
    beta2: float = beta(0.999, SQUARE)
    eps: float = epsilon(1e-8)
    averaging_power: float = option(0.0, "Weigh steps in the average by this power of their number.", ge=0, le=100)
    rate_power: float = option(2.0, "Weigh steps in the average by this power of their rate.", ge=0, le=100)


class AdamWScheduleFreeConfig(ScheduleFreeSettings):
    type: Literal["adamw_schedule_free"] = chosen("adamw_schedule_free")


class RAdamScheduleFreeConfig(ScheduleFreeSettings):
    """The same with a warm-up of its own (Liu et al. 2020, arXiv 1908.03265)."""

    type: Literal["radam_schedule_free"] = chosen("radam_schedule_free")
    silent_sgd_phase: bool = option(True, "Stand still in the first steps, whose squares are not yet known.")
