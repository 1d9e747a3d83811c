"""What the model is asked to predict, and how a miss is weighed. Small functions; each names its source."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.objective import ObjectiveConfig
from loratory.models.base import NoiseSchedule

TimeDraw = Callable[[np.random.Generator, tuple[int, int]], float]
"""Draws one time for a latent of (height, width)."""


def _along(values: Tensor, like: Tensor) -> Tensor:
    """(B,) shaped so that it multiplies (B, …)."""
    return values.to(like.device, torch.float32).reshape(-1, *[1] * (like.dim() - 1))


# Noise prediction (DDPM, Ho et al. 2020) ---------------------------------------------------------------------


def ddpm_noisy(latents: Tensor, noise: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """x_t = sqrt(ᾱ)·x0 + sqrt(1-ᾱ)·ε (Ho et al. 2020, eq. 4). `alphas_cumprod` (B,) at the samples' timesteps."""
    alpha = _along(alphas_cumprod, latents)
    return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise


def ddpm_target(latents: Tensor, noise: Tensor, alphas_cumprod: Tensor, prediction_type: str) -> Tensor:
    """ε itself, or v = sqrt(ᾱ)·ε - sqrt(1-ᾱ)·x0 (Salimans and Ho 2022)."""
    if prediction_type == "epsilon":
        return noise
    assert prediction_type == "v_prediction", prediction_type
    alpha = _along(alphas_cumprod, latents)
    return alpha.sqrt() * noise - (1 - alpha).sqrt() * latents


def signal_to_noise(alphas_cumprod: Tensor) -> Tensor:
    """SNR = ᾱ / (1-ᾱ)."""
    return alphas_cumprod / (1 - alphas_cumprod)


def min_snr_weight(snr: Tensor, gamma: float, prediction_type: str) -> Tensor:
    """min(SNR, γ)/SNR for ε, min(SNR, γ)/(SNR+1) for v (Hang et al. 2023, section 3.4).

    With zero terminal SNR the last timestep has SNR 0; its ε-weight is 1, as for every SNR below γ.
    """
    capped = snr.clamp(max=gamma)
    if prediction_type == "epsilon":
        return torch.where(snr > 0, capped / snr.clamp(min=1e-20), torch.ones_like(snr))
    return capped / (snr + 1)


# Flow matching (Lipman et al. 2022, rectified flow) ----------------------------------------------------------


def flow_noisy(latents: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
    """x_σ = (1-σ)·x0 + σ·ε."""
    sigma = _along(sigmas, latents)
    return (1 - sigma) * latents + sigma * noise


def flow_target(latents: Tensor, noise: Tensor) -> Tensor:
    """The velocity dx/dσ = ε - x0."""
    return noise - latents


def shift_sigma(sigma: float, shift: float) -> float:
    """k·σ / (1 + (k-1)·σ): moves times towards noise for k > 1 (Esser et al. 2024, section 5.3.2)."""
    return shift * sigma / (1 + (shift - 1) * sigma)


def resolution_shift(height: int, width: int) -> float:
    """Flux.1's shift e^μ for a latent of (height, width): μ is linear in its 2×2 tokens, 256 → 0.5, 4096 → 1.15."""
    tokens = (height // 2) * (width // 2)
    mu = 0.5 + (tokens - 256) * (1.15 - 0.5) / (4096 - 256)
    return math.exp(mu)


# Times -------------------------------------------------------------------------------------------------------


def time_draw(spec: ArchitectureSpec, config: ObjectiveConfig) -> TimeDraw:
    """How the times of training are drawn: timesteps 0..999 (ddpm) or sigma in 0..1 (flow)."""
    if spec.objective == "ddpm":
        low, high = config.min_timestep, config.max_timestep
        return lambda random, _size: float(low + int(random.random() * (high - low + 1)))
    shift = flow_shift(spec, config)

    def draw(random: np.random.Generator, size: tuple[int, int]) -> float:
        if config.timestep_sampling == "uniform":
            sigma = random.random()
        else:
            sigma = 1 / (1 + math.exp(-config.sigmoid_scale * random.standard_normal()))
        return shift_sigma(sigma, resolution_shift(*size) if shift == "resolution" else shift)

    return draw


def flow_shift(spec: ArchitectureSpec, config: ObjectiveConfig) -> float | Literal["resolution"]:
    if config.flow_shift == "auto":
        return "resolution" if spec.default_flow_shift is None else spec.default_flow_shift
    return config.flow_shift


def offset_noise(noise: Tensor, offsets: Tensor, strength: float) -> Tensor:
    """ε + o·N(0,1) per sample and channel (Guttenberg 2023). `offsets` (B, C) are the normal draws."""
    return noise + strength * offsets.reshape(*offsets.shape, *[1] * (noise.dim() - 2))


# One family-independent entry --------------------------------------------------------------------------------


def make_inputs(
    latents: Tensor, noise: Tensor, times: Tensor, schedule: NoiseSchedule | None, config: ObjectiveConfig
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Noisy latents and target (B, C, h, w), loss weights (B,), and the times as the model wants them.

    `schedule` None means flow matching.
    """
    if schedule is None:
        ones = torch.ones(len(latents), device=latents.device)
        return flow_noisy(latents, noise, times), flow_target(latents, noise), ones, times
    steps = times.long()
    alphas = schedule.alphas_cumprod.to(latents.device)[steps]
    if config.min_snr_gamma is None:
        weights = torch.ones(len(latents), device=latents.device)
    else:
        weights = min_snr_weight(signal_to_noise(alphas), config.min_snr_gamma, schedule.prediction_type)
    target = ddpm_target(latents, noise, alphas, schedule.prediction_type)
    return ddpm_noisy(latents, noise, alphas), target, weights, steps


def weighted_loss(prediction: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Σ over the batch of weight × mean squared error, in fp32. The caller divides by the step's total."""
    errors = (prediction.float() - target.float()).square().flatten(1).mean(1)
    return (errors * weights).sum()
