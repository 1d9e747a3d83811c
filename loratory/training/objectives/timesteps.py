"""Which times are drawn: timesteps 0..999 (noise prediction) or sigma in 0..1 (flow).

Each distribution of sigma is a growing function of one even number (or one normal number) of a picture's stream. That a
bias towards content or style only has to change how this number is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Literal

import numpy as np
import torch

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.objective import TimestepsConfig
from loratory.training.objectives.weighting import bell_weight, measured_weight

TimeDraw = Callable[[np.random.Generator, tuple[int, int]], float]
"""Draws one time for a latent of (height, width)."""

STEPS = 1000
LARGEST = 1 - 2**-53
"""The largest number that `random()` gives."""


def shift_sigma(sigma: float, shift: float) -> float:
    """k·σ / (1 + (k-1)·σ): moves times towards noise for k > 1 (Esser et al. 2024, section 5.3.2)."""
    return shift * sigma / (1 + (shift - 1) * sigma)


Line = tuple[tuple[int, float], tuple[int, float]]
USUAL_LINE: Line = ((256, 0.5), (4096, 1.15))


def resolution_shift(height: int, width: int, token_size: int = 2, line: Line = USUAL_LINE) -> float:
    """The shift e^μ for a latent of (height, width): μ is linear in its tokens (2×2 if not told otherwise) through two
    points, usually 256 → 0.5 and 4096 → 1.15, as in diffusers' `calculate_shift`."""
    (few, low), (many, high) = line
    tokens = (height // token_size) * (width // token_size)
    mu = low + (tokens - few) * (high - low) / (many - few)
    return math.exp(mu)


# The number that a time is made of ---------------------------------------------------------------------------


def even(random: np.random.Generator, config: TimestepsConfig) -> float:
    """From 0 (clean) to 1 (noisy), without 1: u, or biased as in ai-toolkit: 1 - u³ for content, u³ for style."""
    number = random.random()
    if config.content_or_style == "balanced":
        return number
    return min(1 - number**3, LARGEST) if config.content_or_style == "content" else number**3


def normal(random: np.random.Generator, config: TimestepsConfig) -> float:
    """A normal number, biased in the same way: the quantile of a biased even number."""
    if config.content_or_style == "balanced":
        return random.standard_normal()
    return NormalDist().inv_cdf(min(max(even(random, config), 2**-53), LARGEST))


def sigmoid(number: float) -> float:
    return 1 / (1 + math.exp(-number))


# Distributions of sigma --------------------------------------------------------------------------------------


def draw_uniform(random: np.random.Generator, config: TimestepsConfig) -> float:
    return even(random, config)


def draw_sigma(random: np.random.Generator, config: TimestepsConfig) -> float:
    """One of 0.001, 0.002, …, 1, as kohya's trainer draws from its table."""
    return (1 + int(STEPS * even(random, config))) / STEPS


def draw_sigmoid(random: np.random.Generator, config: TimestepsConfig) -> float:
    return sigmoid(config.sigmoid_scale * normal(random, config))


def draw_logit_normal(random: np.random.Generator, config: TimestepsConfig) -> float:
    """sigmoid(N(mean, std²)) (Esser et al. 2024, eq. 19)."""
    return sigmoid(config.logit_mean + config.logit_std * normal(random, config))


def draw_mode(random: np.random.Generator, config: TimestepsConfig) -> float:
    """1 - u - m·(cos²(πu/2) - 1 + u) (Esser et al. 2024, eq. 20), with 1 - u for u, so that it grows."""
    u = 1 - even(random, config)
    return 1 - u - config.mode_scale * (math.cos(math.pi * u / 2) ** 2 - 1 + u)


def draw_cosmap(random: np.random.Generator, config: TimestepsConfig) -> float:
    """1 - 1/(tan(πu/2) + 1) (Esser et al. 2024, section 3.1); its density is the weight of the same name."""
    return 1 - 1 / (math.tan(math.pi / 2 * even(random, config)) + 1)


_GRID = np.linspace(0, 1, STEPS + 1)


def _shares(weight: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How much of a density lies below each point of the grid (trapezia)."""
    density = weight(torch.from_numpy(_GRID)).numpy()
    shares = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return shares / shares[-1]


_BELL, _MEASURED = _shares(bell_weight), _shares(measured_weight)


def draw_bell(random: np.random.Generator, config: TimestepsConfig) -> float:
    """As often as the loss weight `bell` weighs."""
    return float(np.interp(even(random, config), _BELL, _GRID))


def draw_weighted(random: np.random.Generator, config: TimestepsConfig) -> float:
    """As often as the loss weight `weighted` weighs."""
    return float(np.interp(even(random, config), _MEASURED, _GRID))


SAMPLINGS: Mapping[str, Callable[[np.random.Generator, TimestepsConfig], float]] = {
    "uniform": draw_uniform,
    "sigma": draw_sigma,
    "sigmoid": draw_sigmoid,
    "logit_normal": draw_logit_normal,
    "mode": draw_mode,
    "cosmap": draw_cosmap,
    "bell": draw_bell,
    "weighted": draw_weighted,
}


# Put together ------------------------------------------------------------------------------------------------


def flow_shift(spec: ArchitectureSpec, config: TimestepsConfig) -> float | Literal["resolution"]:
    if config.flow_shift == "auto":
        return "resolution" if spec.default_flow_shift is None else spec.default_flow_shift
    return config.flow_shift


def time_draw(spec: ArchitectureSpec, config: TimestepsConfig) -> TimeDraw:
    """How the times of training are drawn: timesteps 0..999 (ddpm) or sigma in 0..1 (flow)."""
    first, last = config.min_timestep, config.max_timestep
    if spec.objective == "ddpm":
        return lambda random, _size: float(first + int(even(random, config) * (last - first + 1)))
    shift, sampling = flow_shift(spec, config), SAMPLINGS[config.timestep_sampling]
    low, high, terminal = first / STEPS, (last + 1) / STEPS, spec.terminal_time

    def draw(random: np.random.Generator, size: tuple[int, int]) -> float:
        if shift == "resolution":
            factor = resolution_shift(*size, spec.token_size, spec.resolution_shift)
            # As diffusers' `stretch_shift_to_terminal` does it with many steps.
            sigma = terminal + (1 - terminal) * shift_sigma(sampling(random, config), factor)
        else:
            sigma = shift_sigma(sampling(random, config), shift)
        return low + (high - low) * sigma

    return draw


def even_times(spec: ArchitectureSpec, config: TimestepsConfig, count: int) -> list[float]:
    """The middles of `count` equal parts of the times that are trained: timesteps (ddpm) or sigma (flow).

    Not as often as training draws them, so that numbers of runs with other distributions can be compared.
    """
    first, last = config.min_timestep, config.max_timestep
    width = (last + 1 - first) / count
    middles = [first + width * (number + 0.5) for number in range(count)]
    return [float(int(each)) if spec.objective == "ddpm" else each / STEPS for each in middles]
