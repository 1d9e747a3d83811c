"""uint2 … uint8: 2 to 8 bits for each number, and for each 64 numbers of a row a scale and the place of zero.

A weight is (q - zero) · scale with q and zero in 0..2^bits - 1. These are the numbers of torchao 0.10's
`UIntXWeightOnlyConfig` (asymmetric, groups of 64, zero kept exactly), for which ai-toolkit's accuracy-recovery adapters
were trained: `quant_primitives.py` there, `choose_qparams_affine` and `quantize_affine`, calculated in the weight's own
format. How the bits lie in memory is our own. Where torchao refuses, there is an answer here: a row's last group may be
short, uint8 packs nothing together, and in fp16, whose range is too small for 1 / scale, it is calculated in fp32.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from loratory.models.common.storage.base import Format, Kept

GROUP = 64
LEAST_SCALE = torch.finfo(torch.float32).eps
PIECES = {2: (2,), 3: (2, 1), 4: (4,), 5: (4, 1), 6: (4, 2), 7: (4, 2, 1), 8: (8,)}
"""By bits: into what a number is cut, lowest bits first, so that pieces of one length fill bytes."""


def groups_of(weight: Tensor) -> Tensor:
    """(out, groups, 64). Zeros fill the last group: they are exact in every group and change no range."""
    rows = weight.detach().flatten(1)
    return F.pad(rows, (0, -rows.shape[1] % GROUP)).view(rows.shape[0], -1, GROUP)


def pack(weight: Tensor, bits: int) -> Kept:
    """q as bytes (out, groups, 8 · bits), scales (out, groups, 1) and the places of zero (out, groups, 1) as bytes."""
    numbers = groups_of(weight)
    if numbers.dtype == torch.float16:
        numbers = numbers.float()
    top = 2**bits - 1
    low, high = numbers.amin(-1, keepdim=True).clamp(max=0), numbers.amax(-1, keepdim=True).clamp(min=0)
    scales = ((high - low) / float(top)).clamp(min=LEAST_SCALE)
    zeros = (0 - torch.round(low / scales)).clamp(0, top)
    packed = (torch.round(numbers * (1.0 / scales)) + zeros).clamp(0, top)
    return {"packed": joined(packed.to(torch.uint8), bits), "scales": scales, "zeros": zeros.to(torch.uint8)}


def unpack(kept: Kept, shape: torch.Size, dtype: torch.dtype, bits: int) -> Tensor:
    """Differences of whole numbers up to 255 are exact in every format; the product is rounded."""
    scales = kept["scales"]
    packed = taken_apart(kept["packed"], bits)
    numbers = packed.to(scales.dtype).sub_(kept["zeros"]).mul_(scales).flatten(1)
    width = shape.numel() // shape[0]
    return numbers[:, :width].reshape(shape).to(dtype)


def joined(numbers: Tensor, bits: int) -> Tensor:
    """(…, 64) numbers below 2^bits → (…, 8 · bits) bytes."""
    found, done = [], 0
    for piece in PIECES[bits]:
        part = (numbers >> done) & (2**piece - 1)
        part = part.unflatten(-1, (-1, 8 // piece)) << _places(piece, numbers.device)
        found.append(part.sum(-1, dtype=torch.uint8))
        done += piece
    return torch.cat(found, -1)


def taken_apart(packed: Tensor, bits: int) -> Tensor:
    """The other way."""
    if bits == 8:
        return packed
    found, done = None, 0
    for piece, part in zip(PIECES[bits], packed.split([8 * each for each in PIECES[bits]], -1), strict=True):
        numbers = (part.unsqueeze(-1) >> _places(piece, packed.device)).bitwise_and_(2**piece - 1).flatten(-2)
        found = numbers if found is None else found.bitwise_or_(numbers.bitwise_left_shift_(done))
        done += piece
    assert found is not None
    return found


def _places(piece: int, device: torch.device) -> Tensor:
    return torch.arange(0, 8, piece, dtype=torch.uint8, device=device)


UINTS = {f"uint{bits}": Format(partial(pack, bits=bits), partial(unpack, bits=bits)) for bits in PIECES}
