"""Flux.1 dev and schnell: a transformer over patches of 2x2 latents and T5 tokens, trained by flow matching."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5TokenizerFast

from loratory.config.architectures import ArchitectureSpec, Shapes
from loratory.config.architectures.header import PREFIXES
from loratory.config.identify import read_json
from loratory.models.base import Components, Conditioning, Source
from loratory.models.common import clip, convert, vae
from loratory.models.common.checkpoint import Checkpoint, Tensors
from loratory.models.common.loading import CONFIGS, Gathered, Part, Request, gather

TEXT_LENGTH_DEV = 512
TEXT_LENGTH_SCHNELL = 256

# Outside of the blocks: Black Forest Labs' module -> diffusers'.
_MODULES = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer.linear": "proj_out",
}
# Inside of a double block and of a single block.
_DOUBLE = {
    "img_mod.lin": "norm1.linear",
    "txt_mod.lin": "norm1_context.linear",
    "img_attn.norm.query_norm": "attn.norm_q",
    "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q",
    "txt_attn.norm.key_norm": "attn.norm_added_k",
    "img_attn.proj": "attn.to_out.0",
    "txt_attn.proj": "attn.to_add_out",
    "img_mlp.0": "ff.net.0.proj",
    "img_mlp.2": "ff.net.2",
    "txt_mlp.0": "ff_context.net.0.proj",
    "txt_mlp.2": "ff_context.net.2",
}
_SINGLE = {
    "modulation.lin": "norm.linear",
    "norm.query_norm": "attn.norm_q",
    "norm.key_norm": "attn.norm_k",
    "linear2": "proj_out",
}
# Projections that are one matrix there and several here, in the order of their rows.
_FUSED = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
}
_BLOCK = re.compile(r"(double|single)_blocks\.(\d+)\.(.+)\.(weight|bias|scale)")


def transformer_tensors(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The transformer of a single file under diffusers' names, whatever its widths."""
    found = convert.with_prefix(tensors, PREFIXES) or tensors
    if "x_embedder.weight" in found:
        return found
    converted: Tensors = {}
    for name, value in found.items():
        block = _BLOCK.fullmatch(name)
        module, _, leaf = name.rpartition(".")
        if block:
            converted.update(_block_tensors(block, value, found))
        elif module == "final_layer.adaLN_modulation.1":
            # Shift then scale there, scale then shift here.
            shift, scale = value.chunk(2)
            converted[f"norm_out.linear.{leaf}"] = torch.cat([scale, shift])
        elif module in _MODULES:
            converted[f"{_MODULES[module]}.{leaf}"] = value
    return converted


def _block_tensors(match: re.Match[str], value: Tensor, tensors: Tensors) -> Tensors:
    kind, number, module, leaf = match.groups()
    start = f"transformer_blocks.{number}." if kind == "double" else f"single_transformer_blocks.{number}."
    if module in _FUSED:
        # The width is that of the block's output; what is left of `linear1` after three of it is the MLP's.
        width = value.shape[0] // 3 if kind == "double" else tensors[f"single_blocks.{number}.linear2.weight"].shape[0]
        parts = value.split([width, width, width, value.shape[0] - 3 * width][: len(_FUSED[module])])
        return {f"{start}{name}.{leaf}": part for name, part in zip(_FUSED[module], parts, strict=True)}
    names = _DOUBLE if kind == "double" else _SINGLE
    # An unknown module keeps its name, so that the comparison with the model reports it.
    return {f"{start}{names.get(module, module)}.{'weight' if leaf == 'scale' else leaf}": value}


def has_guidance(shapes: Shapes) -> bool:
    """Is it of dev's kind, which is told how strong guidance shall be (schnell is not)?"""
    return any(name.endswith(("guidance_in.in_layer.weight", "guidance_embedder.linear_1.weight")) for name in shapes)


def _fit_config(settings: dict[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    """Blocks and guidance as the file has them: pruned models and merges of dev and schnell differ in nothing else."""
    names = "\n".join(checkpoint.shapes)
    double = re.findall(r"(?:^|\.)(?:double_blocks|transformer_blocks)\.(\d+)\.", names, re.MULTILINE)
    single = re.findall(r"(?:^|\.)(?:single_blocks|single_transformer_blocks)\.(\d+)\.", names, re.MULTILINE)
    return settings | {
        "num_layers": max(map(int, double), default=-1) + 1,
        "num_single_layers": max(map(int, single), default=-1) + 1,
        "guidance_embeds": has_guidance(checkpoint.shapes),
    }


PARTS = (
    Part(
        "transformer",
        FluxTransformer2DModel,
        transformer_tensors,
        convert_alone=transformer_tensors,
        adjust=_fit_config,
    ),
    Part("vae", vae.AnyPrecisionAutoencoder, convert.ldm_vae, convert.VAE_PREFIXES, convert.vae_file),
    # Files that bundle text encoders are rare and mostly quantised: these always come from a folder.
    Part("text_encoder", CLIPTextModel, convert_alone=convert.clip_file),
    Part("text_encoder_2", T5EncoderModel),
)


class OwnLengthPipeline(FluxPipeline):
    """A FluxPipeline whose texts have the model's length unless the caller says another; its own default is dev's."""

    text_length = TEXT_LENGTH_DEV

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """As FluxPipeline."""
        return super().__call__(*arguments, **{"max_sequence_length": self.text_length, **named})


@dataclass
class Flux1:
    """The methods are those of `models.base.Architecture`."""

    spec: ArchitectureSpec
    components: Components
    source: Source
    precision: torch.dtype
    scheduler: FlowMatchEulerDiscreteScheduler
    text_length: int
    """T5 tokens: 512 for dev, 256 for schnell."""
    guidance: float = 1.0
    """What a model of dev's kind is told while it trains: 1 keeps its distilled guidance out of the loss."""
    noise_schedule: None = None

    def encode_prompts(self, texts: Sequence[str]) -> list[Conditioning]:
        """`hidden_states` (text_length, width) of T5 and `pooled` (width) of CLIP.

        Padded, because the pipeline runs T5 without a mask: padding is attended to, differs from text to text, and
        the transformer reads all of it.
        """
        if not texts:
            return []
        encoder, encoder_2 = (self.components.text_encoders[name] for name in ("text_encoder", "text_encoder_2"))
        ids = clip.token_ids(self.components.tokenizers["tokenizer"], texts, encoder.device)
        tokenizer_2: Any = self.components.tokenizers["tokenizer_2"]
        ids_2 = tokenizer_2(
            list(texts), padding="max_length", max_length=self.text_length, truncation=True, return_tensors="pt"
        ).input_ids
        pooled = encoder(ids).pooler_output
        hidden = encoder_2(ids_2.to(encoder_2.device)).last_hidden_state
        return [{"hidden_states": h, "pooled": p} for h, p in zip(hidden, pooled, strict=True)]

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
        """As the protocol says, `times` being sigma; `sizes` has no effect. A `guidance` (B,) in the conditioning takes
        the place of the usual one."""
        denoiser: Any = self.components.denoiser
        height, width = noisy.shape[-2:]
        hidden = conditioning["hidden_states"].to(self.precision)
        guidance = None
        if denoiser.config.guidance_embeds:
            usual = torch.full((noisy.shape[0],), self.guidance, device=noisy.device)
            guidance = conditioning.get("guidance", usual)
        output: Tensor = denoiser(
            hidden_states=pack(noisy.to(self.precision)),
            # Rounded as a timestep of 0..1000, like the pipeline does it: in bfloat16 sigma itself rounds otherwise.
            timestep=(times * 1000).to(self.precision) / 1000,
            guidance=guidance,
            pooled_projections=conditioning["pooled"].to(self.precision),
            encoder_hidden_states=hidden,
            txt_ids=torch.zeros(hidden.shape[1], 3, device=noisy.device),
            img_ids=image_ids(height // 2, width // 2, noisy.device),
            return_dict=False,
        )[0]
        return unpack(output.float(), height, width)

    def pipeline(self) -> FluxPipeline:
        """A FluxPipeline around the same modules, which pads texts to this model's length."""
        pipeline = OwnLengthPipeline(
            vae=self.components.vae,
            **self.components.text_encoders,
            **self.components.tokenizers,
            transformer=self.components.denoiser,
            scheduler=FlowMatchEulerDiscreteScheduler.from_config(self.scheduler.config),
        )
        pipeline.text_length = self.text_length
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def pack(latents: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h/2 * w/2, 4C): each patch of 2x2 becomes a token, channel first."""
    batch, channels, height, width = latents.shape
    patches = latents.reshape(batch, channels, height // 2, 2, width // 2, 2)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, (height // 2) * (width // 2), 4 * channels)


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `pack` for latents of this height and width."""
    patches = tokens.reshape(tokens.shape[0], height // 2, width // 2, tokens.shape[2] // 4, 2, 2)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(tokens.shape[0], tokens.shape[2] // 4, height, width)


def image_ids(rows: int, columns: int, device: torch.device) -> Tensor:
    """(rows * columns, 3): 0, row and column of each patch. Float32, since bfloat16 counts only to 256."""
    ids = torch.zeros(rows, columns, 3, device=device)
    ids[..., 1] = torch.arange(rows, device=device)[:, None]
    ids[..., 2] = torch.arange(columns, device=device)[None, :]
    return ids.reshape(rows * columns, 3)


def _scheduler(gathered: Gathered, guided: bool) -> FlowMatchEulerDiscreteScheduler:
    """The time shift belongs to dev or to schnell: a folder of the other kind must not give it to a single file."""
    place = gathered.configs("scheduler", "scheduler_config.json")
    beside = gathered.configs("transformer", "config.json")
    if read_json(beside / "config.json").get("guidance_embeds", False) != guided:
        place = gathered.shipped / "scheduler"
    return FlowMatchEulerDiscreteScheduler.from_config(read_json(place / "scheduler_config.json"))


def load(request: Request) -> Flux1:
    """Load from a folder in diffusers layout or a single file. Raises UserError for files that do not fit."""
    if request.checkpoint is not None:
        guided = has_guidance(request.checkpoint.shapes)
    else:
        config = read_json(request.path / "transformer" / "config.json")
        guided = bool(config.get("guidance_embeds", False))
    shipped = CONFIGS / ("flux1-dev" if guided else "flux1-schnell")
    gathered = gather(request, PARTS, [CLIPTokenizer, T5TokenizerFast], shipped)
    return Flux1(
        spec=request.spec,
        scheduler=_scheduler(gathered, guided),
        components=gathered.load(),
        source=request.source if guided else replace(request.source, modelspec_architecture="flux-1-schnell"),
        precision=request.precision,
        text_length=TEXT_LENGTH_DEV if guided else TEXT_LENGTH_SCHNELL,
    )
