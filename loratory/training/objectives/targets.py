"""What may take the place of the plain target: guided predictions, and average velocities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from loratory.training.objectives.shapes import along

# Contrastive guidance ----------------------------------------------------------------------------------------


def guidance_at(scales: Tensor, noise_shares: Tensor, schedule: Literal["constant", "sigma"]) -> Tensor:
    """The scale of guidance (B,): as given, or 1 + (g - 1)·σ, as ai-toolkit has it.

    `noise_shares` (B,): b/(a+b) of x = a·picture + b·noise, which is σ for flow models. The target holds noise that
    nobody can predict from a nearly clean picture, and guidance enlarges it: hence the schedule.
    """
    return scales if schedule == "constant" else 1 + (scales - 1) * noise_shares


def guided(target: Tensor, unconditional: Tensor, scales: Tensor, *, fitted: bool) -> Tensor:
    """u + g·(y - u): classifier-free guidance (Ho and Salimans 2022, eq. 6) with the target y for the conditional part.

    In the mean over pictures it is what a model with this guidance predicts. All (B, …), `scales` (B,). `fitted`: u is
    multiplied by <y,u>/|u|² first, which brings it closest to y (CFG-Zero*, Fan et al. 2025, section 4.1).
    """
    if fitted:
        products = (target * unconditional).flatten(1).sum(1)
        squares = unconditional.square().flatten(1).sum(1).clamp(min=1e-8)
        unconditional = unconditional * along(products / squares, unconditional)
    return unconditional + along(scales, target) * (target - unconditional)


# MeanFlow ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stretch:
    """One step of the sampler, for each picture the one in which its time lies. All (B,)."""

    start: Tensor
    """Its clean end."""
    end: Tensor
    """Its noisy end, where the sampler asks; a picture's time may be equal to it, but not to the start."""


TOLERANCE = 1e-4
"""Of a step: a time that rounding puts so little beyond a step's end belongs to the step."""


def stretch_of(sigmas: Tensor, steps: int, shift: float) -> Stretch:
    """The stretches between the times of a sampler of `steps` even steps, shifted by k·σ/(1 + (k-1)·σ)."""
    even = sigmas / (shift - (shift - 1) * sigmas)
    numbers = torch.ceil(even * steps - TOLERANCE).clamp(1, steps)

    def shifted(even: Tensor) -> Tensor:
        return shift * even / (1 + (shift - 1) * even)

    return Stretch(shifted((numbers - 1) / steps), shifted(numbers / steps))


def average_velocity(velocity: Tensor, here: Tensor, before: Tensor, share: float) -> Tensor:
    """v - (t - r)·du/dt, the target of u(z_t, r, t) (Geng et al. 2025, Mean Flows, eq. 6 and 11); no gradient flows.

    du/dt is taken along the path, backward: `here` is u at z_t, `before` u at z_t - h·v and t - h, where h is the
    `share` of t - r. With du/dt exact, the u that meets the target is the mean of v from r to t. What is known spreads
    from r, where u is v, towards t; a look forward (ai-toolkit's) runs away in models that tell near times apart.
    """
    return velocity - (here.detach() - before.detach()) / share
