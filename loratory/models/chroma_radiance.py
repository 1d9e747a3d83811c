"""Chroma Radiance: Chroma without an autoencoder, over patches of 16x16 pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor
from transformers import T5EncoderModel, T5TokenizerFast

from loratory.config.architectures import ArchitectureSpec
from loratory.config.architectures.bfl import RADIANCE
from loratory.config.architectures.header import PREFIXES
from loratory.config.identify import read_json
from loratory.models.base import Components, Conditioning, Source
from loratory.models.common import bfl, chroma, convert, pixels
from loratory.models.common.bfl import block_counts
from loratory.models.common.checkpoint import Checkpoint, Tensors
from loratory.models.common.loading import CONFIGS, Part, Request, gather
from loratory.models.common.radiance import ChromaRadiancePipeline, RadianceTransformer
from loratory.models.common.texts import pad_and_mask

PREDICTS_PICTURE = "__x0__"
"""An empty tensor of this name says so."""


def transformer_tensors(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The transformer of a single file under the names here."""
    found = convert.with_prefix(tensors, PREFIXES) or tensors
    if "patch_embedder.weight" in found:
        return found
    head = {
        name.removesuffix(".scale") + ".weight" if name.endswith(".scale") else name: value
        for name, value in found.items()
        if name.startswith("nerf_")
    }
    return bfl.transformer_tensors(found, RADIANCE) | head


def _fit_config(settings: dict[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    names = checkpoint.shapes
    return settings | block_counts(names) | {
        "final_head": "conv" if any("nerf_final_layer_conv." in name for name in names) else "linear",
        "predicts_picture": settings["predicts_picture"] or any(name.endswith(PREDICTS_PICTURE) for name in names),
    }  # fmt: skip


PARTS = (
    Part(
        "transformer", RadianceTransformer, transformer_tensors, convert_alone=transformer_tensors, adjust=_fit_config
    ),
    Part("text_encoder", T5EncoderModel),
)


@dataclass
class ChromaRadiance:
    """The methods are those of `models.base.Architecture`. Latents are pixels."""

    spec: ArchitectureSpec
    components: Components
    source: Source
    precision: torch.dtype
    scheduler: FlowMatchEulerDiscreteScheduler
    text_length: int = chroma.TEXT_LENGTH
    """Tokens of a text that are read at most."""
    noise_schedule: None = None

    def encode_prompts(self, texts: Sequence[str]) -> list[Conditioning]:
        """`hidden_states` (length, width) of T5, with one token of padding."""
        components = self.components
        return chroma.encode_prompts(
            components.tokenizers["tokenizer"], components.text_encoders["text_encoder"], texts, self.text_length
        )

    def collate(self, conditionings: Sequence[Conditioning]) -> Conditioning:
        """Padded to the longest, with a mask where lengths differ."""
        return pad_and_mask(conditionings)

    def encode_images(self, pixels_: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says."""
        return pixels.encode_images(pixels_)

    def decode(self, latents: Tensor) -> Tensor:
        """As the protocol says."""
        return pixels.decode(latents)

    def predict(self, noisy: Tensor, times: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """As the protocol says, `times` being sigma; `sizes` has no effect."""
        denoiser: Any = self.components.denoiser
        patches = noisy.shape[-2] * noisy.shape[-1] // denoiser.config.patch_size**2
        output: Tensor = denoiser(
            hidden_states=noisy.to(self.precision),
            encoder_hidden_states=conditioning["hidden_states"].to(self.precision),
            timestep=(times * 1000).to(self.precision) / 1000,
            attention_mask=chroma.whole_mask(conditioning, patches),
        )[0]
        return output.float()

    def pipeline(self) -> ChromaRadiancePipeline:
        """A pipeline of our own around the same modules; diffusers has none."""
        transformer: Any = self.components.denoiser
        pipeline = ChromaRadiancePipeline(
            **self.components.text_encoders,
            **self.components.tokenizers,
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler.from_config(self.scheduler.config),
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def load(request: Request) -> ChromaRadiance:
    """Load from a folder in diffusers layout or a single file. Raises UserError for files that do not fit."""
    gathered = gather(request, PARTS, [T5TokenizerFast], CONFIGS / "chroma_radiance")
    place = gathered.configs("scheduler", "scheduler_config.json")
    return ChromaRadiance(
        spec=request.spec,
        scheduler=FlowMatchEulerDiscreteScheduler.from_config(read_json(place / "scheduler_config.json")),
        components=gathered.load(),
        source=request.source,
        precision=request.precision,
    )
