"""Flux.1 dev and schnell: a transformer over patches of 2x2 latents and T5 tokens, trained by flow matching."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5TokenizerFast

from loratory.config.architectures import ArchitectureSpec, Shapes
from loratory.config.architectures.bfl import FLUX1
from loratory.config.identify import read_json
from loratory.models.base import Components, Conditioning, Source
from loratory.models.common import bfl, clip, convert, vae
from loratory.models.common.bfl import block_counts, image_ids, pack, unpack
from loratory.models.common.checkpoint import Checkpoint, Tensors
from loratory.models.common.loading import CONFIGS, Gathered, Part, Request, gather
from loratory.models.common.pipelines import around

TEXT_LENGTH_DEV = 512
TEXT_LENGTH_SCHNELL = 256


def transformer_tensors(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The transformer of a single file under diffusers' names."""
    return bfl.transformer_tensors(tensors, FLUX1)


def has_guidance(shapes: Shapes) -> bool:
    """Is it of dev's kind, which is told how strong guidance shall be (schnell is not)?"""
    return any(name.endswith(("guidance_in.in_layer.weight", "guidance_embedder.linear_1.weight")) for name in shapes)


def _fit_config(settings: dict[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    """Blocks and guidance as the file has them: pruned models and merges of dev and schnell differ in nothing else."""
    return settings | block_counts(checkpoint.shapes) | {"guidance_embeds": has_guidance(checkpoint.shapes)}


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
    guidance: float | None = 1.0
    """What a model of dev's kind is told while it trains: 1 keeps its distilled guidance out of the loss, None bypasses
    the embedding."""
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
        guidance, bypass = None, denoiser.config.guidance_embeds and self.guidance is None
        if denoiser.config.guidance_embeds:
            usual = torch.full((noisy.shape[0],), self.guidance or 0.0, device=noisy.device)
            guidance = conditioning.get("guidance", usual)
        with without_guidance(denoiser) if bypass else nullcontext():
            output: Tensor = denoiser(
                hidden_states=pack(noisy.to(self.precision)),
                # Rounded as a timestep of 0..1000, like in the pipeline: in bfloat16 sigma itself rounds otherwise.
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
        pipeline = around(OwnLengthPipeline, self.components, self.scheduler)
        pipeline.text_length = self.text_length
        return pipeline


@contextmanager
def without_guidance(denoiser: Any) -> Iterator[None]:
    """Within the block the embedding of time and text has no part of guidance: Flex.1 was trained so."""
    embedder = denoiser.time_text_embed.guidance_embedder
    handle = embedder.register_forward_hook(lambda _module, _inputs, output: torch.zeros_like(output))
    try:
        yield
    finally:
        handle.remove()


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
