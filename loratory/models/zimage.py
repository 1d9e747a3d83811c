"""Z-Image and Z-Image-Turbo: one stream of patches of 2x2 latents and the tokens of a language model.

Base and Turbo are the same network and have the same files. The time that it is given runs from noise (0) to picture
(1), and its output is picture - noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
from torch import Tensor
from transformers import AutoTokenizer, Qwen3Model

from loratory.config.architectures import ArchitectureSpec
from loratory.config.architectures.nextdit import ZIMAGE
from loratory.config.identify import read_json
from loratory.models.base import Components, Conditioning, Source
from loratory.models.common import convert, nextdit, vae
from loratory.models.common.checkpoint import Checkpoint, Tensors
from loratory.models.common.loading import CONFIGS, Part, Request, gather
from loratory.models.common.pipelines import around
from loratory.models.common.texts import pad_and_mask

TEXT_LENGTH = 512


def transformer_tensors(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The transformer of a single file under diffusers' names."""
    return nextdit.transformer_tensors(tensors, ZIMAGE)


def _text_encoder_file(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    return nextdit.text_encoder_file(tensors)


def _fit_config(settings: dict[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    layers, refiners = nextdit.block_counts(checkpoint.shapes)
    return settings | {"n_layers": layers, "n_refiner_layers": refiners}


PARTS = (
    Part(
        "transformer",
        ZImageTransformer2DModel,
        transformer_tensors,
        convert_alone=transformer_tensors,
        adjust=_fit_config,
    ),
    Part("vae", vae.AnyPrecisionAutoencoder, convert.ldm_vae, convert.VAE_PREFIXES, convert.vae_file),
    Part("text_encoder", Qwen3Model, convert_alone=_text_encoder_file),
)


class UsualScalePipeline(ZImagePipeline):
    """A ZImagePipeline whose `guidance_scale` means what it means elsewhere: without + scale * (with - without), so
    that 1 does without. diffusers (0.42) counts one less: with + scale * (with - without)."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """As ZImagePipeline."""
        if "guidance_scale" in named:
            named["guidance_scale"] = named["guidance_scale"] - 1
        return super().__call__(*arguments, **named)


@dataclass
class ZImage:
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
        """`hidden_states` (length, width) of the layer before the last, for a conversation whose answer begins.

        Without padding: the transformer fills a text up to a multiple of 32 with a token that it has learned.
        """
        if not texts:
            return []
        tokenizer: Any = self.components.tokenizers["tokenizer"]
        encoder: Any = self.components.text_encoders["text_encoder"]
        conversations = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True, enable_thinking=True
            )
            for text in texts
        ]
        encoded = tokenizer(
            conversations, padding="max_length", max_length=self.text_length, truncation=True, return_tensors="pt"
        )
        mask = encoded.attention_mask.to(encoder.device).bool()
        output = encoder(
            input_ids=encoded.input_ids.to(encoder.device),
            attention_mask=mask,
            output_hidden_states=True,
            use_cache=False,
        )
        hidden = output.hidden_states[-2]
        return [{"hidden_states": states[here]} for states, here in zip(hidden, mask, strict=True)]

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
        texts = list(conditioning["hidden_states"].to(self.precision))
        if "mask" in conditioning:
            # The only wait for the device: the transformer takes a list of texts, each as long as it is.
            lengths = conditioning["mask"].sum(dim=1).tolist()
            texts = [text[:length] for text, length in zip(texts, lengths, strict=True)]
        outputs: list[Tensor] = denoiser(
            list(noisy.to(self.precision).unsqueeze(2)),  # a single frame each
            (1000 - times * 1000) / 1000,
            texts,
            return_dict=False,
        )[0]
        return -torch.stack(outputs).squeeze(2).float()

    def pipeline(self) -> ZImagePipeline:
        """A pipeline around the same modules, in which a scale of 1 does without guidance."""
        return around(UsualScalePipeline, self.components, self.scheduler)


def load(request: Request) -> ZImage:
    """Load from a folder in diffusers layout or a single file. Raises UserError for files that do not fit."""
    gathered = gather(request, PARTS, [AutoTokenizer], CONFIGS / "zimage")
    place = gathered.configs("scheduler", "scheduler_config.json")
    return ZImage(
        spec=request.spec,
        scheduler=FlowMatchEulerDiscreteScheduler.from_config(read_json(place / "scheduler_config.json")),
        components=gathered.load(),
        source=request.source,
        precision=request.precision,
    )
