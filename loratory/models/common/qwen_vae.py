"""The autoencoder of Qwen-Image, made for films (Wan 2.1's) and used for pictures: films of one frame.

Latents have 16 channels and 8 pixels a side; each channel is normalised by a mean and a deviation of the config.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from diffusers import AutoencoderKLQwenImage
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor

from loratory.models.common import convert
from loratory.models.common.checkpoint import Tensors
from loratory.models.common.vae import within_range


class FrameAutoencoder(AutoencoderKLQwenImage):
    """An AutoencoderKLQwenImage for input of any format from any device, as `common.vae.AnyPrecisionAutoencoder`.

    Pictures (B, C, H, W) are taken as films (B, C, 1, H, W), and what comes out has the axes that went in. Raises
    ValueError for a film of several frames.
    """

    def clear_cache(self) -> None:
        """Begin anew, and remember nothing: for the next frame of a film each convolution would keep what it is given.
        A picture has no next frame, and what comes out is the same."""
        super().clear_cache()
        self._feat_map = self._enc_feat_map = None

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """As AutoencoderKLQwenImage.encode."""
        moments = _by_frames(self, lambda film: AutoencoderKLQwenImage.encode(self, film).latent_dist.parameters, x)
        posterior = DiagonalGaussianDistribution(moments)
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(self, z: Tensor, return_dict: bool = True) -> Any:
        """As AutoencoderKLQwenImage.decode."""
        sample = _by_frames(self, lambda film: AutoencoderKLQwenImage.decode(self, film).sample, z)
        return DecoderOutput(sample=sample) if return_dict else (sample,)


def _by_frames(vae: Any, run: Any, given: Tensor) -> Tensor:
    if given.ndim == 5:
        if given.shape[2] != 1:
            raise ValueError(f"a film of {given.shape[2]} frames was given to an autoencoder that takes single frames")
        return within_range(vae, run, given)
    return within_range(vae, run, given.unsqueeze(2)).squeeze(2)


def _statistics(vae: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, (C, 1, 1)."""
    mean, deviation = (
        torch.tensor(numbers, device=device)[:, None, None]
        for numbers in (vae.config.latents_mean, vae.config.latents_std)
    )
    return mean, deviation


@torch.no_grad()
def encode_images(vae: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, float32 (B, 16, h, w), of the scaled latents of `pixels` (B, 3, H, W) in -1..1.

    Scaled latents are (z - mean) / deviation with the numbers that the autoencoder's config has for each channel.
    """
    posterior = vae.encode(pixels).latent_dist
    mean, deviation = _statistics(vae, posterior.mean.device)
    return (posterior.mean.float() - mean) / deviation, posterior.std.float() / deviation


def decode(vae: Any, latents: Tensor) -> Tensor:
    """Pixels, float32 (B, 3, H, W) in -1..1, for scaled latents (B, 16, h, w)."""
    mean, deviation = _statistics(vae, latents.device)
    pixels: Tensor = vae.decode(latents * deviation + mean).sample
    return pixels.float()


# Single files

_RESIDUAL = {"residual.0": "norm1", "residual.2": "conv1", "residual.3": "norm2", "residual.6": "conv2",
             "shortcut": "conv_shortcut"}  # fmt: skip
_AROUND = {
    "conv1": "quant_conv", "conv2": "post_quant_conv",
    **{f"{side}.{native}": f"{side}.{ours}" for side in ("encoder", "decoder") for native, ours in (
        ("conv1", "conv_in"), ("head.0", "norm_out"), ("head.2", "conv_out"), ("middle.0", "mid_block.resnets.0"),
        ("middle.1", "mid_block.attentions.0"), ("middle.2", "mid_block.resnets.1"))},
}  # fmt: skip
_NAME = re.compile(r"(conv[12]|(?:encoder|decoder)\.(?:conv1|(?:head|middle|downsamples|upsamples)\.\d+))\.(.+)")


def vae_file(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The autoencoder of a file that may hold nothing else, under diffusers' names or Wan's."""
    found = convert.with_prefix(tensors, convert.VAE_PREFIXES) or tensors
    if "encoder.conv_in.weight" in found:
        return found
    return {_renamed(name, config["num_res_blocks"]): value for name, value in found.items()}


def vae_of_model(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The autoencoder out of a whole model."""
    return vae_file(convert.with_prefix(tensors, convert.VAE_PREFIXES), config)


def _renamed(name: str, blocks: int) -> str:
    """diffusers' name for Wan's; each level of the decoder has one residual block more than the config's number, and
    all but the last have an upsampler behind them. What is not known keeps its name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return name
    place, leaf = match.groups()
    for native, ours in _RESIDUAL.items():
        if leaf.startswith(native + "."):
            leaf = ours + leaf.removeprefix(native)
    if place.startswith("encoder.downsamples."):
        return f"{place.replace('downsamples', 'down_blocks')}.{leaf}"
    if place.startswith("decoder.upsamples."):
        level, turn = divmod(int(place.rpartition(".")[2]), blocks + 2)
        inside = f"resnets.{turn}" if turn <= blocks else "upsamplers.0"
        return f"decoder.up_blocks.{level}.{inside}.{leaf}"
    return f"{_AROUND.get(place, place)}.{leaf}"
