"""What Stable Diffusion 1.x and 2.x do alike: a UNet told by the hidden states of one CLIP text encoder."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from loratory.config.architectures import ArchitectureSpec
from loratory.config.text import TextConfig
from loratory.models.base import Components, Conditioning, NoiseSchedule, Source
from loratory.models.common import clip, ddpm, vae


class OwnTextPipeline(StableDiffusionPipeline):
    """A StableDiffusionPipeline that encodes texts with `encode` where that is given."""

    encode: Callable[[Sequence[str]], list[Conditioning]] | None = None

    def encode_prompt(self, prompt: Any, *arguments: Any, **named: Any) -> Any:
        """As StableDiffusionPipeline."""
        if self.encode is None:
            return super().encode_prompt(prompt, *arguments, **named)
        call = inspect.signature(super().encode_prompt).bind(prompt, *arguments, **named).arguments
        texts = [[text] if isinstance(text, str) else text for text in (prompt, call.get("negative_prompt") or "")]
        wanted, unwanted = (torch.stack([each["hidden_states"] for each in self.encode(text)]) for text in texts)
        return wanted, unwanted.expand_as(wanted)


@dataclass
class StableDiffusion:
    """The methods are those of `models.base.Architecture`."""

    spec: ArchitectureSpec
    components: Components
    noise_schedule: NoiseSchedule
    source: Source
    precision: torch.dtype
    scheduler: Any
    text: TextConfig = field(default_factory=TextConfig)
    """How texts are encoded, captions and prompts alike."""

    def encode_prompts(self, texts: Sequence[str]) -> list[Conditioning]:
        """`hidden_states` (77, width; longer for long texts): the encoder's last layer, or the one that
        `text.clip_skip` says, after the final norm, of the padded text.

        Padded, because this text encoder knows no mask: padding reads the text before it and differs from text to
        text, and the UNet attends to it.
        """
        if not texts:
            return []
        encoder = self.components.text_encoders["text_encoder"]

        def run(ids: Tensor) -> tuple[Tensor, None]:
            return clip.layer(encoder, ids, self.text.clip_skip), None

        tokenizer = self.components.tokenizers["tokenizer"]
        hidden_states, _ = clip.encode(tokenizer, texts, self.text, encoder.device, run)
        return [{"hidden_states": hidden} for hidden in hidden_states]

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
        """A StableDiffusionPipeline around the same modules, without safety checker, which reads texts as we do."""
        pipeline = OwnTextPipeline(
            vae=self.components.vae,
            text_encoder=self.components.text_encoders["text_encoder"],
            tokenizer=self.components.tokenizers["tokenizer"],
            unet=self.components.denoiser,
            scheduler=ddpm.copy_scheduler(self.scheduler),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        if self.text != TextConfig():
            pipeline.encode = self.encode_prompts
        pipeline.set_progress_bar_config(disable=True)
        return pipeline
