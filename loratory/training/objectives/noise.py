"""The noise that is mixed into latents, from what was drawn on the CPU."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from loratory.config.objective import NoiseConfig


class NoiseDraws(Protocol):
    """Everything random about the noise of a micro-batch, on the CPU."""

    noise: Tensor
    """(B, C, h, w) standard normal."""
    noise_offsets: Tensor | None
    """(B, C) standard normal."""
    noise_offset_strengths: Tensor | None
    """(B,) where each picture has its own, else None."""
    pyramid_noise: Tensor | None
    """(B, C, h, w), see `pyramid`."""
    input_noise: Tensor | None
    """(B, C, h, w), normal times the strength of the input perturbation."""


def pyramid(
    random: np.random.Generator, shape: tuple[int, int, int], iterations: int, discount: float
) -> np.ndarray[tuple[int, int, int], np.dtype[np.float32]]:
    """Σ dⁱ · (normal noise of side/rⁱ, enlarged) for one picture (C, h, w); r is drawn from 2..4 at each level.

    Whitaker 2023, with the sizes of kohya's trainer: a level's r is a power of its own draw. The last level is the one
    whose shorter side is a single number.
    """
    channels, height, width = shape
    total = torch.zeros(shape)
    for level in range(iterations):
        factor = (2 + 2 * random.random()) ** level
        size = max(1, int(height / factor)), max(1, int(width / factor))
        coarse = torch.from_numpy(random.standard_normal((1, channels, *size), dtype=np.float32))
        total += functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)[0] * (
            discount**level
        )
        if min(size) == 1:
            break
    return total.numpy()


def offset_noise(noise: Tensor, offsets: Tensor, strength: Tensor | float) -> Tensor:
    """ε + o·N(0,1) per sample and channel (Guttenberg 2023). `offsets` (B, C) are the normal draws.

    `strength`: one number, (B, 1) or (B, C).
    """
    moved = strength * offsets
    return noise + moved.reshape(*offsets.shape, *[1] * (noise.dim() - 2))


def adaptive_strength(strength: Tensor | float, latents: Tensor, scale: float) -> Tensor:
    """max(0, o + a·|mean of the channel|) (B, C), as kohya's trainer has it."""
    means = latents.float().flatten(2).mean(2).abs()
    return (strength + scale * means).clamp(min=0)


def unit_deviation(noise: Tensor) -> Tensor:
    """Each sample divided by its own standard deviation.

    kohya's trainer divides by that of the whole batch; a picture's noise would then depend on its neighbours.
    """
    deviation = noise.flatten(1).std(1)
    return noise / deviation.reshape(-1, *[1] * (noise.dim() - 1))


def shaped_noise(draws: NoiseDraws, latents: Tensor, config: NoiseConfig) -> tuple[Tensor, Tensor]:
    """The noise that the target is made of, and that of the model's input; both (B, C, h, w) on the latents' device."""

    def there(tensor: Tensor) -> Tensor:
        return tensor.to(latents.device, non_blocking=True)

    noise = there(draws.noise)
    if draws.noise_offsets is not None:
        strength: Tensor | float = config.noise_offset
        if draws.noise_offset_strengths is not None:
            strength = there(draws.noise_offset_strengths)[:, None]
        if config.adaptive_noise_scale:
            strength = adaptive_strength(strength, latents, config.adaptive_noise_scale)
        noise = offset_noise(noise, there(draws.noise_offsets), strength)
    if draws.pyramid_noise is not None:
        noise = unit_deviation(noise + there(draws.pyramid_noise))
    if draws.input_noise is None:
        return noise, noise
    # Input perturbation (Ning et al. 2023): the model sees more noise than it is asked for.
    return noise, noise + there(draws.input_noise)
