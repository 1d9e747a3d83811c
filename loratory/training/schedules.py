"""The learning rate as a function of the step alone, so that a resume needs no state of a scheduler."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from loratory.config.schedule import (
    ConstantSchedule,
    ConstantWithWarmupSchedule,
    CosineSchedule,
    CosineWithMinRateSchedule,
    CosineWithRestartsSchedule,
    InverseSqrtSchedule,
    LinearSchedule,
    NoSchedule,
    OneCycleSchedule,
    PiecewiseConstantSchedule,
    PolynomialSchedule,
    RampSchedule,
    RexSchedule,
    ScheduleConfig,
    WarmupSettings,
    WarmupStableDecaySchedule,
)


def warmup_steps(config: ScheduleConfig, total: int) -> int:
    """Optimizer steps over which the rate rises; 0 for schedules that have no warm-up in front."""
    return _length(config.warmup_steps, config.warmup_ratio, total) if isinstance(config, WarmupSettings) else 0


def decay_steps(config: WarmupStableDecaySchedule, total: int) -> int:
    """Optimizer steps at the end over which the rate falls: a tenth of all where nothing is said."""
    if config.decay_steps is None and config.decay_ratio is None:
        return round(0.1 * total)
    return _length(config.decay_steps, config.decay_ratio, total)


def rate_factor(config: ScheduleConfig, step: int, total: int) -> float:
    """What the learning rate is multiplied by in step 0 ≤ step < total.

    The same numbers as those of diffusers, transformers (inverse_sqrt, warmup_stable_decay, cosine_with_min_lr) and
    torch (one_cycle, ramp). A warm-up rises linearly from 0 at step 0.
    """
    warmup = warmup_steps(config, total)
    if step < warmup:
        return step / warmup
    return CURVES[type(config)](config, step, warmup, total)


def _length(steps: int | None, ratio: float | None, total: int) -> int:
    return round(ratio * total) if ratio is not None else steps or 0


def _progress(step: int, warmup: int, total: int) -> float:
    """The share of the steps after the warm-up that is done."""
    return min(1.0, (step - warmup) / max(1, total - warmup))


def _half_cosine(progress: float) -> float:
    """From 1 to 0."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def _constant(config: ScheduleConfig, step: int, warmup: int, total: int) -> float:
    return 1.0


def _linear(config: LinearSchedule, step: int, warmup: int, total: int) -> float:
    return 1.0 - _progress(step, warmup, total)


def _cosine(config: CosineSchedule, step: int, warmup: int, total: int) -> float:
    return _half_cosine(_progress(step, warmup, total))


def _cosine_with_restarts(config: CosineWithRestartsSchedule, step: int, warmup: int, total: int) -> float:
    progress = _progress(step, warmup, total)
    return 0.0 if progress >= 1 else _half_cosine(config.num_cycles * progress % 1.0)


def _polynomial(config: PolynomialSchedule, step: int, warmup: int, total: int) -> float:
    left = 1.0 - _progress(step, warmup, total)
    return config.min_rate_ratio + (1.0 - config.min_rate_ratio) * left**config.power


def _inverse_sqrt(config: InverseSqrtSchedule, step: int, warmup: int, total: int) -> float:
    timescale = config.timescale or warmup or 10_000
    return 1.0 / math.sqrt((step - warmup + timescale) / timescale)


def _warmup_stable_decay(config: WarmupStableDecaySchedule, step: int, warmup: int, total: int) -> float:
    begin = max(warmup, total - decay_steps(config, total))
    if step < begin:
        return 1.0
    return config.min_rate_ratio + (1.0 - config.min_rate_ratio) * _half_cosine(_progress(step, begin, total))


def _cosine_with_min_rate(config: CosineWithMinRateSchedule, step: int, warmup: int, total: int) -> float:
    cosine = _half_cosine(_progress(step, warmup, total))
    return config.min_rate_ratio + (1.0 - config.min_rate_ratio) * cosine


def _rex(config: RexSchedule, step: int, warmup: int, total: int) -> float:
    progress = _progress(step, warmup, total)
    return (1.0 - progress) / (1.0 - progress / 2)


def _ramp(config: RampSchedule, step: int, warmup: int, total: int) -> float:
    return config.start_ratio + (config.end_ratio - config.start_ratio) * _progress(step, 0, total)


def _piecewise_constant(config: PiecewiseConstantSchedule, step: int, warmup: int, total: int) -> float:
    return config.factors[sum(step >= boundary for boundary in config.until_steps)]


def _one_cycle(config: OneCycleSchedule, step: int, warmup: int, total: int) -> float:
    """The top is reached one step early, as in torch's OneCycleLR."""
    first, top, last = 1 / config.start_divisor, config.rise_ratio * total - 1, total - 1
    if step <= top:
        return 1.0 + (first - 1.0) * _half_cosine(step / top if top > 0 else 1.0)
    lowest = first / config.end_divisor
    return lowest + (1.0 - lowest) * _half_cosine((step - top) / (last - top))


CURVES: dict[type, Callable[[Any, int, int, int], float]] = {
    ConstantSchedule: _constant,
    ConstantWithWarmupSchedule: _constant,
    NoSchedule: _constant,
    LinearSchedule: _linear,
    CosineSchedule: _cosine,
    CosineWithRestartsSchedule: _cosine_with_restarts,
    PolynomialSchedule: _polynomial,
    InverseSqrtSchedule: _inverse_sqrt,
    WarmupStableDecaySchedule: _warmup_stable_decay,
    CosineWithMinRateSchedule: _cosine_with_min_rate,
    RexSchedule: _rex,
    RampSchedule: _ramp,
    PiecewiseConstantSchedule: _piecewise_constant,
    OneCycleSchedule: _one_cycle,
}
