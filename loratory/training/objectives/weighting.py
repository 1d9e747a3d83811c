"""How much each timestep counts: factors (B,) of a picture's loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import Tensor

from loratory.config.objective import LossConfig

# Noise prediction --------------------------------------------------------------------------------------------

MOST_SNR, LEAST_SNR = 1000.0, 0.001
"""Bounds for weights that divide. The upper one is kohya's; the lower one, below every SNR of the usual schedule (its
least is 0.0047), keeps them finite where the last timestep is pure noise."""


def signal_to_noise(alphas_cumprod: Tensor) -> Tensor:
    """SNR = ᾱ / (1-ᾱ)."""
    return alphas_cumprod / (1 - alphas_cumprod)


def bounded(snr: Tensor) -> Tensor:
    return snr.clamp(min=LEAST_SNR, max=MOST_SNR)


def min_snr_weight(snr: Tensor, gamma: float, prediction_type: str) -> Tensor:
    """min(SNR, γ)/SNR for ε, min(SNR, γ)/(SNR+1) for v (Hang et al. 2023, section 3.4).

    With zero terminal SNR the last timestep has SNR 0; its ε-weight is 1, as for every SNR below γ.
    """
    capped = snr.clamp(max=gamma)
    if prediction_type == "epsilon":
        return torch.where(snr > 0, capped / snr.clamp(min=1e-20), torch.ones_like(snr))
    return capped / (snr + 1)


def debiased_weight(snr: Tensor, prediction_type: str) -> Tensor:
    """1/sqrt(SNR) for ε (Yu et al. 2023, debiased estimation), 1/(SNR+1) for v (kohya's trainer)."""
    snr = bounded(snr)
    return 1 / snr.sqrt() if prediction_type == "epsilon" else 1 / (snr + 1)


def like_noise_prediction_weight(snr: Tensor) -> Tensor:
    """SNR/(SNR+1): a miss of v, weighed like the miss of ε that follows from it (kohya's trainer)."""
    capped = snr.clamp(max=MOST_SNR)
    return capped / (capped + 1)


def like_velocity_weight(snr: Tensor, strength: float) -> Tensor:
    """1 + k·(SNR+1)/SNR: adds k times the loss weighed like that of v (kohya's trainer)."""
    snr = bounded(snr)
    return 1 + strength * (snr + 1) / snr


def noise_prediction_weights(alphas_cumprod: Tensor, prediction_type: str, config: LossConfig) -> Tensor:
    """All that the config asks for, multiplied. `alphas_cumprod` (B,) at the samples' timesteps."""
    snr = signal_to_noise(alphas_cumprod)
    weights = torch.ones_like(snr)
    if config.min_snr_gamma is not None:
        weights = weights * min_snr_weight(snr, config.min_snr_gamma, prediction_type)
    if config.scale_v_pred_loss_like_noise_pred and prediction_type == "v_prediction":
        weights = weights * like_noise_prediction_weight(snr)
    if config.v_pred_like_loss and prediction_type == "epsilon":
        weights = weights * like_velocity_weight(snr, config.v_pred_like_loss)
    if config.debiased_estimation:
        weights = weights * debiased_weight(snr, prediction_type)
    return weights


# Flow matching -----------------------------------------------------------------------------------------------

LEAST_SIGMA = 0.001
"""The cleanest of 1000 timesteps; below it 1/σ² would let a single picture outweigh all others."""

# ai-toolkit's weights, measured on Flex.1-alpha: 1 - σ and weight. Between them they are read along straight lines.
MEASURED = ((0.0, 0.906), (0.124, 1.523), (0.2, 1.441), (0.3, 1.264), (0.4, 1.083), (0.5, 0.925), (0.6, 0.805),
            (0.7, 0.731), (0.8, 0.716), (0.9, 0.716), (1.0, 0.447))  # fmt: skip
# Of exp(-2(σ - ½)²) - exp(-½) over 0..1.
_BELL_MEAN = math.sqrt(math.pi / 2) * math.erf(math.sqrt(0.5)) - math.exp(-0.5)


def no_weight(sigmas: Tensor) -> Tensor:
    return torch.ones_like(sigmas)


def sigma_sqrt_weight(sigmas: Tensor) -> Tensor:
    """1/σ² (Karras et al. 2022; Esser et al. 2024, section 3.1)."""
    return sigmas.clamp(min=LEAST_SIGMA) ** -2


def cosmap_weight(sigmas: Tensor) -> Tensor:
    """2 / (π(1 - 2σ + 2σ²)) (Esser et al. 2024, section 3.1)."""
    return 2 / (math.pi * (1 - 2 * sigmas + 2 * sigmas**2))


def bell_weight(sigmas: Tensor) -> Tensor:
    """exp(-2(σ - ½)²), moved to 0 at the ends and scaled to mean 1 (ai-toolkit's linear_timesteps)."""
    return (torch.exp(-2 * (sigmas - 0.5) ** 2) - math.exp(-0.5)) / _BELL_MEAN


def half_bell_weight(sigmas: Tensor) -> Tensor:
    """The bell, which stays at its top on the clean side (ai-toolkit's linear_timesteps2)."""
    return bell_weight(sigmas.clamp(min=0.5))


def measured_weight(sigmas: Tensor) -> Tensor:
    """ai-toolkit's timestep_type weighted; about 1 in the mean over even times."""
    clean = 1 - sigmas
    weights = torch.zeros_like(sigmas)
    for (x0, y0), (x1, y1) in pairwise(MEASURED):
        line = y0 + (clean - x0) * ((y1 - y0) / (x1 - x0))
        weights = torch.where(clean >= x0, line, weights)
    return weights


def stepped_weight(sigmas: Tensor) -> Tensor:
    """10 · (d / (1 - σ + d))², d = min(0.05, σ): ai-toolkit's loss `stepped` as a weight of the squared error.

    It goes the step d along the predicted velocity, takes the known noise out again and compares the picture; written
    out, that is this factor of the velocity's own error.
    """
    step = sigmas.clamp(max=0.05)
    return 10 * (step / (1 - sigmas + step)) ** 2


FLOW_WEIGHTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "none": no_weight,
    "sigma_sqrt": sigma_sqrt_weight,
    "cosmap": cosmap_weight,
    "bell": bell_weight,
    "half_bell": half_bell_weight,
    "weighted": measured_weight,
    "stepped": stepped_weight,
}


def flow_weights(sigmas: Tensor, config: LossConfig) -> Tensor:
    """(B,) for the samples' times."""
    return FLOW_WEIGHTS[config.loss_weighting](sigmas)
