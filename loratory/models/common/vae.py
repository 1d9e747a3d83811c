"""The autoencoder: pixels to scaled latents and back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

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
    the range of numbers; `within_range` mends that.
    """

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """As AutoencoderKL.encode. In a format other than float32 it waits for the device."""
        moments = within_range(self, lambda part: AutoencoderKL.encode(self, part).latent_dist.parameters, x)
        posterior = DiagonalGaussianDistribution(moments)
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(self, z: Tensor, return_dict: bool = True, generator: torch.Generator | None = None) -> Any:
        """As AutoencoderKL.decode. In a format other than float32 it waits for the device."""
        sample = within_range(self, lambda part: AutoencoderKL.decode(self, part).sample, z)
        return DecoderOutput(sample=sample) if return_dict else (sample,)


_HAVE_SAID_SO: WeakSet[nn.Module] = WeakSet()


def within_range(vae: Any, run: Callable[[Tensor], Tensor], given: Tensor) -> Tensor:
    """`run` of all pictures of a batch, on the autoencoder's device and in its format; those that are not finite
    then, and no others, are done again in float32.

    Which ones does not depend on what was encoded before or beside them, so entries of a cache stand for the picture
    and the weights alone.
    """
    given = given.to(vae.device)
    output = run(given.to(vae.dtype))
    if output.dtype == torch.float32:
        return output
    bad = ~torch.isfinite(output).flatten(1).all(dim=1)
    if not bad.any():
        return output
    narrow = vae.dtype
    if vae not in _HAVE_SAID_SO:
        log.warning(
            "The autoencoder leaves the range of %s; such pictures are done again in float32. With "
            "model.vae_precision fp32 they are done once.", str(narrow).removeprefix("torch."),
        )  # fmt: skip
        _HAVE_SAID_SO.add(vae)
    nn.Module.to(vae, torch.float32)  # diffusers' own `to` warns of what it does not do here
    try:
        wide = run(given[bad].float())
    finally:
        nn.Module.to(vae, narrow)  # which gives back the same bits
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
