"""The transformer of OmniGen2, which diffusers lacks, its texts, and a pipeline for it.

Blocks and embedders are those of Lumina 2. Its own are positions on three axes that texts and pictures share, a unit of
time, and layers for reference pictures. Texts make one sequence with the picture, text first.

Facts from VectorSpaceLab/OmniGen2 (omnigen2/models/transformers, omnigen2/pipelines, omnigen2/schedulers).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import ConfigMixin, DiffusionPipeline, FlowMatchEulerDiscreteScheduler, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn
from diffusers.models.embeddings import Timesteps
from diffusers.models.normalization import LuminaLayerNormContinuous
from diffusers.models.transformers.transformer_lumina2 import (
    Lumina2CombinedTimestepCaptionEmbedding,
    Lumina2TransformerBlock,
)
from diffusers.pipelines.flux.pipeline_flux import retrieve_timesteps
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor, nn

from loratory.models.base import Conditioning
from loratory.models.common.texts import pad_and_mask
from loratory.models.common.vae import decode

SYSTEM_MESSAGE = "You are a helpful assistant that generates high-quality images based on user instructions."
TEXT_LENGTH = 1024
"""Tokens of a text, with the system's message; what the authors' program gives its pipeline."""

Rotation = tuple[Tensor, Tensor]
"""Cosine and sine, (B or 1, tokens, 1, half the width of a head) float32."""

# The transformer


class RotaryAttention:
    """Attention with rotary positions, where several heads share a key; by way of diffusers' dispatcher."""

    _attention_backend: AttentionBackendName | None = None

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Rotation | None = None,
    ) -> Tensor:
        """(B, tokens, width) to the same shape; `attention_mask` (B, tokens) says what is read."""
        head = attn.inner_dim // attn.heads
        query = attn.norm_q(attn.to_q(hidden_states).unflatten(-1, (-1, head)))
        key = attn.norm_k(attn.to_k(encoder_hidden_states).unflatten(-1, (-1, head)))
        value = attn.to_v(encoder_hidden_states).unflatten(-1, (-1, head))
        if image_rotary_emb is not None:
            query, key = rotated(query, image_rotary_emb), rotated(key, image_rotary_emb)
        sharing = attn.heads // key.shape[2]
        # Repeated: not every backend knows heads that share a key.
        key, value = (each.to(query.dtype).repeat_interleave(sharing, dim=2) for each in (key, value))
        mask = None if attention_mask is None else attention_mask[:, None, None, :]
        mixed = dispatch_attention_fn(
            query, key, value, attn_mask=mask, scale=attn.scale, backend=self._attention_backend
        )
        output: Tensor = mixed.flatten(2, 3)
        for layer in attn.to_out:
            output = layer(output)
        return output


def rotated(x: Tensor, rotation: Rotation) -> Tensor:
    """(B, tokens, heads, width): each pair of neighbouring numbers turned by the angle of its token."""
    cosine, sine = rotation
    first, second = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
    return turned.flatten(-2).to(x.dtype)


def rotation(positions: Tensor, axes: Sequence[int], theta: int = 10000) -> Rotation:
    """For positions (B, tokens, 3), with as many numbers of a head for each axis as `axes` says."""
    exact = torch.float32 if positions.device.type == "mps" else torch.float64
    angles = []
    for axis, width in enumerate(axes):
        powers = torch.arange(0, width, 2, device=positions.device, dtype=exact) / width
        angles.append(positions[..., axis, None].to(exact) / theta**powers)
    angle = torch.cat(angles, dim=-1)[:, :, None]
    return angle.cos().float(), angle.sin().float()


def token_positions(lengths: Tensor, text_tokens: int, rows: int, columns: int) -> Tensor:
    """(B, text and image tokens, 3) from the texts' lengths (B,).

    A token of text has its number on each axis; a patch has the text's length, its row and its column.
    """
    device, batch = lengths.device, len(lengths)
    text = torch.arange(text_tokens, device=device)[None, :, None].expand(batch, -1, 3)
    grid = torch.empty(batch, rows, columns, 3, device=device, dtype=text.dtype)
    grid[..., 0] = lengths[:, None, None]
    grid[..., 1] = torch.arange(rows, device=device)[:, None]
    grid[..., 2] = torch.arange(columns, device=device)
    return torch.cat([text, grid.flatten(1, 2)], dim=1)


class OmniGen2Transformer2DModel(ModelMixin, ConfigMixin):
    """The denoiser of OmniGen2: noisy latents in, the velocity picture - noise out.

    The layers for reference pictures (`ref_image_patch_embedder`, `ref_image_refiner`, `image_index_embedding`) are
    there, so that files are whole, and are not used yet.
    """

    _supports_gradient_checkpointing = True
    _repeated_blocks = ("Lumina2TransformerBlock",)

    @register_to_config
    def __init__(  # noqa: PLR0913  (the entries of the published config)
        self,
        *,
        patch_size: int = 2,
        in_channels: int = 16,
        out_channels: int | None = None,
        hidden_size: int = 2520,
        num_layers: int = 32,
        num_refiner_layers: int = 2,
        num_attention_heads: int = 21,
        num_kv_heads: int = 7,
        multiple_of: int = 256,
        ffn_dim_multiplier: float | None = None,
        norm_eps: float = 1e-5,
        axes_dim_rope: tuple[int, ...] = (40, 40, 40),
        axes_lens: tuple[int, ...] = (10000, 10000, 10000),
        text_feat_dim: int = 2048,
        timestep_scale: float = 1000.0,
    ) -> None:
        """`axes_lens`, the lengths of the authors' tables of positions, has no effect: there are no tables here."""
        super().__init__()

        def blocks(count: int, modulation: bool = True) -> nn.ModuleList:
            sizes = (hidden_size, num_attention_heads, num_kv_heads, multiple_of, ffn_dim_multiplier, norm_eps)
            return nn.ModuleList(Lumina2TransformerBlock(*sizes, modulation=modulation) for _ in range(count))

        patch = patch_size**2 * in_channels
        self.x_embedder = nn.Linear(patch, hidden_size)
        self.ref_image_patch_embedder = nn.Linear(patch, hidden_size)
        self.time_caption_embed = Lumina2CombinedTimestepCaptionEmbedding(
            hidden_size=hidden_size, cap_feat_dim=text_feat_dim, norm_eps=norm_eps
        )
        self.time_caption_embed.time_proj = Timesteps(
            num_channels=256, flip_sin_to_cos=True, downscale_freq_shift=0.0, scale=timestep_scale
        )
        self.noise_refiner = blocks(num_refiner_layers)
        self.ref_image_refiner = blocks(num_refiner_layers)
        self.context_refiner = blocks(num_refiner_layers, modulation=False)
        self.layers = blocks(num_layers)
        self.norm_out = LuminaLayerNormContinuous(
            embedding_dim=hidden_size,
            conditioning_embedding_dim=min(hidden_size, 1024),
            elementwise_affine=False,
            eps=1e-6,
            out_dim=patch_size**2 * (out_channels or in_channels),
        )
        self.image_index_embedding = nn.Parameter(0.02 * torch.randn(5, hidden_size))
        self.gradient_checkpointing = False
        for block in (*self.noise_refiner, *self.ref_image_refiner, *self.context_refiner, *self.layers):
            block.attn.set_processor(RotaryAttention())

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        timestep: Tensor,
        attention_mask: Tensor | None = None,
    ) -> tuple[Tensor]:
        """The velocity picture - noise (B, C, h, w) of noisy latents `hidden_states` of that shape.

        `encoder_hidden_states` (B, L, width of the text encoder); `timestep` (B,) goes from 0, noise, to 1, picture;
        `attention_mask` (B, L) of bool says what is text, which comes before any padding.
        """
        batch, text_tokens = encoder_hidden_states.shape[:2]
        side = self.config.patch_size
        rows, columns = (length // side for length in hidden_states.shape[-2:])
        time, text = self.time_caption_embed(hidden_states, timestep, encoder_hidden_states)
        if attention_mask is None:
            lengths, whole_mask = torch.tensor([text_tokens], device=text.device), None
        else:
            attention_mask = attention_mask.bool()
            lengths = attention_mask.sum(dim=1)
            whole_mask = torch.cat([attention_mask, attention_mask.new_ones(batch, rows * columns)], dim=1)
        places = rotation(token_positions(lengths, text_tokens, rows, columns), self.config.axes_dim_rope)
        text_places = places[0][:, :text_tokens], places[1][:, :text_tokens]
        image_places = places[0][:, text_tokens:], places[1][:, text_tokens:]
        for block in self.context_refiner:
            text = self._run(block, text, attention_mask, text_places)
        image = self.x_embedder(self._patches(hidden_states))
        for block in self.noise_refiner:
            image = self._run(block, image, None, image_places, time)
        together = torch.cat([text, image], dim=1)
        for block in self.layers:
            together = self._run(block, together, whole_mask, places, time)
        tiles = self.norm_out(together, time)[:, text_tokens:].unflatten(2, (side, side, -1))
        velocity = tiles.unflatten(1, (rows, columns)).permute(0, 5, 1, 3, 2, 4)
        return (velocity.reshape(batch, -1, rows * side, columns * side),)

    def _patches(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, tokens, numbers of a patch), channel last."""
        side = self.config.patch_size
        tiles = latents.unflatten(3, (-1, side)).unflatten(2, (-1, side))
        return tiles.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)

    def _run(self, block: nn.Module, *inputs: Any) -> Any:
        if torch.is_grad_enabled() and self.gradient_checkpointing:
            return self._gradient_checkpointing_func(block, *inputs)
        return block(*inputs)


# Texts


def encode_prompts(tokenizer: Any, encoder: Any, texts: Sequence[str], length: int = TEXT_LENGTH) -> list[Conditioning]:
    """`hidden_states` (length, width) of a conversation: a message of the system and the text, no answer.

    They are the last ones of Qwen2.5-VL, after its norm.
    """
    if not texts:
        return []
    conversations = [
        tokenizer.apply_chat_template(
            [{"role": "system", "content": SYSTEM_MESSAGE}, {"role": "user", "content": text}],
            tokenize=False,
            add_generation_prompt=False,
        )
        for text in texts
    ]
    encoded = tokenizer(
        conversations, padding="longest", padding_side="right", truncation=True, max_length=length,
        return_tensors="pt",
    )  # fmt: skip
    mask = encoded.attention_mask.to(encoder.device)
    output = encoder.model(  # without the last layer, which would guess the next words
        input_ids=encoded.input_ids.to(encoder.device), attention_mask=mask, use_cache=False
    )
    lengths = encoded.attention_mask.sum(1).tolist()
    return [{"hidden_states": states[:count]} for states, count in zip(output.last_hidden_state, lengths, strict=True)]


# The pipeline


def scheduler_of(config: dict[str, Any]) -> FlowMatchEulerDiscreteScheduler:
    """diffusers' scheduler for the config of the authors' own, which counts time the other way round.

    They shift t, from noise at 0, to t / (m - m t + t). For sigma = 1 - t that is m sigma / (1 + (m - 1) sigma), which
    is diffusers' dynamic shift with mu = log m.
    """
    return FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=config.get("num_train_timesteps", 1000),
        use_dynamic_shifting=bool(config.get("dynamic_time_shift", True)),
    )


def time_of(sigma: Tensor) -> Tensor:
    """The net's own time for sigma times 1000."""
    return 1 - sigma / 1000


class OmniGen2Pipeline(DiffusionPipeline):
    """Text to picture; the call is that of the authors' pipeline of this name, without reference pictures."""

    def __init__(
        self, transformer: OmniGen2Transformer2DModel, vae: Any, scheduler: Any, mllm: Any, processor: Any
    ) -> None:
        """`mllm` is Qwen2.5-VL; `processor` its tokenizer alone."""
        super().__init__()
        self.register_modules(transformer=transformer, vae=vae, scheduler=scheduler, mllm=mllm, processor=processor)
        self.vae_scale_factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self.image_processor = VaeImageProcessor(vae_scale_factor=2 * self.vae_scale_factor)

    @torch.no_grad()
    def __call__(  # noqa: PLR0913  (the arguments of pipelines)
        self,
        prompt: str | list[str],
        negative_prompt: str | list[str] | None = None,
        *,
        height: int = 1024,
        width: int = 1024,
        num_inference_steps: int = 28,
        text_guidance_scale: float = 4.0,
        max_sequence_length: int = TEXT_LENGTH,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
    ) -> ImagePipelineOutput:
        """Pictures for the texts. `text_guidance_scale` 1 leaves the negative text out."""
        texts = [prompt] if isinstance(prompt, str) else prompt
        device, dtype = self._execution_device, self.transformer.dtype
        told = self.encode_prompt(texts, max_sequence_length)
        untold = None
        if text_guidance_scale > 1:
            negative = negative_prompt or ""
            untold = self.encode_prompt(
                [negative] * len(texts) if isinstance(negative, str) else negative, max_sequence_length
            )
        rows, columns = height // self.vae_scale_factor, width // self.vae_scale_factor
        channels = self.transformer.config.in_channels
        latents = randn_tensor((len(texts), channels, rows, columns), generator=generator, device=device, dtype=dtype)
        # A shift of 1 for a picture of 320x320.
        mu = math.log(math.sqrt(rows * columns) / 40)
        sigmas = torch.linspace(1, 1 / num_inference_steps, num_inference_steps).tolist()
        timesteps, _ = retrieve_timesteps(self.scheduler, num_inference_steps, device, sigmas=sigmas, mu=mu)
        self.scheduler.set_begin_index(0)
        for time in self.progress_bar(timesteps):
            velocity = self._velocity(latents, time, told)
            if untold is not None:
                plain = self._velocity(latents, time, untold)
                velocity = plain + text_guidance_scale * (velocity - plain)
            latents = self.scheduler.step(velocity, time, latents, return_dict=False)[0]
        pixels = decode(self.vae, latents)
        return ImagePipelineOutput(images=self.image_processor.postprocess(pixels, output_type=output_type))

    def encode_prompt(self, texts: list[str], length: int) -> Conditioning:
        """Hidden states, and a mask where lengths differ, of one batch."""
        return pad_and_mask(encode_prompts(self.processor, self.mllm, texts, length))

    def _velocity(self, latents: Tensor, time: Tensor, told: Conditioning) -> Tensor:
        """noise - picture, as schedulers want it."""
        picture_minus_noise: Tensor = self.transformer(
            hidden_states=latents,
            encoder_hidden_states=told["hidden_states"].to(latents.dtype),
            timestep=time_of(time.expand(len(latents))).to(latents.dtype),
            attention_mask=told.get("mask"),
        )[0]
        return -picture_minus_noise
