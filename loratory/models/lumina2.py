"""Lumina-Image 2: one stream of patches of 2x2 latents and the tokens of Gemma 2.

The time that it is given runs from noise (0) to picture (1), and its output is picture - noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Lumina2Pipeline, Lumina2Transformer2DModel
from torch import Tensor
from transformers import AutoTokenizer, Gemma2Model

from loratory.config.architectures import ArchitectureSpec
from loratory.config.architectures.nextdit import LUMINA2
from loratory.config.identify import read_json
from loratory.models.base import Components, Conditioning, Source
from loratory.models.common import convert, nextdit, vae
from loratory.models.common.checkpoint import Checkpoint, Tensors
from loratory.models.common.loading import CONFIGS, Part, Request, gather
from loratory.models.common.pipelines import around
from loratory.models.common.texts import pad_and_mask

TEXT_LENGTH = 256
GEMMA_PREFIX = "text_encoders.gemma2_2b.transformer."
SYSTEM_PROMPT = (
    "You are an assistant designed to generate superior images with the superior degree of image-text alignment based "
    "on textual prompts or user prompts."
)


def transformer_tensors(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The transformer of a single file under diffusers' names."""
    return nextdit.transformer_tensors(tensors, LUMINA2)


def _text_encoder(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    return nextdit.text_encoder_file(convert.with_prefix(tensors, (GEMMA_PREFIX,)))


def _text_encoder_file(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    return nextdit.text_encoder_file(tensors)


def _fit_config(settings: dict[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    layers, refiners = nextdit.block_counts(checkpoint.shapes)
    return settings | {"num_layers": layers, "num_refiner_layers": refiners}


PARTS = (
    Part(
        "transformer",
        Lumina2Transformer2DModel,
        transformer_tensors,
        convert_alone=transformer_tensors,
        adjust=_fit_config,
    ),
    Part("vae", vae.AnyPrecisionAutoencoder, convert.ldm_vae, convert.VAE_PREFIXES, convert.vae_file),
    Part("text_encoder", Gemma2Model, _text_encoder, (GEMMA_PREFIX,), _text_encoder_file),
)


@dataclass
class Lumina2:
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
        """`hidden_states` (length, width) of the layer before the last, for the text behind the system's prompt.

        Without padding, which the transformer masks. The empty text is that of samples without a negative prompt, which
        has no system's prompt before it.
        """
        if not texts:
            return []
        encoder: Any = self.components.text_encoders["text_encoder"]
        tokenizer: Any = self.components.tokenizers["tokenizer"]
        encoded = tokenizer(
            [f"{SYSTEM_PROMPT} <Prompt Start> {text}" if text else "" for text in texts],
            padding="max_length",
            padding_side="right",
            max_length=self.text_length,
            truncation=True,
            return_tensors="pt",
        )
        mask = encoded.attention_mask.to(encoder.device)
        output = encoder(
            encoded.input_ids.to(encoder.device), attention_mask=mask, output_hidden_states=True, use_cache=False
        )
        hidden = output.hidden_states[-2]
        return [{"hidden_states": states[here]} for states, here in zip(hidden, mask.bool(), strict=True)]

    def collate(self, conditionings: Sequence[Conditioning]) -> Conditioning:
        """Padded to the longest, with a mask where lengths differ."""
        return pad_and_mask(conditionings)

    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says."""
        return vae.encode_images(self.components.vae, pixels)

    def decode(self, latents: Tensor) -> Tensor:
        """As the protocol says."""
        return vae.decode(self.components.vae, latents)

    def predict(self, noisy: Tensor, times: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """As the protocol says, `times` being sigma; `sizes` has no effect."""
        denoiser: Any = self.components.denoiser
        hidden = conditioning["hidden_states"].to(self.precision)
        everything = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
        output: Tensor = denoiser(
            hidden_states=noisy.to(self.precision),
            timestep=1 - times * 1000 / 1000,
            encoder_hidden_states=hidden,
            encoder_attention_mask=conditioning.get("mask", everything).bool(),
            return_dict=False,
        )[0]
        return -output.float()

    def pipeline(self) -> Lumina2Pipeline:
        """A pipeline around the same modules."""
        return around(Lumina2Pipeline, self.components, self.scheduler)


def load(request: Request) -> Lumina2:
    """Load from a folder in diffusers layout or a single file. Raises UserError for files that do not fit."""
    gathered = gather(request, PARTS, [AutoTokenizer], CONFIGS / "lumina2")
    place = gathered.configs("scheduler", "scheduler_config.json")
    return Lumina2(
        spec=request.spec,
        scheduler=FlowMatchEulerDiscreteScheduler.from_config(read_json(place / "scheduler_config.json")),
        components=gathered.load(),
        source=request.source,
        precision=request.precision,
    )
