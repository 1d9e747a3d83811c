"""Optimizers from their config classes, and the learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import nn

from loratory.config.optimizer import AdamWConfig, OptimizerConfig, ScheduleConfig, SGDConfig

Groups = list[dict[str, object]]


def make_optimizer(
    config: OptimizerConfig,
    parameters: Mapping[str, Sequence[nn.Parameter]],
    text_encoders: Sequence[str],
    faster: Collection[nn.Parameter] = (),
) -> torch.optim.Optimizer:
    """The optimizer over parameter groups by component; `initial_lr` of each group is its rate before the schedule.

    Parameters in `faster` have a group of their own where the config gives them another rate (LoRA+, Hayou et al. 2024,
    arXiv 2402.12354). Fused kernels, because only these can skip a step on the device when a number is not finite.
    """
    ahead = set(faster)
    groups: Groups = []
    for component, members in parameters.items():
        rate, ratio = config.learning_rate, config.lora_plus_ratio
        if component in text_encoders:
            rate = config.text_encoder_learning_rate or rate
            ratio = config.text_encoder_lora_plus_ratio or ratio
        parts = {component: list(members)}
        if ratio != 1:
            parts = {
                component: [each for each in members if each not in ahead],
                f"{component}_up": [each for each in members if each in ahead],
            }
        for name, part in parts.items():
            if part:
                its_rate = rate if name == component else rate * ratio
                groups.append({"params": part, "lr": its_rate, "initial_lr": its_rate, "name": name})
    if isinstance(config, AdamWConfig):
        return _adamw(config, groups)
    return _sgd(config, groups)


def _adamw(config: AdamWConfig, groups: Groups) -> torch.optim.Optimizer:
    betas = (config.beta1, config.beta2)
    return torch.optim.AdamW(groups, betas=betas, eps=config.eps, weight_decay=config.weight_decay, fused=True)


def _sgd(config: SGDConfig, groups: Groups) -> torch.optim.Optimizer:
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
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def warmup_steps(config: ScheduleConfig, total: int) -> int:
    if config.warmup_ratio is not None:
        return round(config.warmup_ratio * total)
    return config.warmup_steps or 0


def rate_factor(config: ScheduleConfig, step: int, total: int) -> float:
    """What the learning rate is multiplied by in step 0 ≤ step < total; the same numbers as diffusers' schedules.

    The warm-up rises linearly from 0 at step 0; linear and cosine fall to 0 at `total`.
    """
    warmup = warmup_steps(config, total)
    if step < warmup:
        return step / warmup
    if config.type == "constant":
        return 1.0
    progress = (step - warmup) / max(1, total - warmup)
    if config.type == "linear":
        return max(0.0, 1.0 - progress)
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
