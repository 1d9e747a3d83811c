"""OmniGen2, from texts to pictures: a transformer over patches of 2x2 latents and the hidden states of Qwen2.5-VL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from loratory.config.architectures import ArchitectureSpec
from loratory.config.architectures.header import PREFIXES
from loratory.config.identify import read_json
from loratory.models.base import Components, Conditioning, Source
from loratory.models.common import convert, omnigen2, vae
from loratory.models.common.checkpoint import Checkpoint, Tensors
from loratory.models.common.loading import CONFIGS, Part, Request, gather
from loratory.models.common.omnigen2 import OmniGen2Pipeline, OmniGen2Transformer2DModel
from loratory.models.common.pipelines import around
from loratory.models.common.texts import pad_and_mask


def transformer_tensors(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The transformer of a single file; the names here are its authors'."""
    return convert.with_prefix(tensors, PREFIXES) or tensors


def text_encoder_file(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """Qwen2.5-VL of a file that holds nothing else. Published names are older than the module's."""
    language = re.compile(r"^model\.(?=layers\.|embed_tokens\.|norm\.)")
    return {
        "model." + name if name.startswith("visual.") else language.sub("model.language_model.", name): value
        for name, value in tensors.items()
    }


def _fit_config(settings: dict[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    """The numbers of blocks, as the file has them."""
    counts = {}
    for entry, blocks in (("num_layers", "layers"), ("num_refiner_layers", "noise_refiner")):
        numbers = [re.search(rf"(?:^|\.){blocks}\.(\d+)\.", name) for name in checkpoint.shapes]
        counts[entry] = max((int(match[1]) + 1 for match in numbers if match), default=0)
    return settings | counts


PARTS = (
    Part(
        "transformer",
        OmniGen2Transformer2DModel,
        transformer_tensors,
        convert_alone=transformer_tensors,
        adjust=_fit_config,
    ),
    Part("vae", vae.AnyPrecisionAutoencoder, convert_alone=convert.vae_file),
    Part("mllm", Qwen2_5_VLForConditionalGeneration, convert_alone=text_encoder_file),
)


@dataclass
class OmniGen2:
    """The methods are those of `models.base.Architecture`."""

    spec: ArchitectureSpec
    components: Components
    source: Source
    precision: torch.dtype
    scheduler: FlowMatchEulerDiscreteScheduler
    text_length: int = omnigen2.TEXT_LENGTH
    """Tokens of a text that are read at most."""
    noise_schedule: None = None

    def encode_prompts(self, texts: Sequence[str]) -> list[Conditioning]:
        """`hidden_states` (length, width) of Qwen2.5-VL, the system's message included."""
        components = self.components
        return omnigen2.encode_prompts(
            components.tokenizers["processor"], components.text_encoders["mllm"], texts, self.text_length
        )

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
        """As the protocol says, `times` being sigma; `sizes` has no effect.

        The net is given 1 - sigma and predicts picture - noise, so its output is turned round.
        """
        denoiser: Any = self.components.denoiser
        output: Tensor = denoiser(
            hidden_states=noisy.to(self.precision),
            encoder_hidden_states=conditioning["hidden_states"].to(self.precision),
            timestep=omnigen2.time_of(times * 1000).to(self.precision),
            attention_mask=conditioning.get("mask"),
        )[0]
        return -output.float()

    def pipeline(self) -> OmniGen2Pipeline:
        """A pipeline of our own around the same modules; diffusers has none."""
        return around(OmniGen2Pipeline, self.components, self.scheduler)


def load(request: Request) -> OmniGen2:
    """Load from a folder in diffusers layout or a single file. Raises UserError for files that do not fit."""
    gathered = gather(request, PARTS, [AutoTokenizer], CONFIGS / "omnigen2")
    place = gathered.configs("scheduler", "scheduler_config.json")
    return OmniGen2(
        spec=request.spec,
        scheduler=omnigen2.scheduler_of(read_json(place / "scheduler_config.json")),
        components=gathered.load(),
        source=request.source,
        precision=request.precision,
    )
