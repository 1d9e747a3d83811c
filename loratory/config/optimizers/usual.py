"""Optimizers with one rate that a person chooses: Adam's and momentum's kin, with full and with 8-bit memory."""

from __future__ import annotations

from typing import ClassVar, Literal

from loratory.config.optimizers.base import RatesConfig, beta, chosen, decay, epsilon, option, rate

MEAN, SQUARE = "Decay of the running mean.", "Decay of the running square."


class AdamSettings(RatesConfig):
    """What AdamW takes, whoever wrote it."""

    learning_rate: float = rate(1e-4, "How far each step moves the weights. 1e-4 is usual for LoRA.")
    beta1: float = beta(0.9, MEAN)
    beta2: float = beta(0.999, SQUARE)
    eps: float = epsilon(1e-8)
    weight_decay: float = decay(0.01)


class AdamWConfig(AdamSettings):
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), fused where the device has it."""

    type: Literal["adamw"] = chosen("adamw")


def smallest_quantized() -> int:
    number: int = option(
        4096, "Weights with fewer numbers than this keep their memory in 32 bits.", ge=1, on_resume="forbid"
    )
    return number


class AdamW8bitConfig(AdamSettings):
    """AdamW with a memory of 8 bits (Dettmers et al. 2022, arXiv 2110.02861)."""

    type: Literal["adamw8bit"] = chosen("adamw8bit")
    min_8bit_size: int = smallest_quantized()


class PagedAdamW8bitConfig(AdamSettings):
    """The same, whose memory may move to the computer's memory when the GPU is full."""

    type: Literal["paged_adamw8bit"] = chosen("paged_adamw8bit")
    min_8bit_size: int = smallest_quantized()


class PagedAdamW32bitConfig(AdamSettings):
    """AdamW whose memory may move to the computer's memory when the GPU is full."""

    type: Literal["paged_adamw32bit"] = chosen("paged_adamw32bit")


class MomentumSettings(RatesConfig):
    learning_rate: float = rate(1e-2, le=100)
    weight_decay: float = decay(0.0, "Pulls weights towards zero.")


class SGDConfig(MomentumSettings):
    """Stochastic gradient descent with Nesterov momentum."""

    type: Literal["sgd"] = chosen("sgd")
    momentum: float = option(
        0.9, "Share of the last step that is kept; 0 turns Nesterov off.", ge=0, lt=1,
        kohya=("optimizer_args.momentum",),
    )  # fmt: skip


class SGD8bitConfig(MomentumSettings):
    """Gradient descent with momentum in 8 bits; bitsandbytes knows no Nesterov, whatever it is called elsewhere."""

    type: Literal["sgd8bit"] = chosen("sgd8bit")
    momentum: float = option(
        0.9, "Share of the last step that is kept.", gt=0, lt=1, kohya=("optimizer_args.momentum",)
    )
    min_8bit_size: int = smallest_quantized()


class LionSettings(RatesConfig):
    """Lion (Chen et al. 2023, arXiv 2302.06675): every weight moves by the whole rate."""

    learning_rate: float = rate(2e-5, "How far each step moves the weights; a third to a tenth of AdamW's.")
    beta1: float = beta(0.9, "Share of the running mean in the step.")
    beta2: float = beta(0.99, MEAN)
    weight_decay: float = decay(0.01)


class LionConfig(LionSettings):
    type: Literal["lion"] = chosen("lion")


class Lion8bitConfig(LionSettings):
    type: Literal["lion8bit"] = chosen("lion8bit")
    min_8bit_size: int = smallest_quantized()


class PagedLion8bitConfig(LionSettings):
    type: Literal["paged_lion8bit"] = chosen("paged_lion8bit")
    min_8bit_size: int = smallest_quantized()


class AdEMAMixSettings(AdamSettings):
    """AdEMAMix (Pagliardini et al. 2024, arXiv 2409.03137): AdamW with a second, very slow running mean."""

    beta3: float = beta(0.9999, "Decay of the slow running mean.")
    alpha: float = option(5.0, "Weight of the slow running mean.", ge=0, le=100)
    alpha_warmup_steps: int | None = option(
        None, "Steps over which the slow mean's weight and decay rise to their values; left out, they stand at once.",
        ge=1,
    )  # fmt: skip


class AdEMAMixConfig(AdEMAMixSettings):
    type: Literal["ademamix"] = chosen("ademamix")


class AdEMAMix8bitConfig(AdEMAMixSettings):
    type: Literal["ademamix8bit"] = chosen("ademamix8bit")
    min_8bit_size: int = smallest_quantized()


class AdanConfig(RatesConfig):
    """Adan (Xie et al. 2023, arXiv 2208.06677): Nesterov momentum from the difference of gradients."""

    type: Literal["adan"] = chosen("adan")
    learning_rate: float = rate(1e-4)
    beta1: float = beta(0.98, MEAN)
    beta2: float = beta(0.92, "Decay of the running difference of gradients.")
    beta3: float = beta(0.99, SQUARE)
    eps: float = epsilon(1e-8)
    weight_decay: float = decay(0.01)


class CAMEConfig(RatesConfig):
    """CAME (Luo et al. 2023, arXiv 2307.02047): Adafactor's memory, with a measure of confidence."""

    type: Literal["came"] = chosen("came")
    learning_rate: float = rate(1e-4)
    beta1: float = beta(0.9, MEAN)
    beta2: float = beta(0.999, SQUARE)
    beta3: float = beta(0.9999, "Decay of the running instability.")
    eps1: float = option(1e-30, "Added to the squared gradient.", gt=0, le=1)
    eps2: float = option(1e-16, "Added to the squared instability.", gt=0, le=1)
    clip_threshold: float = option(1.0, "Longest update of a weight tensor, as a root mean square.", gt=0, le=1000)
    weight_decay: float = decay(0.01)


class AdafactorConfig(RatesConfig):
    """Adafactor (Shazeer and Stern 2018, arXiv 1804.04235): a memory of rows and columns instead of every number."""

    type: Literal["adafactor"] = chosen("adafactor")
    learning_rate: float = rate(1e-4)
    relative_step: bool = option(
        False, "Take the rate from the step's number, 1 / √step and at most 0.01; learning rates and schedule then "
        "have no effect.",
    )  # fmt: skip
    warmup_init: bool = option(False, "With relative_step: let that rate rise slowly at first.")
    scale_parameter: bool = option(False, "Multiply the rate by the weights' own size.")
    decay_rate: float = option(-0.8, "Power of the step by which the running square forgets.", ge=-1, lt=0)
    clip_threshold: float = option(1.0, "Longest update of a weight tensor, as a root mean square.", gt=0, le=1000)
    eps1: float = option(1e-30, "Added to the squared gradient.", gt=0, le=1)
    smallest_scale: float = option(1e-3, "With scale_parameter: the least size that counts.", gt=0, le=1)


class MuonConfig(RatesConfig):
    """Muon (Jordan 2024): matrices step along their orthogonalised momentum, vectors by AdamW."""

    type: Literal["muon"] = chosen("muon")
    learning_rate: float = rate(1e-4)
    momentum: float = option(
        0.95, "Share of the last step that is kept.", ge=0, lt=1, kohya=("optimizer_args.momentum",)
    )
    nesterov: bool = option(True, "Look one step ahead along the momentum.")
    ns_steps: int = option(5, "Rounds of the iteration that makes the step orthogonal.", ge=1, le=20)
    adjusted_rate: bool = option(
        True, "Scale each matrix's step by 0.2 · √(its longer side), so that rates usual for AdamW fit."
    )
    beta1: float = beta(0.9, "Decay of the running mean, for vectors.")
    beta2: float = beta(0.95, "Decay of the running square, for vectors.")
    eps: float = epsilon(1e-10)
    weight_decay: float = decay(0.01)


class AutomagicConfig(RatesConfig):
    """Automagic: every number has a rate of its own, which grows while its steps keep their sign."""

    type: Literal["automagic"] = chosen("automagic")
    learning_rate: float = rate(1e-6, "The rate that every number begins with.")
    min_learning_rate: float = option(
        1e-7, "Least rate of a number.", gt=0, le=1, aitoolkit=("train.optimizer_params.min_lr",)
    )
    max_learning_rate: float = option(
        1e-3, "Greatest rate of a number.", gt=0, le=10, aitoolkit=("train.optimizer_params.max_lr",)
    )
    rate_bump: float = option(
        1e-6, "Added to a number's rate when its step keeps its sign, taken away when the sign turns.", gt=0, le=1,
        aitoolkit=("train.optimizer_params.lr_bump",),
    )  # fmt: skip
    beta2: float = beta(0.999, SQUARE)
    clip_threshold: float = option(1.0, "Longest update of a weight tensor, as a root mean square.", gt=0, le=1000)
    eps1: float = option(1e-30, "Added to the squared gradient.", gt=0, le=1)


class CustomConfig(RatesConfig):
    """Any other class that is an optimizer of PyTorch."""

    separable: ClassVar[bool] = False  # who knows
    type: Literal["custom"] = chosen("custom")
    implementation: str = option(
        ..., "The class as `module:Class`, such as `torch.optim:NAdam`.", min_length=3, on_resume="forbid",
        kohya=("optimizer_type",),
    )  # fmt: skip
    learning_rate: float = rate(1e-4, le=100)
    weight_decay: float = decay(0.0, "Given to the class as weight_decay unless it is 0.")
    arguments: dict[str, bool | int | float | str | tuple[float, ...] | None] = option(
        {}, "Further keyword arguments of the class.", kohya=("optimizer_args",), aitoolkit=("train.optimizer_params",)
    )
