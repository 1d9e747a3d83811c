"""Texts for CLIP text encoders: token ids, long texts in pieces, weighted words, and the layer that is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from loratory.config.text import TextConfig
from loratory.errors import UserError
from loratory.models.common.prompt_weights import weighted_parts

CHUNK = 75
"""Tokens of one piece; a start and an end token stand around them."""

Run = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""Token ids (N, 77) -> hidden states (N, 77, width) and, where there is one, a vector for the whole text (N, width)."""


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


def encode(
    tokenizer: Any, texts: Sequence[str], settings: TextConfig, device: Any, run: Run
) -> tuple[Tensor, Tensor | None]:
    """Hidden states (B, 75n + 2, width) for n pieces of 75 tokens, and the vector of the first piece.

    As kohya's trainer: each piece is encoded on its own between a start and an end token; of the inner ones these are
    taken off. Weights multiply hidden states and are not evened out; the vector has none. The number of pieces is that
    of the longest text allowed, so that all texts have one length.
    """
    if settings.max_token_length == CHUNK and not settings.weighted:
        return run(token_ids(tokenizer, texts, device))
    count = settings.max_token_length // CHUNK
    split = [_tokens(tokenizer, text, count, settings.weighted) for text in texts]
    pieces = [piece for ids, _ in split for piece in _pieces(tokenizer, ids, count)]
    hidden, vector = run(torch.tensor(pieces, device=device))
    hidden = joined(hidden, count)
    if settings.weighted:
        factors = torch.ones(hidden.shape[:2])
        for row, (_, weights) in zip(factors, split, strict=True):
            row[1 : 1 + len(weights)] = torch.tensor(weights)
        hidden = hidden * factors.to(hidden)[:, :, None]
    return hidden, None if vector is None else vector[::count]


def _tokens(tokenizer: Any, text: str, count: int, weighted: bool) -> tuple[list[int], list[float]]:
    """Ids of a text without start and end, cut to `count` pieces, and each one's weight."""
    most = count * (tokenizer.model_max_length - 2)
    ids: list[int] = []
    weights: list[float] = []
    for part, weight in weighted_parts(text) if weighted else [(text, 1.0)]:
        found = tokenizer(part, truncation=True, max_length=most + 2).input_ids[1:-1]
        ids += found
        weights += [weight] * len(found)
    return ids[:most], weights[:most]


def _pieces(tokenizer: Any, ids: list[int], count: int) -> list[list[int]]:
    size = tokenizer.model_max_length - 2
    rows = []
    for start in range(0, count * size, size):
        row = [tokenizer.bos_token_id, *ids[start : start + size], tokenizer.eos_token_id]
        rows.append(row + [tokenizer.pad_token_id] * (size + 2 - len(row)))
    return rows


def joined(hidden: Tensor, count: int) -> Tensor:
    """(B * count, 77, width) -> (B, 75 count + 2, width): the first start token, the insides, the last end token."""
    pieces = hidden.unflatten(0, (-1, count))
    inside = pieces[:, :, 1:-1].flatten(1, 2)
    return torch.cat([pieces[:, 0, :1], inside, pieces[:, -1, -1:]], dim=1)


def layer(encoder: Any, ids: Tensor, skip: int | None) -> Tensor:
    """Hidden states (N, 77, width) of the layer `skip` from the last (1 or None: the last), after the final norm.

    Raises UserError for a layer that the encoder does not have.
    """
    if skip is None or skip == 1:
        last: Tensor = encoder(ids).last_hidden_state
        return last
    layers = encoder.config.num_hidden_layers
    if skip > layers:
        raise UserError(f"text.clip_skip is {skip}, but the text encoder has {layers} layers; give at most {layers}.")
    hidden = encoder(ids, output_hidden_states=True).hidden_states[-skip]
    normed: Tensor = getattr(encoder, "text_model", encoder).final_layer_norm(hidden)
    return normed
