"""What the model is asked to predict, and how a miss is weighed: the one entry, whatever the family of models.

The formulas lie in `objectives`: noise, timesteps, losses, weighting. Here they are put together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from loratory.config.objective import LossConfig, TargetConfig
from loratory.models.base import NoiseSchedule
from loratory.training.objectives.losses import LOSSES, loss_number
from loratory.training.objectives.noise import offset_noise, shaped_noise
from loratory.training.objectives.shapes import along
from loratory.training.objectives.targets import guidance_at, guided
from loratory.training.objectives.timesteps import (
    STEPS,
    USUAL_LINE,
    Line,
    TimeDraw,
    even_times,
    flow_shift,
    resolution_shift,
    shift_sigma,
    time_draw,
)
from loratory.training.objectives.weighting import (
    flow_weights,
    min_snr_weight,
    noise_prediction_weights,
    signal_to_noise,
)

__all__ = [
    "Inputs", "TimeDraw", "complaints", "ddpm_noisy", "ddpm_target", "even_times", "flow_noisy", "flow_shift",
    "flow_target", "held_to", "make_inputs", "masked_means", "min_snr_weight", "noise_share", "offset_noise",
    "picture_losses", "resolution_shift", "shaped_noise", "shift_at", "shift_sigma", "signal_to_noise", "time_draw",
    "weighted_loss", "with_guidance",
]  # fmt: skip


# Noise prediction (DDPM, Ho et al. 2020) ---------------------------------------------------------------------


def ddpm_noisy(latents: Tensor, noise: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """x_t = sqrt(ᾱ)·x0 + sqrt(1-ᾱ)·ε (Ho et al. 2020, eq. 4). `alphas_cumprod` (B,) at the samples' timesteps."""
    alpha = along(alphas_cumprod, latents)
    return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise


def ddpm_target(latents: Tensor, noise: Tensor, alphas_cumprod: Tensor, prediction_type: str) -> Tensor:
    """ε itself, or v = sqrt(ᾱ)·ε - sqrt(1-ᾱ)·x0 (Salimans and Ho 2022)."""
    if prediction_type == "epsilon":
        return noise
    assert prediction_type == "v_prediction", prediction_type
    alpha = along(alphas_cumprod, latents)
    return alpha.sqrt() * noise - (1 - alpha).sqrt() * latents


# Flow matching (Lipman et al. 2022, rectified flow) ----------------------------------------------------------


def flow_noisy(latents: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
    """x_σ = (1-σ)·x0 + σ·ε."""
    sigma = along(sigmas, latents)
    return (1 - sigma) * latents + sigma * noise


def flow_target(latents: Tensor, noise: Tensor) -> Tensor:
    """The velocity dx/dσ = ε - x0."""
    return noise - latents


# One family-independent entry --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inputs:
    """What a micro-batch is asked and how its answer is judged. Tensors are on the latents' device."""

    noisy: Tensor
    """(B, C, h, w): what the model sees."""
    target: Tensor
    """(B, C, h, w): what its answer is compared with."""
    weights: Tensor
    """(B,): how much each picture's loss counts."""
    times: Tensor
    """(B,), as the model wants them."""
    loss_numbers: Tensor
    """(B,): the loss's own number, such as Huber's c."""
    output_scale: Tensor | float = 1.0
    """What the model's output is multiplied by before it is compared: a number or (B,) …"""
    adds_noisy: bool = False
    """… and whether what it saw is added to it then."""
    masks: Tensor | None = None
    """(B, 1, h, w) from 0 to 1: how much each place counts; None: all alike."""


def make_inputs(
    latents: Tensor,
    noise: Tensor,
    times: Tensor,
    schedule: NoiseSchedule | None,
    config: LossConfig,
    input_noise: Tensor | None = None,
) -> Inputs:
    """Mix pictures and noise at `times` (B,), and say what the model shall make of it.

    `schedule` None means flow matching. `input_noise` takes the place of the noise in what the model sees, not in the
    target (input perturbation).
    """
    input_noise = noise if input_noise is None else input_noise
    if schedule is None:
        noisy, target = flow_noisy(latents, input_noise, times), flow_target(latents, noise)
        numbers = loss_number(times, 1 - times, config)
        inputs = Inputs(noisy, target, flow_weights(times, config), times, numbers)
        return as_compared(inputs, latents, config)
    steps = times.long()
    alphas = schedule.alphas_cumprod.to(latents.device)[steps]
    signal, disturbance = alphas.sqrt(), (1 - alphas).sqrt()
    return Inputs(
        noisy=ddpm_noisy(latents, input_noise, alphas),
        target=ddpm_target(latents, noise, alphas, schedule.prediction_type),
        weights=noise_prediction_weights(alphas, schedule.prediction_type, config),
        times=steps,
        loss_numbers=loss_number(times / STEPS, signal / (signal + disturbance), config),
    )


def as_compared(inputs: Inputs, latents: Tensor, config: LossConfig) -> Inputs:
    """Velocity with velocity (raw), x - σ·output with the picture (sigma_scaled), or output + x with the velocity.

    kohya's trainer compares x - σ·output with the velocity, which teaches nothing of use; here the picture that
    follows from a prediction is compared with the picture.
    """
    facts = vars(inputs)
    if config.model_prediction_type == "sigma_scaled":
        return Inputs(**facts | {"target": latents, "output_scale": -inputs.times, "adds_noisy": True})
    if config.model_prediction_type == "additive":
        return Inputs(**facts | {"adds_noisy": True})
    return inputs


def noise_share(times: Tensor, schedule: NoiseSchedule | None) -> Tensor:
    """b/(a+b) (B,) of x = a·picture + b·noise at the model's times; σ for flow models."""
    if schedule is None:
        return times
    alphas = schedule.alphas_cumprod.to(times.device)[times.long()]
    signal, disturbance = alphas.sqrt(), (1 - alphas).sqrt()
    return disturbance / (signal + disturbance)


def with_guidance(
    inputs: Inputs, unconditional: Tensor, scales: Tensor, noise_shares: Tensor, config: TargetConfig
) -> Inputs:
    """The inputs with a guided target; `unconditional` (B, C, h, w) is the model's output without caption."""
    scales = guidance_at(scales, noise_shares, config.guidance_loss_schedule)
    target = guided(inputs.target, unconditional.float(), scales, fitted=config.guidance_loss_cfg_zero)
    return replace(inputs, target=target)


def held_to(inputs: Inputs, output: Tensor, which: Tensor | None = None) -> Inputs:
    """The inputs with a model's output for a target; `which` (B,) says in which pictures, left out: in all."""
    target = compared(output, inputs)
    if which is not None:
        target = torch.where(which.reshape(-1, *[1] * (target.dim() - 1)), target, inputs.target)
    return replace(inputs, target=target)


def compared(output: Tensor, inputs: Inputs) -> Tensor:
    """A model's output in the form in which it is compared."""
    output = output.float()
    if isinstance(inputs.output_scale, Tensor):
        output = output * along(inputs.output_scale, output)
    return output + inputs.noisy.float() if inputs.adds_noisy else output


def weighted_loss(prediction: Tensor, inputs: Inputs, config: LossConfig) -> Tensor:
    """Σ over the batch of weight × the picture's mean loss, in fp32. The caller divides by the step's total."""
    return (picture_losses(prediction, inputs, config) * inputs.weights).sum()


def picture_losses(prediction: Tensor, inputs: Inputs, config: LossConfig) -> Tensor:
    """(B,), in fp32: the mean loss of each picture under its mask, before it is weighed."""
    prediction = compared(prediction, inputs)
    number = along(inputs.loss_numbers, prediction)
    elements = LOSSES[config.loss_type](prediction, inputs.target.float(), number)
    if inputs.masks is None:
        return elements.flatten(1).mean(1)
    return masked_means(elements, inputs.masks, config)


def masked_means(elements: Tensor, masks: Tensor, config: LossConfig) -> Tensor:
    """(B,): each picture's mean of (B, C, h, w) under its mask (B, 1, h, w).

    Over all elements, as in kohya's trainer, or over the mask's own weight: ai-toolkit's rule, but for each picture
    instead of the batch, so that neighbours have no influence. A mask of zeros gives 0. Where a loss has a coarser grid
    than the latents, the mask is averaged to it.
    """
    if masks.shape[-2:] != elements.shape[-2:]:
        masks = adaptive_avg_pool2d(masks, (elements.shape[-2], elements.shape[-1]))
    means = (elements * masks).flatten(1).mean(1)
    if config.masked_loss_mean == "picture":
        return means
    return means / masks.flatten(1).mean(1).clamp(min=1e-6)


def shift_at(
    shift: float | Literal["resolution"], size: tuple[int, ...], token_size: int = 2, line: Line = USUAL_LINE
) -> float:
    """The shift of flow times for a latent of (height, width)."""
    return resolution_shift(size[0], size[1], token_size, line) if shift == "resolution" else shift


def complaints(schedule: NoiseSchedule | None, config: LossConfig) -> Iterator[str]:
    """Options without effect on a model that predicts what this one does; known only when it is loaded."""
    if schedule is None:
        return
    if config.scale_v_pred_loss_like_noise_pred and schedule.prediction_type != "v_prediction":
        yield "objective.scale_v_pred_loss_like_noise_pred has no effect: the model predicts noise, not velocity."
    if config.v_pred_like_loss and schedule.prediction_type == "v_prediction":
        yield "objective.v_pred_like_loss has no effect: the model predicts velocity already."
    if float(schedule.alphas_cumprod[-1]) == 0 and schedule.prediction_type == "epsilon":
        yield (
            "The last timestep is pure noise (zero terminal SNR), which a model that predicts noise cannot learn from; "
            "it is meant for v-prediction."
        )
