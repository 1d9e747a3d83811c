"""Chroma: a transformer over patches of 2x2 latents and T5 tokens without padding, trained by flow matching."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import ChromaPipeline, ChromaTransformer2DModel, FlowMatchEulerDiscreteScheduler
from torch import Tensor
from transformers import T5EncoderModel, T5TokenizerFast

from loratory.config.architectures import ArchitectureSpec
from loratory.config.architectures.bfl import CHROMA
from loratory.config.identify import read_json
from loratory.models.base import Components, Conditioning, Source
from loratory.models.common import bfl, chroma, convert, vae
from loratory.models.common.bfl import block_counts, image_ids, pack, unpack
from loratory.models.common.checkpoint import Checkpoint, Tensors
from loratory.models.common.loading import CONFIGS, Part, Request, gather
from loratory.models.common.pipelines import around
from loratory.models.common.texts import pad_and_mask


class Transformer(ChromaTransformer2DModel):
    """A ChromaTransformer2DModel whose single blocks get their mask also while activations are recomputed; diffusers
    (0.42) forgets it there."""

    _mask: Tensor | None = None

    def enable_gradient_checkpointing(self, *arguments: Any, **named: Any) -> None:
        """As ChromaTransformer2DModel."""
        super().enable_gradient_checkpointing(*arguments, **named)
        recompute: Any = self._gradient_checkpointing_func  # type: ignore[has-type]

        def with_mask(block: Any, *inputs: Any) -> Any:
            # Single blocks are given hidden states, modulation and positions; double ones have their mask.
            return recompute(block, *inputs, self._mask) if len(inputs) == 3 else recompute(block, *inputs)

        self._gradient_checkpointing_func = with_mask

    @functools.wraps(ChromaTransformer2DModel.forward)
    def forward(self, *arguments: Any, **named: Any) -> Any:
        """As ChromaTransformer2DModel; the mask is given by its name."""
        self._mask = named.get("attention_mask")
        return super().forward(*arguments, **named)


class MaskedPipeline(ChromaPipeline):
    """A ChromaPipeline whose masks are masks. diffusers (0.42) makes numbers of them, which attention adds to its
    scores (https://github.com/huggingface/diffusers/issues/12116): padding would be attended to."""

    def _get_t5_prompt_embeds(self, *arguments: Any, **named: Any) -> tuple[Tensor, Tensor]:
        embeddings, mask = super()._get_t5_prompt_embeds(*arguments, **named)
        return embeddings, mask.bool()


def transformer_tensors(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The transformer of a single file under diffusers' names."""
    return bfl.transformer_tensors(tensors, CHROMA)


def _fit_config(settings: dict[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    return settings | block_counts(checkpoint.shapes)


PARTS = (
    Part("transformer", Transformer, transformer_tensors, convert_alone=transformer_tensors, adjust=_fit_config),
    Part("vae", vae.AnyPrecisionAutoencoder, convert.ldm_vae, convert.VAE_PREFIXES, convert.vae_file),
    Part("text_encoder", T5EncoderModel),
)


@dataclass
class Chroma:
    """The methods are those of `models.base.Architecture`."""

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

    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says."""
        return vae.encode_images(self.components.vae, pixels)

    def decode(self, latents: Tensor) -> Tensor:
        """As the protocol says."""
        return vae.decode(self.components.vae, latents)

    def predict(self, noisy: Tensor, times: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """As the protocol says, `times` being sigma; `sizes` has no effect."""
        denoiser: Any = self.components.denoiser
        height, width = noisy.shape[-2:]
        tokens = pack(noisy.to(self.precision))
        hidden = conditioning["hidden_states"].to(self.precision)
        output: Tensor = denoiser(
            hidden_states=tokens,
            # Rounded as a timestep of 0..1000, like in the pipeline: in bfloat16 sigma itself rounds otherwise.
            timestep=(times * 1000).to(self.precision) / 1000,
            encoder_hidden_states=hidden,
            txt_ids=torch.zeros(hidden.shape[1], 3, device=noisy.device),
            img_ids=image_ids(height // 2, width // 2, noisy.device),
            attention_mask=chroma.whole_mask(conditioning, tokens.shape[1]),
            return_dict=False,
        )[0]
        return unpack(output.float(), height, width)

    def pipeline(self) -> ChromaPipeline:
        """A pipeline around the same modules, which masks padding."""
        return around(MaskedPipeline, self.components, self.scheduler)


def load(request: Request) -> Chroma:
    """Load from a folder in diffusers layout or a single file. Raises UserError for files that do not fit."""
    gathered = gather(request, PARTS, [T5TokenizerFast], CONFIGS / "chroma")
    place = gathered.configs("scheduler", "scheduler_config.json")
    components = gathered.load()
    chroma.use_key_masks(components.denoiser)
    return Chroma(
        spec=request.spec,
        scheduler=FlowMatchEulerDiscreteScheduler.from_config(read_json(place / "scheduler_config.json")),
        components=components,
        source=request.source,
        precision=request.precision,
    )
