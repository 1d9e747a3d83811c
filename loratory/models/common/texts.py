"""Texts of different lengths in one batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence

from loratory.models.base import Conditioning


def pad_and_mask(conditionings: Sequence[Conditioning]) -> Conditioning:
    """Pad `hidden_states` with zeros to the longest; `mask` (B, length) says what is text. Where all have one length
    there is none."""
    singles = [one["hidden_states"] for one in conditionings]
    told = {"hidden_states": pad_sequence(singles, batch_first=True)}
    lengths = [len(one) for one in singles]
    if len(set(lengths)) > 1:
        places = torch.arange(max(lengths), device=singles[0].device)
        told["mask"] = places < torch.tensor(lengths, device=singles[0].device)[:, None]
    return told
