"""The autoencoder: pixels to scaled latents and back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor, nn

log = logging.getLogger(__name__)


class AnyPrecisionAutoencoder(AutoencoderKL):
    """An AutoencoderKL for input of any format from any device, which turns to float32 where its own is too narrow.

    The autoencoder often has a wider format than the denoiser (`model.vae_precision`), and diffusers' pipelines hand
    the denoiser's latents to it as they are. In a narrow format some autoencoders, SDXL's first one among them, leave
    the range of numbers. Those pictures, and no others, are done again in float32: which ones does not depend on what
    was encoded before or beside them, so entries of a cache stand for the picture and the weights alone.
    """

    _has_said_so = False

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """As AutoencoderKL.encode. In a format other than float32 it waits for the device."""
        moments = self._mended(lambda part: AutoencoderKL.encode(self, part).latent_dist.parameters, x)
        posterior = DiagonalGaussianDistribution(moments)
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(self, z: Tensor, return_dict: bool = True, generator: torch.Generator | None = None) -> Any:
        """As AutoencoderKL.decode. In a format other than float32 it waits for the device."""
        sample = self._mended(lambda part: AutoencoderKL.decode(self, part).sample, z)
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    def _mended(self, run: Callable[[Tensor], Tensor], given: Tensor) -> Tensor:
        """`run` of all pictures, with those done again in float32 that are not finite."""
        given = given.to(self.device)
        output = run(given.to(self.dtype))
        if output.dtype == torch.float32:
            return output
        bad = ~torch.isfinite(output).flatten(1).all(dim=1)
        if not bad.any():
            return output
        narrow = self.dtype
        if not self._has_said_so:
            log.warning(
                "The autoencoder leaves the range of %s; such pictures are done again in float32. With "
                "model.vae_precision fp32 they are done once.", str(narrow).removeprefix("torch."),
            )  # fmt: skip
            self._has_said_so = True
        nn.Module.to(self, torch.float32)  # diffusers' own `to` warns of what it does not do here
        try:
            wide = run(given[bad].float())
        finally:
            nn.Module.to(self, narrow)  # which gives back the same bits
        output = output.float()
        output[bad] = wide
        return output


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
