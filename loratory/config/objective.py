"""What the model is asked to do in a training step: noise, timesteps, loss."""

from __future__ import annotations

from typing import Literal

from loratory.config.base import StrictModel, param

DDPM = ("sd15", "sdxl")
FLOW = ("flux1",)


class ObjectiveConfig(StrictModel):
    min_snr_gamma: float | None = param(
        None,
        gt=0,
        le=1000,
        help="Caps the weight of nearly clean timesteps (Min-SNR); 5 is usual, 1 for v-prediction.",
        tab="Advanced",
        group="Loss",
        level="advanced",
        architectures=DDPM,
        kohya=("min_snr_gamma",),
        aitoolkit=("train.min_snr_gamma",),
    )
    prior_loss_weight: float = param(
        1.0,
        ge=0,
        le=1000,
        help="How much the loss of regularisation pictures (`datasets.is_regularisation`) counts.",
        tab="Advanced",
        group="Loss",
        level="advanced",
        kohya=("prior_loss_weight",),
        aitoolkit=("train.reg_weight",),
    )
    noise_offset: float = param(
        0.0,
        ge=0,
        le=1,
        help="Adds a random constant per channel to the noise, so that very dark and very bright pictures are learned. "
        "0.05 to 0.1 is usual.",
        tab="Advanced",
        group="Noise",
        level="advanced",
        architectures=DDPM,
        kohya=("noise_offset",),
        aitoolkit=("train.noise_offset",),
    )
    min_timestep: int = param(
        0,
        ge=0,
        le=999,
        help="Lowest timestep that is trained.",
        tab="Advanced",
        group="Timesteps",
        level="expert",
        architectures=DDPM,
        kohya=("min_timestep",),
        aitoolkit=("train.min_denoising_steps",),
    )
    max_timestep: int = param(
        999,
        ge=0,
        le=999,
        help="Highest timestep that is trained.",
        tab="Advanced",
        group="Timesteps",
        level="expert",
        architectures=DDPM,
        kohya=("max_timestep",),
        aitoolkit=("train.max_denoising_steps",),
    )
    timestep_sampling: Literal["uniform", "sigmoid"] = param(
        "sigmoid",
        help="How flow time is drawn before the shift: evenly, or more often in the middle (logit-normal).",
        tab="Advanced",
        group="Timesteps",
        level="advanced",
        architectures=FLOW,
        kohya=("timestep_sampling",),
        aitoolkit=("train.timestep_type",),
    )
    sigmoid_scale: float = param(
        1.0,
        gt=0,
        le=10,
        help="Width of the logit-normal distribution.",
        tab="Advanced",
        group="Timesteps",
        level="expert",
        architectures=FLOW,
        kohya=("sigmoid_scale",),
    )
    flow_shift: float | Literal["auto", "resolution"] = param(
        "auto",
        help="Moves flow times towards noise: sigma becomes k*s/(1+(k-1)*s). `auto` is the architecture's usual value; "
        "`resolution` grows with the picture's size as Flux does when it samples.",
        tab="Advanced",
        group="Timesteps",
        level="advanced",
        architectures=FLOW,
        kohya=("discrete_flow_shift", "timestep_sampling"),
    )
    guidance_scale: float = param(
        1.0,
        ge=0,
        le=100,
        help="Value given to the guidance embedding in training (Flux.1 dev). 1 is right for LoRA.",
        tab="Advanced",
        group="Conditioning",
        level="expert",
        architectures=("flux1",),
        kohya=("guidance_scale",),
    )
