"""What Chroma and Chroma Radiance have in common: their texts, and masks that reach every block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor
from torch import Tensor

from loratory.models.base import Conditioning

TEXT_LENGTH = 512


def encode_prompts(tokenizer: Any, encoder: Any, texts: Sequence[str], length: int = TEXT_LENGTH) -> list[Conditioning]:
    """`hidden_states` (length, width) of T5, which reads without padding; one token of padding stays behind each text.

    That one is attended to: the model was trained so
    (https://huggingface.co/lodestones/Chroma#tldr-masking-t5-padding-tokens-enhanced-fidelity-and-increased-stability-during-training).
    """
    if not texts:
        return []
    encoded = tokenizer(list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    mask = encoded.attention_mask.to(encoder.device)
    hidden = encoder(encoded.input_ids.to(encoder.device), attention_mask=mask).last_hidden_state
    lengths = (mask.sum(1) + 1).clamp(max=length).tolist()
    return [{"hidden_states": states[:count]} for states, count in zip(hidden, lengths, strict=True)]


def whole_mask(conditioning: Conditioning, image_tokens: int) -> Tensor | None:
    """The mask (B, text and image tokens) of what is attended to; None for all of it."""
    if "mask" not in conditioning:
        return None
    mask = conditioning["mask"].bool()
    return torch.cat([mask, mask.new_ones(mask.shape[0], image_tokens)], dim=1)


class KeyMasks(FluxAttnProcessor):
    """Masks keys alone. diffusers' blocks mask the queries of padding as well: a row without any key is 0/0 for some
    kernels, and its NaN reaches the others as soon as it is a value that is multiplied by 0."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Any = None,
    ) -> Any:
        """As FluxAttnProcessor; `attention_mask` (B, 1, tokens, tokens) of bool."""
        if attention_mask is not None:
            attention_mask = attention_mask.any(dim=2, keepdim=True)
        return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb)


def use_key_masks(transformer: Any) -> None:
    """Let every block of a transformer mask keys alone."""
    for block in (*transformer.transformer_blocks, *transformer.single_transformer_blocks):
        block.attn.set_processor(KeyMasks())
