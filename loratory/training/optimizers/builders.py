"""From config class to optimizer: one small function per family, and where each class comes from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from loratory.config.optimizer import (
    AdafactorConfig,
    AdamW8bitConfig,
    AdamWConfig,
    AdamWScheduleFreeConfig,
    AdanConfig,
    AdEMAMix8bitConfig,
    AdEMAMixConfig,
    AutomagicConfig,
    CAMEConfig,
    CustomConfig,
    DAdaptAdaGradConfig,
    DAdaptAdamConfig,
    DAdaptAdanConfig,
    DAdaptAdanIPConfig,
    DAdaptationConfig,
    DAdaptLionConfig,
    DAdaptSGDConfig,
    Lion8bitConfig,
    LionConfig,
    MuonConfig,
    OptimizerConfig,
    PagedAdamW8bitConfig,
    PagedAdamW32bitConfig,
    PagedLion8bitConfig,
    ProdigyConfig,
    ProdigyPlusScheduleFreeConfig,
    RAdamScheduleFreeConfig,
    SGD8bitConfig,
    SGDConfig,
)
from loratory.errors import UserError
from loratory.training.optimizers.automagic import Automagic
from loratory.training.optimizers.libraries import custom_class, load_class

Groups = list[dict[str, Any]]
Optimizer = torch.optim.Optimizer

CLASSES: dict[type, str] = {
    AdamW8bitConfig: "bitsandbytes.optim:AdamW8bit",
    PagedAdamW8bitConfig: "bitsandbytes.optim:PagedAdamW8bit",
    PagedAdamW32bitConfig: "bitsandbytes.optim:PagedAdamW32bit",
    Lion8bitConfig: "bitsandbytes.optim:Lion8bit",
    PagedLion8bitConfig: "bitsandbytes.optim:PagedLion8bit",
    SGD8bitConfig: "bitsandbytes.optim:SGD8bit",
    AdEMAMix8bitConfig: "bitsandbytes.optim:AdEMAMix8bit",
    AdafactorConfig: "transformers.optimization:Adafactor",
    LionConfig: "pytorch_optimizer:Lion",
    CAMEConfig: "pytorch_optimizer:CAME",
    AdanConfig: "pytorch_optimizer:Adan",
    AdEMAMixConfig: "pytorch_optimizer:AdEMAMix",
    MuonConfig: "pytorch_optimizer:Muon",
    ProdigyConfig: "prodigyopt:Prodigy",
    ProdigyPlusScheduleFreeConfig: "prodigyplus:ProdigyPlusScheduleFree",
    AdamWScheduleFreeConfig: "schedulefree:AdamWScheduleFree",
    RAdamScheduleFreeConfig: "schedulefree:RAdamScheduleFree",
    DAdaptationConfig: "dadaptation.experimental.dadapt_adam_preprint:DAdaptAdamPreprint",
    DAdaptAdamConfig: "dadaptation:DAdaptAdam",
    DAdaptAdaGradConfig: "dadaptation:DAdaptAdaGrad",
    DAdaptAdanConfig: "dadaptation:DAdaptAdan",
    DAdaptAdanIPConfig: "dadaptation.experimental.dadapt_adan_ip:DAdaptAdanIP",
    DAdaptSGDConfig: "dadaptation:DAdaptSGD",
    DAdaptLionConfig: "dadaptation:DAdaptLion",
}
"""Where the class of a config lies, for those that come from a library."""


def _library(config: OptimizerConfig) -> Callable[..., Optimizer]:
    """The class of a config that comes from a library. Raises UserError when that is missing."""
    found: Callable[..., Optimizer] = load_class(CLASSES[type(config)], config.type)
    return found


# Our own and torch's


def _adamw(config: AdamWConfig, groups: Groups) -> Optimizer:
    betas = (config.beta1, config.beta2)
    return torch.optim.AdamW(groups, betas=betas, eps=config.eps, weight_decay=config.weight_decay, fused=True)


def _sgd(config: SGDConfig, groups: Groups) -> Optimizer:
    optimizer = torch.optim.SGD(
        groups,
        lr=config.learning_rate,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        weight_decay=config.weight_decay,
        fused=True,
    )
    if config.momentum > 0:
        # torch makes this memory in the first step and leaves it unwritten when that step is skipped.
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter, dtype=torch.float32)
    return optimizer


def _automagic(config: AutomagicConfig, groups: Groups) -> Optimizer:
    return Automagic(
        groups,
        min_rate=config.min_learning_rate,
        max_rate=config.max_learning_rate,
        rate_bump=config.rate_bump,
        beta2=config.beta2,
        eps=config.eps1,
        clip_threshold=config.clip_threshold,
        weight_decay=config.weight_decay,
    )


def _custom(config: CustomConfig, groups: Groups) -> Optimizer:
    arguments: dict[str, Any] = dict(config.arguments)
    if config.weight_decay:
        arguments["weight_decay"] = config.weight_decay
    try:
        optimizer: Optimizer = custom_class(config)(groups, **arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"optimizer.arguments: {config.implementation} cannot be made with them: {error}.") from error
    return optimizer


# bitsandbytes


def _adamw_bits(config: AdamW8bitConfig | PagedAdamW8bitConfig | PagedAdamW32bitConfig, groups: Groups) -> Optimizer:
    more = {} if isinstance(config, PagedAdamW32bitConfig) else {"min_8bit_size": config.min_8bit_size}
    return _library(config)(
        groups, betas=(config.beta1, config.beta2), eps=config.eps, weight_decay=config.weight_decay, **more
    )


def _lion_8bit(config: Lion8bitConfig | PagedLion8bitConfig, groups: Groups) -> Optimizer:
    return _library(config)(
        groups,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        min_8bit_size=config.min_8bit_size,
    )


def _sgd_8bit(config: SGD8bitConfig, groups: Groups) -> Optimizer:
    return _library(config)(
        groups,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        min_8bit_size=config.min_8bit_size,
    )


def _ademamix_8bit(config: AdEMAMix8bitConfig, groups: Groups) -> Optimizer:
    return _library(config)(
        groups,
        betas=(config.beta1, config.beta2, config.beta3),
        alpha=config.alpha,
        t_alpha=config.alpha_warmup_steps,
        t_beta3=config.alpha_warmup_steps,
        eps=config.eps,
        weight_decay=config.weight_decay,
        min_8bit_size=config.min_8bit_size,
    )


# transformers and pytorch-optimizer


def _adafactor(config: AdafactorConfig, groups: Groups) -> Optimizer:
    if config.relative_step:
        for group in groups:
            group["lr"] = group["initial_lr"] = None
    return _library(config)(
        groups,
        lr=None,
        eps=(config.eps1, config.smallest_scale),
        clip_threshold=config.clip_threshold,
        decay_rate=config.decay_rate,
        weight_decay=config.weight_decay,
        scale_parameter=config.scale_parameter,
        relative_step=config.relative_step,
        warmup_init=config.warmup_init,
    )


def _lion(config: LionConfig, groups: Groups) -> Optimizer:
    return _library(config)(groups, betas=(config.beta1, config.beta2), weight_decay=config.weight_decay)


def _adan(config: AdanConfig, groups: Groups) -> Optimizer:
    return _library(config)(
        groups,
        betas=(config.beta1, config.beta2, config.beta3),
        eps=config.eps,
        weight_decay=config.weight_decay,
        weight_decouple=True,
    )


def _came(config: CAMEConfig, groups: Groups) -> Optimizer:
    return _library(config)(
        groups,
        betas=(config.beta1, config.beta2, config.beta3),
        eps1=config.eps1,
        eps2=config.eps2,
        clip_threshold=config.clip_threshold,
        weight_decay=config.weight_decay,
    )


def _ademamix(config: AdEMAMixConfig, groups: Groups) -> Optimizer:
    return _library(config)(
        groups,
        betas=(config.beta1, config.beta2, config.beta3),
        alpha=config.alpha,
        t_alpha_beta3=config.alpha_warmup_steps,
        eps=config.eps,
        weight_decay=config.weight_decay,
        weight_decouple=True,
    )


def _muon(config: MuonConfig, groups: Groups) -> Optimizer:
    """Matrices (and convolutions, as matrices of their outputs) by Muon; what has one dimension by AdamW."""
    options: dict[bool, dict[str, Any]] = {
        True: {"momentum": config.momentum, "nesterov": config.nesterov, "ns_steps": config.ns_steps,
               "use_adjusted_lr": config.adjusted_rate},
        False: {"betas": (config.beta1, config.beta2), "eps": config.eps},
    }  # fmt: skip
    parted: Groups = []
    for group in groups:
        for muon in (True, False):
            members: list[nn.Parameter] = [each for each in group["params"] if (each.dim() >= 2) == muon]
            if members:
                name = group["name"] if muon else f"{group['name']}_vectors"
                entries = {"params": members, "name": name, "use_muon": muon, "weight_decay": config.weight_decay}
                parted.append(group | options[muon] | entries)
    return _library(config)(parted)


# D-Adaptation and Prodigy


def _unlimited(rate: float | None) -> float:
    return math.inf if rate is None else rate


def _dadapt_adam(config: DAdaptationConfig | DAdaptAdamConfig, groups: Groups) -> Optimizer:
    corrected = {"use_bias_correction": config.use_bias_correction} if isinstance(config, DAdaptAdamConfig) else {}
    return _library(config)(
        groups,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
        decouple=config.decoupled_decay,
        d0=config.d0,
        growth_rate=_unlimited(config.growth_rate),
        **corrected,
    )


def _dadapt_adan(config: DAdaptAdanConfig | DAdaptAdanIPConfig, groups: Groups) -> Optimizer:
    return _library(config)(
        groups,
        betas=(config.beta1, config.beta2, config.beta3),
        eps=config.eps,
        weight_decay=config.weight_decay,
        no_prox=config.no_prox,
        d0=config.d0,
        growth_rate=_unlimited(config.growth_rate),
    )


def _dadapt_sgd(config: DAdaptSGDConfig | DAdaptAdaGradConfig, groups: Groups) -> Optimizer:
    more = {"eps": config.eps} if isinstance(config, DAdaptAdaGradConfig) else {}
    return _library(config)(
        groups,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        d0=config.d0,
        growth_rate=_unlimited(config.growth_rate),
        **more,
    )


def _dadapt_lion(config: DAdaptLionConfig, groups: Groups) -> Optimizer:
    return _library(config)(groups, betas=(config.beta1, config.beta2), weight_decay=config.weight_decay, d0=config.d0)


def _prodigy(config: ProdigyConfig, groups: Groups) -> Optimizer:
    return _library(config)(
        groups,
        betas=(config.beta1, config.beta2),
        beta3=config.beta3,
        eps=config.eps,
        weight_decay=config.weight_decay,
        decouple=config.decoupled_decay,
        use_bias_correction=config.use_bias_correction,
        safeguard_warmup=config.safeguard_warmup,
        d0=config.d0,
        d_coef=config.d_coef,
        growth_rate=_unlimited(config.growth_rate),
        slice_p=config.slice_p,
    )


def _prodigy_plus(config: ProdigyPlusScheduleFreeConfig, groups: Groups) -> Optimizer:
    return _library(config)(
        groups,
        betas=(config.beta1, config.beta2),
        beta3=config.beta3,
        weight_decay=config.weight_decay,
        weight_decay_by_lr=config.weight_decay_by_lr,
        d0=config.d0,
        d_coef=config.d_coef,
        d_limiter=config.d_limiter,
        prodigy_steps=config.prodigy_steps,
        schedulefree_c=config.schedulefree_c,
        eps=config.eps,
        split_groups=config.split_groups,
        split_groups_mean=config.split_groups_mean,
        factored=config.factored,
        use_bias_correction=config.use_bias_correction,
        use_stableadamw=config.use_stableadamw,
        use_schedulefree=config.use_schedulefree,
        use_speed=config.use_speed,
        stochastic_rounding=False,  # draws from the global generator, and weights are fp32 in a step
        use_cautious=config.use_cautious,
        use_grams=config.use_grams,
        use_adopt=config.use_adopt,
        use_orthograd=config.use_orthograd,
        use_focus=config.use_focus,
    )


# Schedule-Free


def _schedule_free(config: AdamWScheduleFreeConfig | RAdamScheduleFreeConfig, groups: Groups) -> Optimizer:
    more = {"silent_sgd_phase": config.silent_sgd_phase} if isinstance(config, RAdamScheduleFreeConfig) else {}
    return _library(config)(
        groups,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
        r=config.averaging_power,
        weight_lr_power=config.rate_power,
        **more,
    )


BUILDERS: dict[type, Callable[[Any, Groups], Optimizer]] = {
    AdamWConfig: _adamw,
    SGDConfig: _sgd,
    AutomagicConfig: _automagic,
    CustomConfig: _custom,
    AdamW8bitConfig: _adamw_bits,
    PagedAdamW8bitConfig: _adamw_bits,
    PagedAdamW32bitConfig: _adamw_bits,
    Lion8bitConfig: _lion_8bit,
    PagedLion8bitConfig: _lion_8bit,
    SGD8bitConfig: _sgd_8bit,
    AdEMAMix8bitConfig: _ademamix_8bit,
    AdafactorConfig: _adafactor,
    LionConfig: _lion,
    AdanConfig: _adan,
    CAMEConfig: _came,
    AdEMAMixConfig: _ademamix,
    MuonConfig: _muon,
    DAdaptationConfig: _dadapt_adam,
    DAdaptAdamConfig: _dadapt_adam,
    DAdaptAdanConfig: _dadapt_adan,
    DAdaptAdanIPConfig: _dadapt_adan,
    DAdaptSGDConfig: _dadapt_sgd,
    DAdaptAdaGradConfig: _dadapt_sgd,
    DAdaptLionConfig: _dadapt_lion,
    ProdigyConfig: _prodigy,
    ProdigyPlusScheduleFreeConfig: _prodigy_plus,
    AdamWScheduleFreeConfig: _schedule_free,
    RAdamScheduleFreeConfig: _schedule_free,
}
