"""Stable Diffusion 3: a transformer over picture and text together, told by two CLIP text encoders and T5."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, T5EncoderModel, T5TokenizerFast

from loratory.config.architectures import ArchitectureSpec, Shapes
from loratory.config.architectures.header import PREFIXES, strip_prefix
from loratory.config.architectures.mmdit import layers_of_native, mmdit_places
from loratory.config.identify import read_json
from loratory.models.base import Components, Conditioning, Source
from loratory.models.common import clip, convert, vae
from loratory.models.common.checkpoint import Checkpoint, Tensors
from loratory.models.common.loading import CONFIGS, Part, Request, gather
from loratory.models.common.pipelines import around

TEXT_LENGTH = 256
"""T5 tokens, beside the 77 of CLIP."""

CLIP_L_PREFIX = "text_encoders.clip_l.transformer."
CLIP_G_PREFIX = "text_encoders.clip_g.transformer."
T5_PREFIX = "text_encoders.t5xxl.transformer."


def transformer_tensors(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The transformer of a single file under diffusers' names, whatever its size."""
    prefixed = convert.with_prefix(tensors, PREFIXES)
    found = prefixed or tensors
    if "pos_embed.proj.weight" in found:
        return found
    converted: Tensors = {}
    for name, value in found.items():
        module, _, leaf = name.rpartition(".")
        layers = layers_of_native(module)
        if name == "pos_embed":
            converted["pos_embed.pos_embed"] = value
        elif layers:
            parts = value.chunk(len(layers))
            converted.update({f"{layer}.{leaf}": part for layer, part in zip(layers, parts, strict=True)})
        elif prefixed:
            converted[name] = value  # so that the comparison with the model reports it
    places = mmdit_places([name.rpartition(".")[0] for name in converted])
    for name, value in converted.items():
        if places[name.rpartition(".")[0]].swapped:
            shift, scale = value.chunk(2)
            converted[name] = torch.cat([scale, shift])
    return converted


def _fit_config(settings: dict[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything in which the sizes differ, as the file has it."""
    shapes = strip_prefix(checkpoint.shapes)
    blocks = re.findall(r"^(?:joint_blocks|transformer_blocks)\.(\d+)\.", "\n".join(shapes), re.MULTILINE)
    second = re.findall(
        r"^(?:joint_blocks\.(\d+)\.x_block|transformer_blocks\.(\d+))\.attn2\.", "\n".join(shapes), re.MULTILINE
    )
    patches = shapes.get("x_embedder.proj.weight") or shapes.get("pos_embed.proj.weight") or (0,)
    positions = shapes.get("pos_embed") or shapes.get("pos_embed.pos_embed") or (1, settings["pos_embed_max_size"] ** 2)
    context = shapes.get("context_embedder.weight") or (settings["caption_projection_dim"],)
    return settings | {
        "num_layers": max(map(int, blocks), default=-1) + 1,
        "dual_attention_layers": sorted({int(native or ours) for native, ours in second}),
        "qk_norm": "rms_norm" if _norms_queries(shapes) else None,
        "num_attention_heads": patches[0] // settings["attention_head_dim"],
        "caption_projection_dim": context[0],
        "pos_embed_max_size": math.isqrt(positions[1]),
    }


def _norms_queries(shapes: Shapes) -> bool:
    return any(name.endswith((".ln_q.weight", ".norm_q.weight")) for name in shapes)


PARTS = (
    Part(
        "transformer",
        SD3Transformer2DModel,
        transformer_tensors,
        convert_alone=transformer_tensors,
        adjust=_fit_config,
        makes_large_tables=True,  # of positions: 2 GB in float64 for 3.5 Medium
    ),
    Part("vae", vae.AnyPrecisionAutoencoder, convert.ldm_vae, convert.VAE_PREFIXES, convert.vae_file),
    Part(
        "text_encoder",
        CLIPTextModelWithProjection,
        convert.projected_clip(CLIP_L_PREFIX),
        (CLIP_L_PREFIX,),
        convert.maybe_projected_clip_file,
    ),
    Part(
        "text_encoder_2",
        CLIPTextModelWithProjection,
        convert.projected_clip(CLIP_G_PREFIX),
        (CLIP_G_PREFIX,),
        convert.maybe_projected_clip_file,
    ),
    Part("text_encoder_3", T5EncoderModel, convert.t5(T5_PREFIX), (T5_PREFIX,)),
)


@dataclass
class StableDiffusion3:
    """The methods are those of `models.base.Architecture`."""

    spec: ArchitectureSpec
    components: Components
    source: Source
    precision: torch.dtype
    scheduler: FlowMatchEulerDiscreteScheduler
    text_length: int = TEXT_LENGTH
    """Tokens of a text that are read at most."""
    noise_schedule: None = None

    def encode_prompts(self, texts: Sequence[str]) -> list[Conditioning]:
        """`hidden_states` (77 + 256, width of T5): the last layer but one of both CLIP encoders beside each other, then
        T5's last; zeros fill what CLIP lacks in width, and stand for T5 where there is none. `pooled`: the projected
        end tokens of both CLIP encoders.

        Padded, because the pipeline runs all three without a mask: padding is attended to and differs from text to
        text.
        """
        if not texts:
            return []
        first, first_pooled = self._clip("text_encoder", "tokenizer", texts)
        second, second_pooled = self._clip("text_encoder_2", "tokenizer_2", texts)
        both = torch.cat([first, second], dim=-1)
        long = self._t5(texts, both)
        hidden = torch.cat([functional.pad(both, (0, long.shape[-1] - both.shape[-1])), long], dim=1)
        pooled = torch.cat([first_pooled, second_pooled], dim=-1)
        return [{"hidden_states": h, "pooled": p} for h, p in zip(hidden, pooled, strict=True)]

    def _clip(self, name: str, tokenizer: str, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        encoder: Any = self.components.text_encoders[name]
        ids = clip.token_ids(self.components.tokenizers[tokenizer], texts, encoder.device)
        output = encoder(ids, output_hidden_states=True)
        return output.hidden_states[-2], output.text_embeds

    def _t5(self, texts: Sequence[str], like: Tensor) -> Tensor:
        """(B, 256, width), zeros without the encoder, as the pipeline does it."""
        encoder: Any = self.components.text_encoders.get("text_encoder_3")
        if encoder is None:
            denoiser: Any = self.components.denoiser
            return like.new_zeros(len(texts), self.text_length, denoiser.config.joint_attention_dim)
        tokenizer: Any = self.components.tokenizers["tokenizer_3"]
        ids = tokenizer(
            list(texts), padding="max_length", max_length=self.text_length, truncation=True, return_tensors="pt"
        ).input_ids
        hidden: Tensor = encoder(ids.to(encoder.device)).last_hidden_state
        return hidden

    def collate(self, conditionings: Sequence[Conditioning]) -> Conditioning:
        """Stack; all texts have the same length."""
        return {name: torch.stack([one[name] for one in conditionings]) for name in ("hidden_states", "pooled")}

    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says."""
        return vae.encode_images(self.components.vae, pixels)

    def decode(self, latents: Tensor) -> Tensor:
        """As the protocol says."""
        return vae.decode(self.components.vae, latents)

    def predict(self, noisy: Tensor, times: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """As the protocol says, `times` being sigma; `sizes` has no effect."""
        output: Tensor = self.components.denoiser(
            hidden_states=noisy.to(self.precision),
            # In float32, as the pipeline has it: the model's sines need more than bfloat16's steps of 4 at 1000.
            timestep=times * 1000,
            encoder_hidden_states=conditioning["hidden_states"].to(self.precision),
            pooled_projections=conditioning["pooled"].to(self.precision),
            return_dict=False,
        )[0]
        return output.float()

    def pipeline(self) -> StableDiffusion3Pipeline:
        """A StableDiffusion3Pipeline around the same modules."""
        there = self.components.text_encoders | self.components.tokenizers
        absent = {name: None for name in ("text_encoder_3", "tokenizer_3") if name not in there}
        return around(StableDiffusion3Pipeline, self.components, self.scheduler, **absent)


# Kinds: folder in configs, kohya's name


def _kind(queries_are_normed: bool, has_second_attention: bool) -> tuple[str, str]:
    if has_second_attention:
        return "sd3-5-medium", "5-medium"
    return ("sd3-5-large", "5-large") if queries_are_normed else ("sd3-medium", "medium")


def _kind_of(request: Request) -> tuple[str, str]:
    if request.checkpoint is not None:
        shapes = request.checkpoint.shapes
        return _kind(_norms_queries(shapes), any(".attn2." in name for name in shapes))
    config = read_json(request.path / "transformer" / "config.json")
    return _kind(config.get("qk_norm") is not None, bool(config.get("dual_attention_layers")))


def load(request: Request) -> StableDiffusion3:
    """Load from a folder in diffusers layout or a single file. Raises UserError for files that do not fit."""
    folder, kind = _kind_of(request)
    gathered = gather(request, PARTS, [CLIPTokenizer, CLIPTokenizer, T5TokenizerFast], CONFIGS / folder)
    settings = read_json(gathered.configs("scheduler", "scheduler_config.json") / "scheduler_config.json")
    return StableDiffusion3(
        spec=request.spec,
        scheduler=FlowMatchEulerDiscreteScheduler.from_config(settings),
        components=gathered.load(),
        source=replace(request.source, base_model_version=kind, modelspec_architecture=f"stable-diffusion-3-{kind}"),
        precision=request.precision,
    )
