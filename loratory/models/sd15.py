"""Stable Diffusion 1.5: a UNet told by the last hidden states of one CLIP text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from loratory.config.architectures import ArchitectureSpec
from loratory.models.base import Components, Conditioning, NoiseSchedule, Source
from loratory.models.common import clip, convert, ddpm, vae
from loratory.models.common.loading import CONFIGS, Part, Request, gather

PARTS = (
    Part("unet", UNet2DConditionModel, convert.ldm_unet),
    Part("vae", vae.AnyPrecisionAutoencoder, convert.ldm_vae, convert.VAE_PREFIXES),
    Part("text_encoder", CLIPTextModel, convert.clip_l, convert.CLIP_PREFIXES),
)


@dataclass
class StableDiffusion15:
    """The methods are those of `models.base.Architecture`."""

    spec: ArchitectureSpec
    components: Components
    noise_schedule: NoiseSchedule
    source: Source
    precision: torch.dtype
    scheduler: Any

    def encode_prompts(self, texts: Sequence[str]) -> list[Conditioning]:
        """`hidden_states` (77, width): the last layer, after the final norm, of the padded text.

        Padded, because this text encoder knows no mask: padding reads the text before it and differs from text to
        text, and the UNet attends to it.
        """
        if not texts:
            return []
        encoder = self.components.text_encoders["text_encoder"]
        ids = clip.token_ids(self.components.tokenizers["tokenizer"], texts, encoder.device)
        return [{"hidden_states": hidden} for hidden in encoder(ids).last_hidden_state]

    def collate(self, conditionings: Sequence[Conditioning]) -> Conditioning:
        """Stack; all texts have the same length."""
        return {"hidden_states": torch.stack([one["hidden_states"] for one in conditionings])}

    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says."""
        return vae.encode_images(self.components.vae, pixels)

    def decode(self, latents: Tensor) -> Tensor:
        """As the protocol says."""
        return vae.decode(self.components.vae, latents)

    def predict(self, noisy: Tensor, times: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """As the protocol says; `sizes` has no effect."""
        output: Tensor = self.components.denoiser(
            noisy.to(self.precision),
            times,
            encoder_hidden_states=conditioning["hidden_states"].to(self.precision),
            return_dict=False,
        )[0]
        return output.float()

    def pipeline(self) -> StableDiffusionPipeline:
        """A StableDiffusionPipeline around the same modules, without safety checker."""
        pipeline = StableDiffusionPipeline(
            vae=self.components.vae,
            text_encoder=self.components.text_encoders["text_encoder"],
            tokenizer=self.components.tokenizers["tokenizer"],
            unet=self.components.denoiser,
            scheduler=ddpm.copy_scheduler(self.scheduler),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def load(request: Request) -> StableDiffusion15:
    """Load from a folder in diffusers layout or a single file. Raises UserError for files that do not fit."""
    gathered = gather(request, PARTS, [CLIPTokenizer], CONFIGS / "sd15")
    shapes = request.checkpoint.shapes if request.checkpoint else {}
    settings = gathered.configs("scheduler", "scheduler_config.json")
    scheduler = ddpm.load_scheduler(settings, request.config, shapes)
    return StableDiffusion15(
        spec=request.spec,
        components=gathered.load(),
        noise_schedule=ddpm.noise_schedule(scheduler),
        source=request.source,
        precision=request.precision,
        scheduler=scheduler,
    )
