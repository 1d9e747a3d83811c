"""Token ids for CLIP text encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor


def token_ids(tokenizer: Any, texts: Sequence[str], device: Any) -> Tensor:
    """Ids (B, length) as diffusers' pipelines make them: cut and padded to the tokenizer's length, usually 77."""
    encoded = tokenizer(
        list(texts),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    ids: Tensor = encoded.input_ids
    return ids.to(device)
