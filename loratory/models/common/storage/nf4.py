"""nf4: 4 bits that say which of 16 numbers, times the largest of each 64 numbers; that one in 8 bits, too.

QLoRA's NormalFloat with double quantisation (Dettmers et al. 2023, arXiv 2305.14314), by bitsandbytes, whose kernels
unpack at the memory's speed. It is imported where it is used: it is large, and not everybody has it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from loratory.models.common.storage.base import Format, Kept

BLOCK = 64
BLOCK_OF_SCALES = 256


def pack(weight: Tensor) -> Kept:
    """Of the weight, read as one row: pairs of 4 bits; 8 bits for each 64 numbers; fp32 for each 16384, their mean, and
    the 256 numbers that those 8 bits mean."""
    functional = _library()
    # In whole blocks: for odd sizes the library would compile something new at each shape.
    flat = weight.detach().flatten()
    blocks = F.pad(flat, (0, -flat.numel() % BLOCK)).view(-1, BLOCK)
    packed, state = functional.quantize_4bit(blocks, blocksize=BLOCK, compress_statistics=True, quant_type="nf4")
    scales = state.state2
    assert scales.blocksize == BLOCK_OF_SCALES
    return {
        "packed": packed, "scales": state.absmax, "scales_of_scales": scales.absmax, "mean": state.offset,
        "code_of_scales": scales.code, "code": state.code,
    }  # fmt: skip


def unpack(kept: Kept, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    functional = _library()
    scales = functional.QuantState(
        absmax=kept["scales_of_scales"], code=kept["code_of_scales"], blocksize=BLOCK_OF_SCALES, dtype=torch.float32
    )
    state = functional.QuantState(
        absmax=kept["scales"], code=kept["code"], blocksize=BLOCK, quant_type="nf4", dtype=dtype,
        shape=torch.Size((len(kept["scales"]), BLOCK)), offset=kept["mean"], state2=scales,
    )  # fmt: skip
    blocks: Tensor = functional.dequantize_4bit(kept["packed"], state)
    return blocks.flatten()[: shape.numel()].view(shape)


def _library() -> Any:
    import bitsandbytes.functional

    return bitsandbytes.functional


NF4 = Format(pack, unpack)
