"""The transformer of Chroma Radiance, which diffusers lacks, and a pipeline for it.

The body is Chroma's; what is its own is how pixels come in (a convolution over patches) and how they come out: for each
patch the body's output makes the weights of a small network (in the manner of a NeRF), which paints every pixel of the
patch from its noisy value and its place.

Facts from lodestone-rock/flow (src/models/chroma/model_dct.py) and ComfyUI (comfy/ldm/chroma_radiance).
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, DiffusionPipeline, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.transformers.transformer_chroma import (
    ChromaApproximator,
    ChromaCombinedTimestepTextProjEmbeddings,
    ChromaSingleTransformerBlock,
    ChromaTransformerBlock,
)
from diffusers.models.transformers.transformer_flux import FluxPosEmbed
from diffusers.pipelines.flux.pipeline_flux import calculate_shift, retrieve_timesteps
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor, nn

from loratory.models.common import chroma
from loratory.models.common.bfl import image_ids
from loratory.models.common.texts import pad_and_mask

# The transformer


class PixelEmbedder(nn.Module):
    """Pixels of a patch and their places, as features."""

    def __init__(self, channels: int, hidden: int, frequencies: int) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.embedder = nn.Sequential(nn.Linear(channels + frequencies**2, hidden))

    def places(self, side: int, device: torch.device) -> Tensor:
        """(side², frequencies²) float32: cos(πfx)·cos(πgy) / (1 + fg), pixel by pixel from the first row on."""
        line = torch.linspace(0, 1, side, device=device)
        y, x = (grid.reshape(-1, 1, 1) for grid in torch.meshgrid(line, line, indexing="ij"))
        numbers = torch.arange(self.frequencies, device=device, dtype=torch.float32)
        f, g = numbers[:, None], numbers[None, :]
        return (torch.cos(x * f * math.pi) * torch.cos(y * g * math.pi) / (1 + f * g)).flatten(1)

    def forward(self, pixels: Tensor) -> Tensor:
        """(patches, side², channels) -> (patches, side², hidden)."""
        places = self.places(math.isqrt(pixels.shape[1]), pixels.device).to(pixels.dtype)
        features: Tensor = self.embedder(torch.cat([pixels, places.expand(len(pixels), -1, -1)], dim=2))
        return features


class PatchNetwork(nn.Module):
    """A gated MLP for the pixels of a patch, whose weights are made of the body's output for that patch."""

    def __init__(self, width: int, hidden: int, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        self.param_generator = nn.Linear(width, 3 * hidden**2 * ratio)
        self.norm = nn.RMSNorm(hidden, eps=1e-6)

    def forward(self, pixels: Tensor, patches: Tensor) -> Tensor:
        """`pixels` (patches, side², hidden), `patches` (patches, width)."""
        hidden = pixels.shape[2]
        gate, value, back = self.param_generator(patches).chunk(3, dim=1)
        gate, value = (F.normalize(each.view(-1, hidden, hidden * self.ratio), dim=1) for each in (gate, value))
        back = F.normalize(back.view(-1, hidden * self.ratio, hidden), dim=1)
        inner = self.norm(pixels)
        return pixels + torch.bmm(F.silu(torch.bmm(inner, gate)) * torch.bmm(inner, value), back)


class LinearHead(nn.Module):
    """From features to channels, each pixel by itself."""

    def __init__(self, hidden: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(hidden, eps=1e-6)
        self.linear = nn.Linear(hidden, channels)

    def forward(self, picture: Tensor) -> Tensor:
        """(B, hidden, H, W) -> (B, channels, H, W)."""
        channels: Tensor = self.linear(self.norm(picture.movedim(1, -1)))
        return channels.movedim(-1, 1)


class ConvolutionHead(nn.Module):
    """From features to channels, with the neighbours, so that patches have no seams."""

    def __init__(self, hidden: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(hidden, eps=1e-6)
        self.conv = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        """(B, hidden, H, W) -> (B, channels, H, W)."""
        channels: Tensor = self.conv(self.norm(picture.movedim(1, -1)).movedim(-1, 1))
        return channels


HEADS = {"conv": ("nerf_final_layer_conv", ConvolutionHead), "linear": ("nerf_final_layer", LinearHead)}
"""By the config's `final_head`: the head's name and class."""

SMALLEST_TIME = 1e-3
"""Below it a predicted picture is turned into a velocity as if it were this time."""


class RadianceTransformer(ModelMixin, ConfigMixin):
    """The denoiser of Chroma Radiance: noisy pixels in, the velocity noise - picture out."""

    _supports_gradient_checkpointing = True
    _repeated_blocks = ("ChromaTransformerBlock", "ChromaSingleTransformerBlock")

    @register_to_config
    def __init__(  # noqa: PLR0913  (the entries of a config)
        self,
        *,
        channels: int = 3,
        patch_size: int = 16,
        num_layers: int = 19,
        num_single_layers: int = 38,
        attention_head_dim: int = 128,
        num_attention_heads: int = 24,
        joint_attention_dim: int = 4096,
        axes_dims_rope: tuple[int, ...] = (16, 56, 56),
        approximator_num_channels: int = 64,
        approximator_hidden_dim: int = 5120,
        approximator_layers: int = 5,
        nerf_hidden_size: int = 64,
        nerf_mlp_ratio: int = 4,
        nerf_depth: int = 4,
        nerf_max_freqs: int = 8,
        final_head: str = "conv",
        predicts_picture: bool = False,
    ) -> None:
        """`predicts_picture`: the net itself predicts the picture, and the velocity is worked out of it."""
        super().__init__()
        width = num_attention_heads * attention_head_dim
        self.pos_embed = FluxPosEmbed(theta=10000, axes_dim=axes_dims_rope)
        # Two more modulations than are used: those of the last layer that Chroma has here.
        self.time_text_embed = ChromaCombinedTimestepTextProjEmbeddings(
            num_channels=approximator_num_channels // 4, out_dim=3 * num_single_layers + 12 * num_layers + 2
        )
        self.distilled_guidance_layer = ChromaApproximator(
            in_dim=approximator_num_channels,
            out_dim=width,
            hidden_dim=approximator_hidden_dim,
            n_layers=approximator_layers,
        )
        self.context_embedder = nn.Linear(joint_attention_dim, width)
        self.patch_embedder = nn.Conv2d(channels, width, patch_size, stride=patch_size)
        sizes = {"dim": width, "num_attention_heads": num_attention_heads, "attention_head_dim": attention_head_dim}
        self.transformer_blocks = nn.ModuleList(ChromaTransformerBlock(**sizes) for _ in range(num_layers))
        self.single_transformer_blocks = nn.ModuleList(
            ChromaSingleTransformerBlock(**sizes) for _ in range(num_single_layers)
        )
        self.nerf_image_embedder = PixelEmbedder(channels, nerf_hidden_size, nerf_max_freqs)
        self.nerf_blocks = nn.ModuleList(
            PatchNetwork(width, nerf_hidden_size, nerf_mlp_ratio) for _ in range(nerf_depth)
        )
        name, head = HEADS[final_head]
        self.add_module(name, head(nerf_hidden_size, channels))
        self.gradient_checkpointing = False
        chroma.use_key_masks(self)

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        timestep: Tensor,
        attention_mask: Tensor | None = None,
    ) -> tuple[Tensor]:
        """The velocity (B, channels, H, W) of noisy pixels `hidden_states` of that shape.

        `encoder_hidden_states` (B, L, width of T5); `timestep` (B,) is sigma, 0..1; `attention_mask` (B, L + patches)
        says what is attended to.
        """
        painted = self.paint(hidden_states, self.body(hidden_states, encoder_hidden_states, timestep, attention_mask))
        if self.config.predicts_picture:
            time = timestep.to(painted.dtype).clamp(min=SMALLEST_TIME).view(-1, 1, 1, 1)
            painted = (hidden_states - painted) / time
        return (painted,)

    def body(self, pixels: Tensor, text: Tensor, timestep: Tensor, mask: Tensor | None) -> Tensor:
        """(B, patches, width)."""
        rows, columns = (side // self.config.patch_size for side in pixels.shape[-2:])
        image = self.patch_embedder(pixels).flatten(2).transpose(1, 2)
        modulation = self.distilled_guidance_layer(self.time_text_embed(timestep.to(image.dtype) * 1000))
        text = self.context_embedder(text)
        text_length = text.shape[1]
        no_place = torch.zeros(text_length, 3, device=pixels.device)
        positions = self.pos_embed(torch.cat([no_place, image_ids(rows, columns, pixels.device)]))
        # Modulations lie one behind the other: single blocks, pictures in double blocks, texts in double blocks.
        of_image = 3 * len(self.single_transformer_blocks)
        of_text = of_image + 6 * len(self.transformer_blocks)
        for number, block in enumerate(self.transformer_blocks):
            starts = (of_image + 6 * number, of_text + 6 * number)
            mine = torch.cat([modulation[:, start : start + 6] for start in starts], dim=1)
            text, image = self._run(block, image, text, mine, positions, mask)
        together = torch.cat([text, image], dim=1)
        for number, block in enumerate(self.single_transformer_blocks):
            mine = modulation[:, 3 * number : 3 * number + 3]
            together = self._run(block, together, mine, positions, mask)
        return together[:, text_length:]

    def paint(self, pixels: Tensor, patches: Tensor) -> Tensor:
        """(B, channels, H, W) from noisy pixels of that shape and the body's output for each patch."""
        batch, channels, height, width = pixels.shape
        side = self.config.patch_size
        flat = patches.flatten(0, 1)
        noisy = F.unfold(pixels, side, stride=side).transpose(1, 2).reshape(len(flat), channels, side**2)
        features = self.nerf_image_embedder(noisy.transpose(1, 2))
        for block in self.nerf_blocks:
            features = self._run(block, features, flat)
        features = features.transpose(1, 2).reshape(batch, patches.shape[1], -1).transpose(1, 2)
        head = self.get_submodule(HEADS[self.config.final_head][0])
        painted: Tensor = head(F.fold(features, (height, width), side, stride=side))
        return painted

    def _run(self, block: nn.Module, *inputs: Any) -> Any:
        if torch.is_grad_enabled() and self.gradient_checkpointing:
            return self._gradient_checkpointing_func(block, *inputs)
        return block(*inputs)


# The pipeline


class ChromaRadiancePipeline(DiffusionPipeline):
    """Text to pixels; the call is that of diffusers' ChromaPipeline."""

    def __init__(self, scheduler: Any, text_encoder: Any, tokenizer: Any, transformer: RadianceTransformer) -> None:
        super().__init__()
        self.register_modules(
            scheduler=scheduler, text_encoder=text_encoder, tokenizer=tokenizer, transformer=transformer
        )
        self.image_processor = VaeImageProcessor(vae_scale_factor=transformer.config.patch_size)

    @torch.no_grad()
    def __call__(  # noqa: PLR0913  (the arguments of pipelines)
        self,
        prompt: str | list[str],
        negative_prompt: str | list[str] | None = None,
        *,
        height: int = 1024,
        width: int = 1024,
        num_inference_steps: int = 35,
        guidance_scale: float = 5.0,
        max_sequence_length: int = chroma.TEXT_LENGTH,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
    ) -> ImagePipelineOutput:
        """Pictures for the texts. `guidance_scale` 1 leaves the negative text out."""
        texts = [prompt] if isinstance(prompt, str) else prompt
        device, dtype = self._execution_device, self.transformer.dtype
        told = self.encode_prompt(texts, max_sequence_length)
        untold = None
        if guidance_scale > 1:
            negative = negative_prompt or ""
            untold = self.encode_prompt(
                [negative] * len(texts) if isinstance(negative, str) else negative, max_sequence_length
            )
        pixels = randn_tensor((len(texts), 3, height, width), generator=generator, device=device, dtype=dtype)
        patches = height * width // self.transformer.config.patch_size**2
        config = self.scheduler.config
        mu = calculate_shift(
            patches,
            config.get("base_image_seq_len", 256),
            config.get("max_image_seq_len", 4096),
            config.get("base_shift", 0.5),
            config.get("max_shift", 1.15),
        )
        sigmas = torch.linspace(1, 1 / num_inference_steps, num_inference_steps).tolist()
        timesteps, _ = retrieve_timesteps(self.scheduler, num_inference_steps, device, sigmas=sigmas, mu=mu)
        self.scheduler.set_begin_index(0)
        for time in self.progress_bar(timesteps):
            velocity = self._velocity(pixels, time, told)
            if untold is not None:
                plain = self._velocity(pixels, time, untold)
                velocity = plain + guidance_scale * (velocity - plain)
            pixels = self.scheduler.step(velocity, time, pixels, return_dict=False)[0]
        return ImagePipelineOutput(images=self.image_processor.postprocess(pixels, output_type=output_type))

    def encode_prompt(self, texts: list[str], length: int) -> dict[str, Tensor]:
        """Hidden states, and a mask where lengths differ, of one batch."""
        return pad_and_mask(chroma.encode_prompts(self.tokenizer, self.text_encoder, texts, length))

    def _velocity(self, pixels: Tensor, time: Tensor, told: dict[str, Tensor]) -> Tensor:
        patches = math.prod(pixels.shape[-2:]) // self.transformer.config.patch_size**2
        velocity: Tensor = self.transformer(
            hidden_states=pixels,
            encoder_hidden_states=told["hidden_states"].to(pixels.dtype),
            timestep=time.expand(len(pixels)).to(pixels.dtype) / 1000,
            attention_mask=chroma.whole_mask(told, patches),
        )[0]
        return velocity
