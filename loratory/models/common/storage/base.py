"""What a number format for frozen weights has to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Kept = Mapping[str, Tensor]
"""What stands for a weight, by name."""


@dataclass(frozen=True)
class Format:
    """A way to keep a weight in fewer bits: two functions without a memory."""

    pack: Callable[[Tensor], Kept]
    """A weight (out, …) in the format of the arithmetic → what is kept of it, on the same device."""
    unpack: Callable[[Kept, torch.Size, torch.dtype], Tensor]
    """What is kept, the weight's shape and format → the weight that it stands for."""
