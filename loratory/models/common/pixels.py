"""For models that paint pixels: what stands where others have an autoencoder."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor, nn


class PixelAutoencoder(nn.Module):
    """No autoencoder: latents are pixels in -1..1, three channels, one latent for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(latent_channels=3)


def encode_images(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, float32, of the latents of `pixels` (B, 3, H, W): themselves, and zeros."""
    return pixels.float(), torch.zeros_like(pixels, dtype=torch.float32)


def decode(latents: Tensor) -> Tensor:
    """Pixels, float32 (B, 3, H, W), for latents: themselves."""
    return latents.float()
