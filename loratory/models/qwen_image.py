"""Qwen-Image: a transformer over patches of 2x2 latents and the last hidden states of Qwen2.5-VL, trained by flow
matching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImagePipeline, QwenImageTransformer2DModel
from torch import Tensor
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from loratory.config.architectures import ArchitectureSpec
from loratory.config.identify import read_json
from loratory.models.base import Components, Conditioning, Source
from loratory.models.common import convert, qwen_vae
from loratory.models.common.bfl import block_counts, pack, unpack
from loratory.models.common.checkpoint import Checkpoint, Tensors
from loratory.models.common.loading import CONFIGS, Part, Request, gather
from loratory.models.common.pipelines import around
from loratory.models.common.texts import pad_and_mask

READ_TOKENS = 1024
TEXT_LENGTH = 512
"""Tokens of the prompt and of the template's end: how many the language model reads, and the denoiser is told."""
TEMPLATE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
TEMPLATE_START = 34
"""Tokens of the template before the prompt; the transformer is not told them."""

TEXT_PREFIX = "text_encoders.qwen25_7b.transformer."
_OLD_TEXT_NAMES = {"visual.": "model.visual."} | {
    f"model.{name}.": f"model.language_model.{name}." for name in ("embed_tokens", "layers", "norm")
}


def text_encoder_file(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The language model of a file that holds nothing else. Published names are older than the module's."""
    converted = {}
    for name, value in tensors.items():
        old = next((old for old in _OLD_TEXT_NAMES if name.startswith(old)), "")
        converted[_OLD_TEXT_NAMES.get(old, "") + name.removeprefix(old)] = value
    return converted


def text_encoder_of_model(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The language model out of a whole model, as ComfyUI saves it."""
    return text_encoder_file(convert.with_prefix(tensors, (TEXT_PREFIX,)), config)


def _fit_config(settings: dict[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    return settings | {"num_layers": block_counts(checkpoint.shapes)["num_layers"]}


PARTS = (
    Part(
        "transformer",
        QwenImageTransformer2DModel,
        convert.plain_denoiser,
        convert_alone=convert.plain_denoiser,
        adjust=_fit_config,
    ),
    Part(
        "vae",
        qwen_vae.FrameAutoencoder,
        qwen_vae.vae_of_model,
        convert.VAE_PREFIXES,
        qwen_vae.vae_file,
        normalises_channels=True,
    ),
    Part(
        "text_encoder", Qwen2_5_VLForConditionalGeneration, text_encoder_of_model, (TEXT_PREFIX,), text_encoder_file
    ),
)  # fmt: skip


class Scheduler(FlowMatchEulerDiscreteScheduler):
    """A FlowMatchEulerDiscreteScheduler that can do a single step, too: to stretch its time, which is 1 and has to stay
    so, diffusers (0.42) divides 0 by 0."""

    def stretch_shift_to_terminal(self, t: Tensor) -> Tensor:
        """As FlowMatchEulerDiscreteScheduler."""
        return t if len(t) == 1 else super().stretch_shift_to_terminal(t)


@dataclass
class QwenImage:
    """The methods are those of `models.base.Architecture`."""

    spec: ArchitectureSpec
    components: Components
    source: Source
    precision: torch.dtype
    scheduler: Scheduler
    text_length: int = TEXT_LENGTH
    """Tokens of a text that are read at most."""
    noise_schedule: None = None

    def encode_prompts(self, texts: Sequence[str]) -> list[Conditioning]:
        """`hidden_states` (length, width): the last of the language model, from the prompt's first token on.

        Each text has its own length: the language model reads with a mask, and each token only what stands before it.
        """
        if not texts:
            return []
        tokenizer: Any = self.components.tokenizers["tokenizer"]
        encoder: Any = self.components.text_encoders["text_encoder"]
        encoded = tokenizer(
            [TEMPLATE.format(text) for text in texts],
            max_length=TEMPLATE_START + READ_TOKENS,
            padding=True,
            truncation=True,
            return_tensors="pt",
        )
        mask = encoded.attention_mask.to(encoder.device)
        # Without the last layer, which would guess the next words.
        hidden = encoder.model(
            input_ids=encoded.input_ids.to(encoder.device), attention_mask=mask, use_cache=False
        ).last_hidden_state
        return [
            {"hidden_states": states[present][TEMPLATE_START:][: self.text_length]}
            for states, present in zip(hidden, mask.bool(), strict=True)
        ]

    def collate(self, conditionings: Sequence[Conditioning]) -> Conditioning:
        """Padded to the longest, with a mask where lengths differ."""
        return pad_and_mask(conditionings)

    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says."""
        return qwen_vae.encode_images(self.components.vae, pixels)

    def decode(self, latents: Tensor) -> Tensor:
        """As the protocol says."""
        return qwen_vae.decode(self.components.vae, latents)

    def predict(self, noisy: Tensor, times: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """As the protocol says, `times` being sigma; `sizes` has no effect."""
        batch, _, height, width = noisy.shape
        output: Tensor = self.components.denoiser(
            hidden_states=pack(noisy.to(self.precision)),
            # Rounded as a timestep of 0..1000, like in the pipeline: in bfloat16 sigma itself rounds otherwise.
            timestep=(times * 1000).to(self.precision) / 1000,
            encoder_hidden_states=conditioning["hidden_states"].to(self.precision),
            encoder_hidden_states_mask=conditioning.get("mask"),
            img_shapes=[[(1, height // 2, width // 2)]] * batch,
            return_dict=False,
        )[0]
        return unpack(output.float(), height, width)

    def pipeline(self) -> QwenImagePipeline:
        """A QwenImagePipeline around the same modules."""
        return around(QwenImagePipeline, self.components, self.scheduler)


def load(request: Request) -> QwenImage:
    """Load from a folder in diffusers layout or a single file. Raises UserError for files that do not fit."""
    gathered = gather(request, PARTS, [AutoTokenizer], CONFIGS / "qwen_image")
    place = gathered.configs("scheduler", "scheduler_config.json")
    return QwenImage(
        spec=request.spec,
        scheduler=Scheduler.from_config(read_json(place / "scheduler_config.json")),
        components=gathered.load(),
        source=request.source,
        precision=request.precision,
    )
