"""Flux.2 dev and klein: a transformer over patches of 2x2 latents and the hidden states of a language model.

Latents here have 32 channels and 8 pixels a side, normalised by the mean and the deviation that the autoencoder has for
each number of a patch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
)
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE
from torch import Tensor
from transformers import AutoTokenizer, Mistral3ForConditionalGeneration, Qwen3ForCausalLM

from loratory.config.architectures import ArchitectureSpec, Shapes
from loratory.config.architectures.bfl import FLUX2
from loratory.config.identify import read_json
from loratory.models.base import Components, Conditioning, Source
from loratory.models.common import bfl, convert
from loratory.models.common.bfl import block_counts, image_ids, pack, unpack
from loratory.models.common.checkpoint import Checkpoint, Tensors
from loratory.models.common.loading import CONFIGS, Part, Request, gather
from loratory.models.common.pipelines import around
from loratory.models.common.vae import within_range

TEXT_LENGTH = 512
LAYERS_OF_MISTRAL = (10, 20, 30)
LAYERS_OF_QWEN = (9, 18, 27)
"""Hidden states that are put together for each token."""

KLEIN_9B_WIDTH = 4096
KLEIN_9B_REPOSITORY = "black-forest-labs/FLUX.2-klein-base-9B"


# Loading


class AnyPrecisionAutoencoder(AutoencoderKLFlux2):
    """An AutoencoderKLFlux2 for input of any format from any device, as `common.vae.AnyPrecisionAutoencoder`."""

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """As AutoencoderKLFlux2.encode."""
        moments = within_range(self, lambda part: AutoencoderKLFlux2.encode(self, part).latent_dist.parameters, x)
        posterior = DiagonalGaussianDistribution(moments)
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(self, z: Tensor, return_dict: bool = True, generator: torch.Generator | None = None) -> Any:
        """As AutoencoderKLFlux2.decode."""
        sample = within_range(self, lambda part: AutoencoderKLFlux2.decode(self, part).sample, z)
        return DecoderOutput(sample=sample) if return_dict else (sample,)


def transformer_tensors(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The transformer of a single file under diffusers' names."""
    return bfl.transformer_tensors(tensors, FLUX2)


def vae_file(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The autoencoder of a file that holds nothing else. The original has its two smallest layers elsewhere."""
    found = convert.with_prefix(tensors, convert.VAE_PREFIXES) or tensors
    plain = {
        re.sub(r"^(encoder\.quant|decoder\.post_quant)_conv\.", lambda match: match[0].partition(".")[2], name): value
        for name, value in found.items()
    }
    statistics = {name: value for name, value in plain.items() if name.startswith("bn.")}
    return convert.vae_file({name: plain[name] for name in plain.keys() - statistics.keys()}, config) | statistics


def has_guidance(shapes: Shapes) -> bool:
    """Is it of dev's kind, which is told how strong guidance shall be?"""
    return any(name.endswith(("guidance_in.in_layer.weight", "guidance_embedder.linear_1.weight")) for name in shapes)


def _fit_config(settings: dict[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    return settings | block_counts(checkpoint.shapes) | {"guidance_embeds": has_guidance(checkpoint.shapes)}


_MISTRAL = {"language_model.model.": "model.language_model.", "language_model.lm_head.": "lm_head."}


def text_encoder_file(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """A language model of a file that holds nothing else. Of Mistral 3 published names are older than the module's."""
    converted = {}
    for name, value in tensors.items():
        for old, new in _MISTRAL.items():
            if name.startswith(old):
                name = new + name.removeprefix(old)
        if name.startswith(("vision_tower.", "multi_modal_projector.")):
            name = "model." + name
        converted[name] = value
    return converted


def parts(text_encoder: Any) -> tuple[Part, ...]:
    """The modules; a single file holds the transformer alone."""
    return (
        Part(
            "transformer",
            Flux2Transformer2DModel,
            transformer_tensors,
            convert_alone=transformer_tensors,
            adjust=_fit_config,
        ),
        Part("vae", AnyPrecisionAutoencoder, convert_alone=vae_file),
        Part("text_encoder", text_encoder, convert_alone=text_encoder_file),
    )


PARTS = parts(Mistral3ForConditionalGeneration)
KLEIN_PARTS = parts(Qwen3ForCausalLM)


# Texts


def mistral_ids(tokenizer: Any, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
    """Token ids and mask (B, length) of conversations: a message of the system and the text, no answer."""
    conversations = [
        [
            {"role": "system", "content": [{"type": "text", "text": SYSTEM_MESSAGE}]},
            # The mark of a picture has no meaning in a text.
            {"role": "user", "content": [{"type": "text", "text": text.replace("[IMG]", "")}]},
        ]
        for text in texts
    ]
    encoded = tokenizer.apply_chat_template(
        conversations,
        add_generation_prompt=False,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        padding="max_length",
        truncation=True,
        max_length=length,
    )
    return encoded["input_ids"], encoded["attention_mask"]


def qwen_ids(tokenizer: Any, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
    """Token ids and mask (B, length) of conversations: the text alone, and an answer that begins without thoughts."""
    conversations = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        for text in texts
    ]
    encoded = tokenizer(conversations, return_tensors="pt", padding="max_length", truncation=True, max_length=length)
    return encoded.input_ids, encoded.attention_mask


def text_ids(length: int, device: torch.device) -> Tensor:
    """(length, 4): the place of each token on the last axis."""
    ids = torch.zeros(length, 4, device=device)
    ids[:, 3] = torch.arange(length, device=device)
    return ids


# The autoencoder's normalisation


def patch_statistics(vae: Any, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of every latent, (C, h, w) as `latents` (B, C, h, w): each place of a patch has its own."""
    deviation = torch.sqrt(vae.bn.running_var.float() + vae.config.batch_norm_eps)
    channels, height, width = latents.shape[1:]
    tiles = (1, height // 2, width // 2)
    mean = vae.bn.running_mean.float().view(channels, 2, 2).repeat(tiles)
    return mean.to(latents.device), deviation.view(channels, 2, 2).repeat(tiles).to(latents.device)


# The model


@dataclass
class Flux2:
    """The methods are those of `models.base.Architecture`."""

    spec: ArchitectureSpec
    components: Components
    source: Source
    precision: torch.dtype
    scheduler: FlowMatchEulerDiscreteScheduler
    is_klein: bool
    is_distilled: bool = False
    """Only klein: made for four steps without a scale of guidance."""
    guidance: float | None = 1.0
    """What dev is told while it trains; None leaves the embedding out."""
    text_length: int = TEXT_LENGTH
    """Tokens of a text that are read at most."""
    noise_schedule: None = None

    def encode_prompts(self, texts: Sequence[str]) -> list[Conditioning]:
        """`hidden_states` (512, 3 * width): those of three layers of the language model, one behind the other.

        Padded, because the transformer runs without a mask: padding is attended to.
        """
        if not texts:
            return []
        encoder: Any = self.components.text_encoders["text_encoder"]
        tokens = qwen_ids if self.is_klein else mistral_ids
        ids, mask = tokens(self.components.tokenizers["tokenizer"], texts, self.text_length)
        output = encoder.model(  # without the last layer, which would guess the next words
            input_ids=ids.to(encoder.device),
            attention_mask=mask.to(encoder.device),
            output_hidden_states=True,
            use_cache=False,
        )
        chosen = LAYERS_OF_QWEN if self.is_klein else LAYERS_OF_MISTRAL
        hidden = torch.cat([output.hidden_states[number] for number in chosen], dim=2)
        return [{"hidden_states": each} for each in hidden]

    def collate(self, conditionings: Sequence[Conditioning]) -> Conditioning:
        """Stack; all texts have the same length."""
        return {"hidden_states": torch.stack([one["hidden_states"] for one in conditionings])}

    @torch.no_grad()
    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says."""
        vae: Any = self.components.vae
        posterior = vae.encode(pixels).latent_dist
        mean, deviation = patch_statistics(vae, posterior.mean)
        return (posterior.mean.float() - mean) / deviation, posterior.std.float() / deviation

    def decode(self, latents: Tensor) -> Tensor:
        """As the protocol says."""
        vae: Any = self.components.vae
        mean, deviation = patch_statistics(vae, latents)
        pixels: Tensor = vae.decode(latents * deviation + mean).sample
        return pixels.float()

    def predict(self, noisy: Tensor, times: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """As the protocol says, `times` being sigma; `sizes` has no effect. A `guidance` (B,) in the conditioning takes
        the place of the usual one."""
        denoiser: Any = self.components.denoiser
        height, width = noisy.shape[-2:]
        hidden = conditioning["hidden_states"].to(self.precision)
        guidance = None
        if denoiser.config.guidance_embeds and self.guidance is not None:
            usual = torch.full((noisy.shape[0],), self.guidance, device=noisy.device)
            guidance = conditioning.get("guidance", usual)
        output: Tensor = denoiser(
            hidden_states=pack(noisy.to(self.precision)),
            # Rounded as a timestep of 0..1000, like the pipeline does it: in bfloat16 sigma itself rounds otherwise.
            timestep=(times * 1000).to(self.precision) / 1000,
            guidance=guidance,
            encoder_hidden_states=hidden,
            txt_ids=text_ids(hidden.shape[1], noisy.device),
            img_ids=image_ids(height // 2, width // 2, noisy.device, axes=4),
            return_dict=False,
        )[0]
        return unpack(output.float(), height, width)

    def pipeline(self) -> Flux2Pipeline | Flux2KleinPipeline:
        """A pipeline around the same modules."""
        if self.is_klein:
            return around(Flux2KleinPipeline, self.components, self.scheduler, is_distilled=self.is_distilled)
        return around(Flux2Pipeline, self.components, self.scheduler)


def _load(request: Request, parts: Sequence[Part], shipped: str, **facts: Any) -> Flux2:
    gathered = gather(request, parts, [AutoTokenizer], CONFIGS / shipped)
    place = gathered.configs("scheduler", "scheduler_config.json")
    return Flux2(
        spec=request.spec,
        scheduler=FlowMatchEulerDiscreteScheduler.from_config(read_json(place / "scheduler_config.json")),
        components=gathered.load(),
        source=request.source,
        precision=request.precision,
        **facts,
    )


def load(request: Request) -> Flux2:
    """Load dev from a folder in diffusers layout or a single file. Raises UserError for files that do not fit."""
    return _load(request, PARTS, "flux2-dev", is_klein=False)


def load_klein(request: Request) -> Flux2:
    """The same for klein, of which a single file says the size by its width."""
    if request.checkpoint is None:
        is_distilled = bool(read_json(request.path / "model_index.json").get("is_distilled", False))
        return _load(request, KLEIN_PARTS, "flux2_klein-4b", is_klein=True, is_distilled=is_distilled)
    embedders = ("img_in.weight", "x_embedder.weight")
    width = next(shape[0] for name, shape in request.checkpoint.shapes.items() if name.endswith(embedders))
    if width != KLEIN_9B_WIDTH:
        return _load(request, KLEIN_PARTS, "flux2_klein-4b", is_klein=True)
    config = request.config
    if config.components is None:
        config = config.model_copy(update={"components": KLEIN_9B_REPOSITORY})
    source = replace(request.source, modelspec_architecture="Flux.2-klein-9b")
    return _load(replace(request, config=config, source=source), KLEIN_PARTS, "flux2_klein-9b", is_klein=True)
