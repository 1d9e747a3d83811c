"""The autoencoder: pixels to scaled latents and back."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor


class AnyPrecisionAutoencoder(AutoencoderKL):
    """An AutoencoderKL that takes input of any number format.

    The autoencoder often has a wider format than the denoiser (`model.vae_precision`), and diffusers' pipelines hand
    the denoiser's latents to it as they are.
    """

    def encode(self, x: Tensor, *args: Any, **options: Any) -> Any:
        """As AutoencoderKL.encode."""
        return super().encode(x.to(self.dtype), *args, **options)

    def decode(self, z: Tensor, *args: Any, **options: Any) -> Any:
        """As AutoencoderKL.decode."""
        return super().decode(z.to(self.dtype), *args, **options)


def _shift_and_scale(vae: AutoencoderKL) -> tuple[float, float]:
    return float(vae.config.shift_factor or 0.0), float(vae.config.scaling_factor)


@torch.no_grad()
def encode_images(vae: AutoencoderKL, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, float32 (B, C, h, w), of the scaled latents of `pixels` (B, 3, H, W) in -1..1.

    Scaled latents are (z - shift) * scale with the two factors of the autoencoder's config.
    """
    shift, scale = _shift_and_scale(vae)
    posterior = vae.encode(pixels).latent_dist
    return (posterior.mean.float() - shift) * scale, posterior.std.float() * scale


def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Pixels, float32 (B, 3, H, W) in about -1..1, for scaled latents (B, C, h, w)."""
    shift, scale = _shift_and_scale(vae)
    pixels: Tensor = vae.decode(latents / scale + shift).sample
    return pixels.float()
