"""A number for each picture, brought into the shape of a batch."""

from __future__ import annotations

from torch import Tensor


def along(values: Tensor, like: Tensor) -> Tensor:
    """(B,) shaped so that it multiplies (B, …); float32, on the device of `like`."""
    return values.to(like.device).float().reshape(-1, *[1] * (like.dim() - 1))
